"""The maildir provider on a real file system: durable, once per key, and clear about what is wrong."""

from __future__ import annotations

import asyncio
import errno
import mailbox
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sendctl.clock import Deadline, SystemClock
from sendctl.providers.base import ClaimExpired, Outcome, Outgoing, Phase, Scope
from sendctl.providers.maildir import MaildirProvider
from sendctl.states import AttemptOutcome
from tests.providers.seeking import sought
from tests.syncs import watched_syncs

KEY = "0f3a" * 8
MESSAGE = Outgoing(
    message_id=1,
    attempt=1,
    key=KEY,
    provider="demo",
    sender="news@shop.example",
    recipient="zoë@client.example",
    content=b"From: news@shop.example\r\nSubject: Hello\r\nMessage-ID: <0f3a@shop.example>\r\n\r\nDear Z,\r\n.\r\n",
)


class Recorded:
    """Writes down what the provider was about to do; may refuse at the dot."""

    def __init__(self, folder: Path, refuse_dot: bool = False) -> None:
        self.folder, self.refuse_dot = folder, refuse_dot
        self.files: list[tuple[str, int, int]] = []

    def begin(self) -> None:
        self._note("begin")

    def dot(self) -> None:
        self._note("dot")
        if self.refuse_dot:
            raise ClaimExpired

    def _note(self, phase: str) -> None:
        self.files.append((phase, len(list(self.folder.glob("tmp/*"))), len(list(self.folder.glob("new/*")))))


