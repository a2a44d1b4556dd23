"""The situations that the documents speak of, brought about for real: killed and stopped passes, a relay that is down.

Each is named by the words of the document. The world's commands are those of a shell; nothing here calls the
program's code.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from tests.docs.forking import commands_folder
from tests.smtp_double import SmtpDouble, start_smtp_double

ROOT = Path(__file__).parents[2]
KILLED = 128 + signal.SIGKILL
COMMAND_S = 60.0  # nothing in a document takes longer unless it hangs
FULL_BYTES = 100_000  # a limit on the size of files that the journal's reserve does not fit into

CONFIG = """\
[store]
url = "{url}"

[send]
enabled = true
providers = ["relay"]

[providers.relay]
type = "smtp"
host = "127.0.0.1"
port = {port}
tls = "none"
connections = 1  # one message after the other, so that every run of a document has the same counts

[journal]
path = "journal"

[reconcile]
mta = "postfix"
mta_logs = ["mail.log*"]
mta_providers = ["relay"]
"""


@dataclass
class World:
    """A host: its folder with sendctl.toml, its relay, and the disturbances of the moment."""

    folder: Path
    store_url: str
    at_end: ExitStack
    postgres: Any = None  # the PostgresServer of a world whose store is there
    relay: SmtpDouble | None = None
    relay_port: int = 0
    file_limit_bytes: int | None = None
    stopped: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def shell(self, command: str, *, failpoint: str = "") -> tuple[int, str]:
        """Run a shell command; returns its exit status as a shell has it, and both streams as one text."""
        done = subprocess.run(
            ["/bin/sh", "-c", self._with_pid(command)], cwd=self.folder, env=self._environ(failpoint),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=COMMAND_S,
            check=False, preexec_fn=self._limit_files,
        )  # fmt: skip
        # A shell that replaces itself with its only command dies of the signal; one that waits for it says 128 + N.
        return done.returncode if done.returncode >= 0 else 128 - done.returncode, done.stdout

    def _with_pid(self, command: str) -> str:
        """The documents' process 4711 is the one that was stopped here."""
        return command.replace("4711", str(self.stopped[-1].pid)) if self.stopped else command

    def expect(self, command: str, *, failpoint: str = "", code: int = 0) -> None:
        """Run a command that a situation consists of."""
        assert (ended := self.shell(command, failpoint=failpoint))[0] == code, (command, ended)

    def start(self, command: str, failpoint: str) -> subprocess.Popen[bytes]:
        """Start a command that a failpoint will stop."""
        program, *arguments = command.split()
        # The program itself: whoever stops or kills it must meet it.
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / program), *arguments], cwd=self.folder, env=self._environ(failpoint),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.stopped.append(process)
        return process

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement as sqlite3 or psql would; returns its rows."""
        if self.store_url.startswith("sqlite"):
            with closing(sqlite3.connect(self.folder / "sendctl.db", isolation_level=None)) as connection:
                return connection.execute(statement).fetchall()
        with psycopg.connect(self.store_url, autocommit=True) as database:
            cursor = database.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _environ(self, failpoint: str) -> dict[str, str]:
        path = f"{commands_folder()}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        plain = {
            "PATH": path, "HOME": str(self.folder), "LC_ALL": "C.UTF-8", "STORE": self.store_url,
            "SENDCTL_JOURNAL_WITNESS": "witness",
        }  # fmt: skip
        if self.file_limit_bytes is not None:
            plain["PYTHONDONTWRITEBYTECODE"] = "1"  # the limit would cut off the bytecode that others read
        return plain | ({"SENDCTL_FAILPOINT": failpoint} if failpoint else {})

    def _limit_files(self) -> None:
        if self.file_limit_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.file_limit_bytes, self.file_limit_bytes))

    def start_relay(self, **options: Any) -> None:
        """A relay on the port it had before, if it had one."""
        self.relay = self.at_end.enter_context(start_smtp_double(self.folder, port=self.relay_port, **options))
        self.relay_port = self.relay.port

    def stop_relay(self) -> None:
        """Connections are refused from now on."""
        assert self.relay is not None
        self.relay.stop()

    def configure(self) -> None:
        """Write sendctl.toml."""
        path = self.folder / "sendctl.toml"
        path.touch(mode=0o600)  # the URL of a Postgres store has a password
        path.write_text(CONFIG.format(url=self.store_url, port=self.relay_port))

    def close(self) -> None:
        """End what is still stopped."""
        for process in self.stopped:
            if process.poll() is None:
                process.kill()
            process.wait()


def a_campaign_is_enqueued(world: World) -> None:
    """The sample campaign and its 200 people, planned and not yet sent."""
    world.start_relay()
    world.configure()
    for path in (ROOT / "examples/spring-sale").iterdir():
        shutil.copy(path, world.folder)
    world.expect("sendctl migrate")
    world.expect("sendctl enqueue campaign.toml --contacts contacts.csv")


def a_pass_was_killed(world: World) -> None:
    """kill -9 in its first window of 20: some replies written down, one read and not written, some untouched."""
    world.expect("sendctl send-due", failpoint="provider.replied:kill:10", code=KILLED)


def a_second_campaign_hangs_half_way(world: World) -> None:
    """A pass that stands still, as under SIGSTOP or on a frozen disk."""
    _second_campaign(world)
    process = world.start("sendctl send-due", "journal.dotted:stop:10")
    give_up_at = time.monotonic() + COMMAND_S
    while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert process.poll() is None, "the pass ended before it could be stopped"
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def _second_campaign(world: World) -> None:
    text = (world.folder / "campaign.toml").read_text()
    (world.folder / "letter.toml").write_text(text.replace('"spring-sale"', '"letter"'))
    world.expect("sendctl enqueue letter.toml --contacts contacts.csv")


def the_stopped_pass_is_gone(world: World) -> None:
    """The document has killed it; its parent takes note."""
    for process in world.stopped:
        process.wait(COMMAND_S)


def a_relay_listens(world: World) -> None:
    """And nothing else is there."""
    world.start_relay()


def the_configuration_names_the_relay(world: World) -> None:
    """The reader has edited sendctl.toml as shown, with the relay of this test."""
    world.configure()


def half_is_sent(world: World) -> None:
    """A first part went out without trouble."""
    world.expect("sendctl send-due --limit 100")


def the_relay_is_down(world: World) -> None:
    """Nobody listens on its port."""
    world.stop_relay()


def the_relay_is_back(world: World) -> None:
    """It listens again, and takes everything."""
    world.stop_relay()
    world.start_relay()


def a_second_campaign_meets_a_relay_that_refuses_the_sender(world: World) -> None:
    """Each MAIL FROM is refused for good. The breaker of the outage before is closed, as time would have closed it."""
    _second_campaign(world)
    world.stop_relay()
    world.sql("DELETE FROM provider_state")
    world.start_relay(script=[{"at": "mail", "do": "reply:550 5.7.1 Sender address rejected: not owned by user shop"}])


def the_relay_loses_replies(world: World) -> None:
    """It takes every other message, three in all, and the connection breaks before its 250 arrives; then it behaves."""
    world.stop_relay()
    world.start_relay(script=[{"at": "reply", "do": "reset", "every": 2, "first": 3}])


def they_were_lost_in_the_same_second(world: World) -> None:
    """What is in doubt since different seconds is told of in as many lines."""
    latest = "SELECT max(in_doubt_at) FROM messages WHERE status = 'in_doubt'"
    world.sql(f"UPDATE messages SET in_doubt_at = ({latest}) WHERE status = 'in_doubt'")


def the_relay_is_a_postfix(world: World) -> None:
    """Its log, as Postfix writes it: what the relay's own record says it took in."""
    assert world.relay is not None
    lines = [_log_line(datetime.now(UTC) - timedelta(hours=1), "anvil[4]: statistics: max connection rate 1/60s")]
    for row in world.relay.accepted():
        at, queue_id = datetime.fromisoformat(row["at"]), row["queue_id"]
        for text in (
            f"smtpd[10]: {queue_id}: client=app.shop.example[192.0.2.1]",
            f"cleanup[11]: {queue_id}: message-id={row['message_id']}",
            f"qmgr[12]: {queue_id}: from=<{row['from']}>, size={row['size']}, nrcpt=1 (queue active)",
            f"smtp[13]: {queue_id}: to=<{row['rcpt']}>, relay=mx.example[192.0.2.9]:25, status=sent (250 Ok)",
            f"qmgr[12]: {queue_id}: removed",
        ):  # fmt: skip
            lines.append(_log_line(at, text))
    (world.folder / "mail.log").write_text("".join(lines))


