"""Large files are read by two processes: the same people, the same errors, and whichever dies, nobody is half added."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from sendctl import stopping
from sendctl.errors import BadInput, SendctlError, StoppedEarly
from sendctl.passes import enqueue, enrolling, row_checks, second_reader
from tests.store.ground import STEP, Ground, campaign_file, contacts_file

PLANNED = ("contacts", "enrollments", "messages")
FILTERED = STEP.replace('text = "Hello', 'text = "{{ contact.first_name|upper }} Hello')
PLAIN = contacts_file(1, 30)
MIXED = PLAIN + 'P00003@x.example,Again\nann@bücher.example,"A ""\\"" A"\n' + contacts_file(31, 60).partition("\n")[2]
BAD = PLAIN + "nobody,X\nbell@x.example,\x07\n" + contacts_file(31, 50).partition("\n")[2] + '"a@x.example,Y\n'
LONG = contacts_file(1, 2000)  # more than fits into a pipe: the second reader is at work when the first chunk is loaded
JSON = "".join(f'{{"email": "p{n}@x.example", "first_name": "{n}"}}\n' for n in range(40))


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_reader, "LARGE_BYTES", 0)
    monkeypatch.setattr(row_checks, "GROUP_ROWS", 3)
    monkeypatch.setattr(enrolling, "CHUNK_ROWS", 4)


def written(ground: Ground, people: str, steps: Sequence[str], *, skip: bool = False) -> Path:
    (ground.folder / "campaign.toml").write_text(campaign_file(steps=steps))
    contacts = ground.folder / ("people.jsonl" if people.startswith("{") else "people.csv")
    contacts.write_text(people)
    return contacts


def outcome(ground: Ground, people: str, steps: Sequence[str], **options: Any) -> tuple[Any, ...]:
    """What an enqueue says and leaves: its report or error, what is planned, and the bad rows it kept."""
    contacts, kept = written(ground, people, steps), ground.folder / "bad"
    try:
        said: Any = enqueue.run(
            ground.context, ground.folder / "campaign.toml", contacts=contacts,
            skip_bad=kept if options.get("skip") else None, dry_run=options.get("dry_run", False),
        )  # fmt: skip
        said = (said.rows, said.skipped, said.enrolled, said.known, said.repeated, str(said.first_due_at), said.notes)
    except SendctlError as error:
        said = type(error), str(error), error.hint
    bad = kept.read_text() if kept.exists() else None
    kept.unlink(missing_ok=True)
    return said, bad, {name: rows for name, rows in ground.dump().items() if name in PLANNED}


@pytest.mark.parametrize("steps", [(STEP,), (FILTERED,)], ids=["plain", "filtered"])
@pytest.mark.parametrize("people", [PLAIN, MIXED, BAD, JSON], ids=["plain", "mixed", "bad", "json"])
def test_two_processes_add_and_say_what_one_does(
    sqlite_ground: Ground, monkeypatch: pytest.MonkeyPatch, people: str, steps: Sequence[str]
) -> None:
    before = sqlite_ground.backup()
    found = []
    for large_bytes in (0, 1 << 40):
        monkeypatch.setattr(second_reader, "LARGE_BYTES", large_bytes)
        sqlite_ground.put_back(before)
        options: list[dict[str, bool]] = [{"dry_run": True}, {}, {"skip": True}, {"skip": True}]
        found.append([outcome(sqlite_ground, people, steps, **each) for each in options])
    assert found[0] == found[1]
    assert len(found[0][-1][-1]["messages"]) >= 30


def test_a_store_on_another_server_gets_everybody_once_too(ground: Ground) -> None:
    report = ground.enqueue(contacts=MIXED)
    assert (report.rows, report.enrolled, report.repeated_count) == (62, 61, 1)
    again = ground.enqueue(contacts=MIXED + "new@x.example,New\n")
    assert (again.rows, again.enrolled, again.known, again.repeated_count) == (63, 1, 61, 1)
    assert ground.violations() == []


def test_a_file_that_changes_under_two_readers_is_refused(sqlite_ground: Ground) -> None:
    contacts = written(sqlite_ground, PLAIN, (STEP,))

    def change(phase: str, _done: int, _all: int) -> None:
        if phase == "checking":
            contacts.write_text(PLAIN + "more@x.example,More\n")

    with pytest.raises(BadInput, match="changed while it was read"):
        enqueue.run(sqlite_ground.context, sqlite_ground.folder / "campaign.toml", contacts=contacts, progress=change)
    assert sqlite_ground.states() == {}


def children() -> set[int]:
    """Processes that this one has started and that are still there."""
    found = Path("/proc/self/task").glob("*/children")
    return {int(pid) for path in found for pid in path.read_text().split()}


@pytest.mark.parametrize("when", ["checking", "loading"])
def test_death_of_the_second_reader_adds_nobody(ground: Ground, when: str) -> None:
    contacts, before, others = written(ground, LONG, (STEP,)), ground.dump(), children()

    def kill(phase: str, _done: int, _all: int) -> None:
        if phase == when:
            for pid in children() - others:
                os.kill(pid, signal.SIGKILL)

    with pytest.raises(StoppedEarly, match=r"which reads .*people\.csv beside this one, has died"):
        enqueue.run(ground.context, ground.folder / "campaign.toml", contacts=contacts, progress=kill)
    assert {name: rows for name, rows in ground.dump().items() if name != "id_blocks"} == {
        name: rows for name, rows in before.items() if name != "id_blocks"
    }
    assert children() == others


def enqueue_in_a_child(ground: Ground, contacts: Path, progress: Callable[[str, int, int], None]) -> tuple[int, int]:
    """Its process id, and a pipe that ends when it and all that it started are gone."""
    gone, alive = os.pipe()
    ground.close()
    pid = os.fork()
    if pid == 0:
        try:
            stopping.listen()
            with stopping.raising():
                enqueue.run(ground.context, ground.folder / "campaign.toml", contacts=contacts, progress=progress)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(alive)
    return pid, gone


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("when", ["checking", "loading"])
def test_whoever_enqueues_and_dies_adds_nobody_and_leaves_no_process(
    ground: Ground, when: str, number: signal.Signals
) -> None:
    contacts, before = written(ground, LONG, (STEP,)), ground.dump()

    def die(phase: str, _done: int, _all: int) -> None:
        if phase == when:
            os.kill(os.getpid(), number)

    pid, gone = enqueue_in_a_child(ground, contacts, die)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == (-number if number == signal.SIGKILL else 1)
    with os.fdopen(gone) as pipe:
        assert select.select([pipe], [], [], 20)[0], "a process is left"
        assert pipe.read() == ""
    after = ground.dump()
    assert {name: after[name] for name in after if name != "id_blocks"} == {
        name: before[name] for name in before if name != "id_blocks"
    }
    ground.enqueue(contacts=MIXED)
    assert ground.states() == {"queued": 61}