def submit(provider: MaildirProvider, folder: Path, message: Outgoing = MESSAGE) -> Outcome:
    clock = SystemClock()
    return asyncio.run(provider.submit(message, Deadline(clock.boot_s() + 60, clock), Recorded(folder)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "mail"


@pytest.fixture
def provider(folder: Path) -> MaildirProvider:
    return MaildirProvider("demo", folder)


def test_a_delivered_message_is_read_by_pythons_mailbox(folder: Path, provider: MaildirProvider) -> None:
    outcome = submit(provider, folder)
    assert (outcome.kind, outcome.phase) == (AttemptOutcome.ACCEPTED, Phase.REPLIED)
    box = mailbox.Maildir(folder, create=False)
    (message,) = list(box)
    assert message["Subject"] == "Hello"
    assert message["Return-Path"] == "<news@shop.example>"
    assert message["Message-ID"] == "<0f3a@shop.example>"
    assert box.get_bytes(box.keys()[0]).endswith(b"\n\nDear Z,\n.\n")
    assert "Delivered-To: zoë@client.example\n".encode() in box.get_bytes(box.keys()[0])


def test_files_and_folders_are_private_whatever_the_umask(folder: Path, provider: MaildirProvider) -> None:
    before = os.umask(0)
    try:
        submit(provider, folder)
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.glob("new/*")} == {0o600}


def test_a_replayed_key_is_delivered_once(folder: Path, provider: MaildirProvider) -> None:
    first = submit(provider, folder)
    assert submit(provider, folder) == first
    assert submit(MaildirProvider("demo", folder), folder, MESSAGE._replace(attempt=2, message_id=9)) == first
    assert len(list(folder.glob("*/*"))) == 1


@pytest.mark.parametrize("marks", [":2,", ":2,FRS", ",S=123,W=130:2,Sa", "!2,S"])
def test_a_replayed_key_is_found_after_it_was_read(folder: Path, provider: MaildirProvider, marks: str) -> None:
    first = submit(provider, folder)
    submit(provider, folder, MESSAGE._replace(key="other"))  # cur has been listed, empty
    (folder / "new" / first.provider_message_id).rename(folder / "cur" / (first.provider_message_id + marks))
    assert provider.find(sought(KEY)) == first.provider_message_id
    assert submit(provider, folder) == first
    assert len(list(folder.glob("new/*"))) == 1


def test_a_folder_that_has_not_changed_is_not_read_again(
    folder: Path, provider: MaildirProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each submission would read all that was ever delivered and read."""
    name = submit(provider, folder).provider_message_id
    (folder / "new" / name).rename(folder / "cur" / f"{name}:2,S")
    os.utime(folder / "cur", (0, 0))  # long ago: what changes from now on has another stamp
    scandir, listed = os.scandir, list[Path]()

    def watched(place: Path) -> object:
        listed.append(place)
        return scandir(place)

    monkeypatch.setattr(os, "scandir", watched)
    assert [provider.find(sought(key)) for key in (KEY, KEY, "other")] == [
        name,
        name,
        None,
    ]
    assert listed == [folder / "cur"]


def test_a_file_read_within_the_clocks_granularity_is_found(folder: Path, provider: MaildirProvider) -> None:
    name = submit(provider, folder).provider_message_id
    listed = (folder / "cur").stat()
    assert provider.find(sought("other")) is None
    (folder / "new" / name).rename(folder / "cur" / f"{name}:2,S")
    os.utime(folder / "cur", ns=(listed.st_atime_ns, listed.st_mtime_ns))
    assert provider.find(sought(KEY)) == name


def test_a_key_that_was_never_delivered_is_not_found(folder: Path, provider: MaildirProvider) -> None:
    submit(provider, folder)
    assert provider.find(sought(KEY[:-1])) is None


def test_another_process_delivering_the_same_key_meanwhile_wins(folder: Path, provider: MaildirProvider) -> None:
    class Rival(Recorded):
        def dot(self) -> None:
            self.outcome = MaildirProvider("rival", folder)._submit(MESSAGE, Recorded(folder))
            (self.file,) = list(folder.glob("new/*"))
            self.inode = self.file.stat().st_ino

    clock, rival = SystemClock(), Rival(folder)
    outcome = asyncio.run(provider.submit(MESSAGE, Deadline(clock.boot_s() + 60, clock), rival))
    assert outcome == rival.outcome
    assert outcome.kind is AttemptOutcome.ACCEPTED
    assert rival.file.stat().st_ino == rival.inode
    assert len(list(folder.glob("*/*"))) == 1


def test_each_mark_comes_before_what_it_announces(folder: Path, provider: MaildirProvider) -> None:
    mark, clock = Recorded(folder), SystemClock()
    asyncio.run(provider.submit(MESSAGE, Deadline(clock.boot_s() + 60, clock), mark))
    asyncio.run(provider.submit(MESSAGE, Deadline(clock.boot_s() + 60, clock), mark))
    assert mark.files == [("begin", 0, 0), ("dot", 1, 0), ("begin", 0, 1), ("dot", 0, 1)]


def test_a_message_is_on_the_disk_before_it_is_delivered_and_its_place_before_it_is_accepted(
    folder: Path, provider: MaildirProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = watched_syncs(folder.parent, monkeypatch)
    outcome = submit(provider, folder)
    file = folder / "new" / outcome.provider_message_id
    *folders, content, place = synced
    assert {sync.path for sync in folders} == {folder, folder.parent}
    assert content.content == file.read_bytes()
    assert file not in content.standing
    assert place.path == folder / "new"
    assert file in place.standing


def test_a_replayed_acceptance_is_on_the_disk_too(
    folder: Path, provider: MaildirProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever delivered it first may have died before its place was durable."""
    submit(provider, folder)
    synced = watched_syncs(folder.parent, monkeypatch)
    submit(provider, folder)
    assert [sync.path for sync in synced] == [folder / "new"]


class AtTheDot(Recorded):
    """Does something of the test's to the maildir when the message is about to be delivered."""

    def __init__(self, folder: Path, deed: Callable[[], object]) -> None:
        super().__init__(folder)
        self.deed = deed

    def dot(self) -> None:
        self.deed()


def submit_with(provider: MaildirProvider, mark: Recorded) -> Outcome:
    clock = SystemClock()
    return asyncio.run(provider.submit(MESSAGE, Deadline(clock.boot_s() + 60, clock), mark))


def test_a_delivery_that_certainly_failed_is_no_doubt(folder: Path, provider: MaildirProvider) -> None:
    """The file is still in tmp, and nowhere else: nobody can read it."""
    outcome = submit_with(provider, AtTheDot(folder, (folder / "new").rmdir))
    assert (outcome.kind, outcome.phase, outcome.scope) == (AttemptOutcome.HALTED, Phase.REPLIED, Scope.PROVIDER)
    assert list(folder.glob("*/*")) == []
    assert submit(provider, folder).kind is AttemptOutcome.ACCEPTED


def test_a_delivery_of_which_nothing_can_be_seen_is_in_doubt(folder: Path, provider: MaildirProvider) -> None:
    outcome = submit_with(provider, AtTheDot(folder, lambda: folder.rename(folder.with_name("away"))))
    assert (outcome.kind, outcome.phase, outcome.scope) == (AttemptOutcome.UNKNOWN, Phase.DOTTED, Scope.PROVIDER)


def test_a_delivery_whose_confirmation_was_lost_is_an_acceptance(
    folder: Path, provider: MaildirProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network file system asks again after a lost reply, and is told that the name is taken or that it failed."""
    link = os.link

    def unconfirmed(source: Path, target: Path) -> None:
        link(source, target)
        raise OSError(errno.EIO, "reply lost")

    monkeypatch.setattr(os, "link", unconfirmed)
    outcome = submit(provider, folder)
    assert (outcome.kind, outcome.phase) == (AttemptOutcome.ACCEPTED, Phase.REPLIED)
    assert [path.name for path in folder.glob("*/*")] == [outcome.provider_message_id]


def test_a_place_that_cannot_be_forced_to_the_disk_is_in_doubt(folder: Path, provider: MaildirProvider) -> None:
    submit(provider, folder)
    outcome = submit_with(provider, AtTheDot(folder, lambda: shutil.rmtree(folder / "new")))
    assert (outcome.kind, outcome.phase, outcome.scope) == (AttemptOutcome.UNKNOWN, Phase.DOTTED, Scope.PROVIDER)


def test_without_fsync_nothing_waits_for_the_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = watched_syncs(folder.parent, monkeypatch)
    assert submit(MaildirProvider("demo", folder, fsync=False), folder).kind is AttemptOutcome.ACCEPTED
    assert synced == []


def test_an_expired_claim_at_the_dot_delivers_nothing(folder: Path, provider: MaildirProvider) -> None:
    clock = SystemClock()
    with pytest.raises(ClaimExpired):
        asyncio.run(provider.submit(MESSAGE, Deadline(clock.boot_s() + 60, clock), Recorded(folder, refuse_dot=True)))
    assert list(folder.glob("*/*")) == []


CHILD = """
import sys
from pathlib import Path
from tests.providers.test_maildir import MaildirProvider, submit
submit(MaildirProvider("demo", Path(sys.argv[1])), Path(sys.argv[1]))
"""


@pytest.mark.parametrize(("failpoint", "delivered"), [("provider.before_dot", 0), ("provider.replied", 1)])
def test_a_killed_delivery_is_whole_or_absent_and_a_replay_completes_it(
    folder: Path, provider: MaildirProvider, failpoint: str, delivered: int
) -> None:
    environ = os.environ | {"SENDCTL_FAILPOINT": f"{failpoint}:kill"}
    child = subprocess.run([sys.executable, "-c", CHILD, str(folder)], env=environ, timeout=60, check=False)
    assert child.returncode == -signal.SIGKILL
    assert len(list(folder.glob("new/*"))) == delivered
    assert submit(provider, folder).kind is AttemptOutcome.ACCEPTED
    (only,) = list(folder.glob("new/*"))
    assert only.read_bytes().endswith(b"Dear Z,\n.\n")


@contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """Makes writes beyond `size_bytes` fail as a full disk would (EFBIG; Python ignores SIGXFSZ)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_fails_defers_and_leaves_nothing(folder: Path, provider: MaildirProvider) -> None:
    with file_size_limit(50):
        outcome = submit(provider, folder)
    assert (outcome.kind, outcome.phase, outcome.scope) == (AttemptOutcome.DEFERRED, Phase.BEGUN, Scope.PROVIDER)
    assert outcome.text
    assert list(folder.glob("*/*")) == []
    assert submit(provider, folder).kind is AttemptOutcome.ACCEPTED


def link(path: Path) -> None:
    (path.parent / "real").mkdir()
    path.symlink_to(path.parent / "real")


def folder_of_files(path: Path) -> None:
    path.mkdir()
    (path / "thesis.txt").write_text("precious")


def linked_new(path: Path) -> None:
    path.mkdir()
    (path / "cur").mkdir()
    (path / "new").symlink_to(path.parent)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (link, "is a symbolic link"),
        (folder_of_files, "is neither a maildir nor empty"),
        (linked_new, "is a symbolic link"),
        (lambda path: path.write_text("a file"), "is not a folder"),
    ],
)
def test_a_place_that_is_no_maildir_halts_the_provider(
    folder: Path, provider: MaildirProvider, make: object, words: str
) -> None:
    assert callable(make)
    make(folder)
    before = sorted(folder.parent.rglob("*"))
    outcome = submit(provider, folder)
    assert (outcome.kind, outcome.phase, outcome.scope) == (AttemptOutcome.HALTED, Phase.UNTOUCHED, Scope.PROVIDER)
    assert words in outcome.text
    assert str(folder) in outcome.text
    assert sorted(folder.parent.rglob("*")) == before


def test_a_missing_parent_halts_instead_of_filling_an_unmounted_disk(tmp_path: Path) -> None:
    outcome = submit(MaildirProvider("demo", tmp_path / "mnt" / "mail"), tmp_path)
    assert outcome.kind is AttemptOutcome.HALTED
    assert not (tmp_path / "mnt").exists()


def test_a_half_made_maildir_is_completed(folder: Path, provider: MaildirProvider) -> None:
    folder.mkdir()
    (folder / "tmp").mkdir()
    (folder / "note.txt").write_text("mine")
    assert submit(provider, folder).kind is AttemptOutcome.ACCEPTED


def test_a_maildir_removed_between_two_messages_is_made_again(folder: Path, provider: MaildirProvider) -> None:
    submit(provider, folder)
    folder.rename(folder.with_name("away"))
    assert submit(provider, folder).kind is AttemptOutcome.ACCEPTED


@pytest.mark.parametrize("key", ["../../etc/cron.d/x", ".hidden", "a:2,S", "", "x" * 400, "a\0b", "ü"])
def test_no_key_leads_out_of_the_maildir(folder: Path, provider: MaildirProvider, key: str) -> None:
    outcome = submit(provider, folder, MESSAGE._replace(key=key))
    assert outcome.kind is AttemptOutcome.ACCEPTED
    (file,) = list(folder.glob("new/*"))
    assert file.name == outcome.provider_message_id == provider.find(sought(key))
    assert len(list(mailbox.Maildir(folder, create=False))) == 1


@pytest.mark.parametrize("recipient", ["a@b.example\nBcc: c@d.example", "a@b.example\r", "a\0@b.example"])
def test_an_address_with_control_characters_is_refused(folder: Path, provider: MaildirProvider, recipient: str) -> None:
    outcome = submit(provider, folder, MESSAGE._replace(recipient=recipient))
    assert (outcome.kind, outcome.phase) == (AttemptOutcome.REFUSED, Phase.UNTOUCHED)
    assert not folder.exists()