def _log_line(at: datetime, text: str) -> str:
    return f"{at.isoformat(timespec='microseconds')} mail1 postfix/{text}\n"


def sending_is_disabled(world: World) -> None:
    """The configuration no longer says that this host may send."""
    _edit(world, "enabled = true", "enabled = false")


def sending_is_enabled(world: World) -> None:
    """It says so again."""
    _edit(world, "enabled = false", "enabled = true")


def _edit(world: World, before: str, after: str) -> None:
    path = world.folder / "sendctl.toml"
    path.write_text(path.read_text().replace(before, after))


def no_pass_has_run_for_long(world: World) -> None:
    """Cron is dead: what is due has been so for months, and the last sign of a pass is as old."""
    long_ago = "'2025-12-01 09:00:00.000000'"
    world.sql(f"UPDATE messages SET due_at = {long_ago}, next_attempt_at = {long_ago} WHERE status = 'queued'")
    world.sql(f"UPDATE runs SET started_at = {long_ago}, heartbeat_at = {long_ago}")
    world.sql(f"UPDATE store SET last_pass_at = {long_ago}")


def a_backup_was_made(world: World) -> None:
    """A copy of the store, made as SQLite wants it: with its own backup command."""
    world.expect("python -c \"import sqlite3; sqlite3.connect('sendctl.db').execute('VACUUM INTO \\'backup.db\\'')\"")


def the_backup_is_put_back(world: World) -> None:
    """The file alone: what lay beside the newer one belongs to that."""
    for suffix in ("-wal", "-shm"):
        (world.folder / f"sendctl.db{suffix}").unlink(missing_ok=True)
    shutil.copy(world.folder / "backup.db", world.folder / "sendctl.db")


def the_disk_is_full(world: World) -> None:
    """No file may grow beyond a limit: what a write then says differs from a full disk in its words only."""
    world.file_limit_bytes = FULL_BYTES


def the_store_cannot_grow(world: World) -> None:
    """Not even a small file may grow."""
    world.file_limit_bytes = 4096


def there_is_room_again(world: World) -> None:
    """The limit is gone."""
    world.file_limit_bytes = None


def the_database_is_down(world: World) -> None:
    """Postgres crashed: connections break."""
    world.postgres.stop("immediate")


def the_database_is_back(world: World) -> None:
    """It recovers from its log and takes connections."""
    world.postgres.start()


def a_standby_was_promoted(world: World) -> None:
    """The server begins a new timeline, as a promoted standby does: it ends an archive recovery."""
    world.postgres.stop("fast")
    data = Path(world.postgres.place.data)
    with (data / "postgresql.auto.conf").open("a") as file:
        file.write("restore_command = '/bin/false'\n")
    (data / "recovery.signal").touch()
    if world.postgres.place.user:
        shutil.chown(data / "recovery.signal", world.postgres.place.user)
    world.postgres.start()


def an_encrypted_letter_is_due_and_another_waits(world: World) -> None:
    """One letter is due now, one tomorrow, both under a key that is here."""
    (world.folder / "letters.key").write_text("5a" * 32)
    with (world.folder / "sendctl.toml").open("a") as file:
        file.write('\n[letters]\nkey_file = "letters.key"\n')
    for name, when in (("door-code", "now"), ("later", "+1d")):
        (world.folder / f"{name}.toml").write_text(
            f'[letter]\nname = "{name}"\nto = "ana@recipient.example"\nfrom = "lea@lessor.example"\nencrypt = true\n'
            'subject = "Your code"\ntext = "2580"\n'
        )
        if name == "door-code":
            world.expect("sendctl migrate")
        world.expect(f"sendctl enqueue --letter {name}.toml --at {when}")


def the_key_is_gone(world: World) -> None:
    """Somebody has moved it."""
    (world.folder / "letters.key").rename(world.folder / "moved.key")


def the_key_is_put_back(world: World) -> None:
    """It was found."""
    (world.folder / "moved.key").rename(world.folder / "letters.key")


_ALL: tuple[Callable[[World], None], ...] = (
    a_relay_listens,
    the_configuration_names_the_relay,
    a_campaign_is_enqueued,
    half_is_sent,
    a_pass_was_killed,
    a_second_campaign_hangs_half_way,
    the_stopped_pass_is_gone,
    the_relay_is_down,
    the_relay_is_back,
    the_relay_loses_replies,
    they_were_lost_in_the_same_second,
    a_second_campaign_meets_a_relay_that_refuses_the_sender,
    the_relay_is_a_postfix,
    sending_is_disabled,
    sending_is_enabled,
    no_pass_has_run_for_long,
    a_backup_was_made,
    the_backup_is_put_back,
    the_disk_is_full,
    the_store_cannot_grow,
    there_is_room_again,
    the_database_is_down,
    the_database_is_back,
    a_standby_was_promoted,
    an_encrypted_letter_is_due_and_another_waits,
    the_key_is_gone,
    the_key_is_put_back,
)


def by_words(actions: Iterable[Callable[[World], None]]) -> dict[str, Callable[[World], None]]:
    """Situations by the words that documents have for them."""
    return {action.__name__.replace("_", " "): action for action in actions}


SITUATIONS = by_words(_ALL)
