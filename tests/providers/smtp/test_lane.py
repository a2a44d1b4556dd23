"""Messages that follow each other on one connection: what a fault at one of them means for it and for the next.

The next one's envelope is behind the dot of the one before. All cases run at once in one loop, as in test_phases.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sendctl.providers.base import ClaimExpired, Job, Outcome
from tests.providers.smtp import world
from tests.providers.smtp.test_phases import ACCEPTED, BIG, CASES, SILENT, SILENT_S, Case

BOTH = pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "stepwise"])
BEFORE, MIDDLE, BEHIND = PEOPLE = ("p1@x.example", "p2@x.example", "p3@x.example")
# What ends the connection or its set-up is another test's matter: here it is open, and has carried a message.
FAULTS = [case for case in CASES if case.step in ("mail", "rcpt", "data", "body", "dot", "reply")]


@dataclass
class Line:
    """A feed of given messages that remembers what came of each."""

    waiting: list[Job]
    stopped_by: str = ""  # the recipient whose end forbids the others
    ended: dict[str, Outcome | Exception] = field(default_factory=dict)

    def take(self) -> Job | None:
        return self.waiting.pop(0) if self.waiting and self.stopped_by not in self.ended else None

    async def more(self) -> bool:
        return bool(self.waiting) and self.stopped_by not in self.ended

    def goes_on(self, job: Job) -> bool:
        return self.stopped_by not in self.ended

    def end(self, job: Job, outcome: Outcome) -> None:
        self._over(job, outcome)

    def fail(self, job: Job, error: Exception) -> None:
        self._over(job, error)

    def _over(self, job: Job, what: Outcome | Exception) -> None:
        assert job.message.recipient not in self.ended
        self.ended[job.message.recipient] = what

    def said(self, recipient: str) -> str:
        outcome = self.ended[recipient]
        if isinstance(outcome, Exception):
            return type(outcome).__name__
        return f"{outcome.kind} {outcome.phase} {outcome.scope} {outcome.error_class}"


@dataclass
class Sent:
    """What came of a line, what its marks heard, and what the server says."""

    line: Line
    marks: dict[str, world.Mark]
    accepted: list[str]
    heard: list[tuple[int, str]]

    @property
    def said(self) -> list[str]:
        return [self.line.said(person) for person in self.marks]


Change = Callable[[dict[str, world.Mark]], None]


async def _sent(
    folder: Path, *rules: dict[str, Any], people: tuple[str, ...] = PEOPLE, seconds: dict[str, float] | None = None,
    contents: dict[str, bytes] | None = None, stopped_by: str = "", change: Change = lambda _marks: None,
    settings: dict[str, Any] | None = None, eight_bit: tuple[str, ...] = (), **options: Any,
) -> Sent:  # fmt: skip
    async with world.server(folder, *rules, **options) as double:
        relay = world.provider(double.port, connections=1, **(settings or {}))
        marks = {person: world.Mark() for person in people}
        change(marks)
        jobs = [
            Job(
                world.outgoing(person, (contents or {}).get(person, world.CONTENT), message_id=number,
                               eight_bit=person in eight_bit),
                world.deadline((seconds or {}).get(person, 60.0)), marks[person],
            ) for number, person in enumerate(people)
        ]  # fmt: skip
        line = Line(jobs, stopped_by)
        await relay.stream(line)
        await relay.close()
    heard = [json.loads(text) for text in world.lines(folder / "heard")]
    accepted = [json.loads(text)["rcpt"] for text in world.lines(folder / "log")]
    return Sent(line, marks, accepted, [(each["connection"], each["line"]) for each in heard])


def _rule(case: Case) -> dict[str, Any]:
    who = {"skip": 1, "first": 1} if case.step == "mail" else {"recipient": "^p2"}
    return {"at": case.step, "do": case.action} | who


async def _one(folder: Path, case: Case, pipelining: bool) -> Sent:
    contents = {MIDDLE: BIG} if case.step == "body" else {}
    seconds = {MIDDLE: SILENT_S} if case.action in SILENT else {}
    return await _sent(folder, _rule(case), pipelining=pipelining, contents=contents, seconds=seconds)


async def _all(folder: Path) -> None:
    for silent in (False, True):  # apart, so that a short deadline is not spent on the other cases' work
        group = [(case, pipelining) for case in FAULTS for pipelining in (True, False)
                 if (case.action in SILENT) is silent]  # fmt: skip
        for attempt in range(3):  # a machine that stands still just then is test_deadlines' matter
            jobs = [_one(folder / f"{silent}{attempt}{number}", *pair) for number, pair in enumerate(group)]
            RESULTS.update(zip(group, await asyncio.gather(*jobs), strict=True))
            if not any("stood_still" in said for pair in group for said in RESULTS[pair].said):
                break


RESULTS: dict[tuple[Case, bool], Sent] = {}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[Case, bool], Sent]:
    if not RESULTS:
        world.run(_all(tmp_path_factory.mktemp("lane")))
    return RESULTS


def _expected(case: Case) -> str:
    # On a connection that had carried a message, an end before MAIL was answered is retried on a fresh one.
    gone = case.action in ("close", "reset") or case.action.startswith("reply:421")
    return ACCEPTED if case.step == "mail" and gone else case.expected


@BOTH
@pytest.mark.parametrize("case", FAULTS, ids=str)
def test_a_fault_between_two_messages_is_the_fault_of_its_own(
    results: dict[tuple[Case, bool], Sent], case: Case, pipelining: bool
) -> None:
    sent = results[case, pipelining]
    assert sent.said == [ACCEPTED, _expected(case), ACCEPTED]
    assert len(sent.accepted) == len(set(sent.accepted)), "somebody got two copies"
    assert {BEFORE, BEHIND} <= set(sent.accepted)
    if "unknown" not in _expected(case):
        assert (MIDDLE in sent.accepted) == (_expected(case) == ACCEPTED)
    for mark in sent.marks.values():
        assert mark.calls in (["begin"], ["begin", "dot"])


def test_the_next_envelope_leaves_behind_the_dot(tmp_path: Path) -> None:
    sent = world.run(_sent(tmp_path, latency_s=0.2))
    assert sent.said == [ACCEPTED] * 3
    assert len({connection for connection, _ in sent.heard}) == 1
    verbs = [line.split()[0] for _, line in sent.heard]
    assert verbs == ["EHLO", *["MAIL", "RCPT", "DATA", "."] * 3, "QUIT"]


def test_a_dot_is_marked_when_all_that_leaves_with_it_is_ready(tmp_path: Path) -> None:
    calls: list[str] = []

    def noting(marks: dict[str, world.Mark]) -> None:
        for person, mark in marks.items():
            mark.at_begin = partial(calls.append, f"begin {person}")
            mark.at_dot = partial(calls.append, f"dot {person}")

    assert world.run(_sent(tmp_path, change=noting)).said == [ACCEPTED] * 3
    steps = [("begin", BEFORE), ("begin", MIDDLE), ("dot", BEFORE), ("begin", BEHIND), ("dot", MIDDLE), ("dot", BEHIND)]
    assert calls == [" ".join(step) for step in steps]


def test_a_server_that_takes_the_rest_of_a_refused_body_for_commands_is_left(tmp_path: Path) -> None:
    contents = {BEFORE: world.CONTENT + b"MAIL FROM:<x@y.example>\r\nRCPT TO:<z@y.example>\r\n" * 3}
    sent = world.run(_sent(tmp_path, refuses_early="^p1", contents=contents))
    assert sent.said == ["refused replied recipient size", ACCEPTED, ACCEPTED]
    assert sent.accepted == [MIDDLE, BEHIND]


def test_nothing_follows_on_a_connection_that_has_carried_all_it_may(tmp_path: Path) -> None:
    people = tuple(f"p{number}@x.example" for number in range(5))
    sent = world.run(_sent(tmp_path, people=people, settings={"messages_per_connection": 2}))
    assert sent.said == [ACCEPTED] * 5
    mails = [connection for connection, line in sent.heard if line.startswith("MAIL")]
    assert [mails.count(connection) for connection in dict.fromkeys(mails)] == [2, 2, 1]


def test_a_message_that_was_only_begun_is_withdrawn_when_sending_stops(tmp_path: Path) -> None:
    refusal = {"at": "dot", "do": "reply:554 5.7.1 spam", "recipient": "^p1"}
    sent = world.run(_sent(tmp_path, refusal, stopped_by=BEFORE))
    assert sent.line.said(MIDDLE) == "untouched begun recipient withdrawn"
    assert sent.marks[MIDDLE].calls == ["begin"]
    assert sent.accepted == []
    assert BEHIND not in sent.line.ended


def test_a_body_that_may_not_follow_is_withheld_and_nothing_else_is_taken_for_it(tmp_path: Path) -> None:
    """Its envelope has left behind the dot before it: whatever came next on that connection would be its body."""

    async def main() -> tuple[Line, list[world.Mark], Outcome]:
        async with world.server(tmp_path) as double:
            relay = world.provider(double.port, connections=1)
            marks = [world.Mark(), world.Mark()]
            jobs = [Job(world.outgoing(person, message_id=number), world.deadline(), marks[number])
                    for number, person in enumerate((BEFORE, MIDDLE))]  # fmt: skip
            line = Line(jobs, stopped_by=BEFORE)
            await relay.stream(line)
            outcome, _ = await world.submit(relay, world.outgoing(BEHIND))
            await relay.close()
            return line, marks, outcome

    line, marks, outcome = world.run(main())
    assert [line.said(person) for person in (BEFORE, MIDDLE)] == [
        ACCEPTED, "untouched begun recipient withdrawn",
    ]  # fmt: skip
    assert marks[1].calls == ["begin"]
    assert outcome.kind == "accepted"
    assert [row["rcpt"] for row in world.rows(tmp_path)] == [BEFORE, BEHIND]


def test_a_lane_that_ran_dry_goes_on_when_there_is_more(tmp_path: Path) -> None:
    class Refilled(Line):
        later: list[Job]

        async def more(self) -> bool:
            self.waiting, self.later = self.later, []
            return bool(self.waiting)

    async def main() -> Refilled:
        async with world.server(tmp_path) as double:
            relay = world.provider(double.port, connections=1)
            jobs = [Job(world.outgoing(person, message_id=number), world.deadline(), world.Mark())
                    for number, person in enumerate(PEOPLE)]  # fmt: skip
            line = Refilled(jobs[:1])
            line.later = jobs[1:]
            await relay.stream(line)
            await relay.close()
            return line

    line = world.run(main())
    assert [line.said(person) for person in PEOPLE] == [ACCEPTED] * 3
    assert len([line for line in world.lines(tmp_path / "heard") if "EHLO" in line]) == 1


def test_a_message_whose_time_the_one_before_used_up_is_nobodys_failure(tmp_path: Path) -> None:
    silence = {"at": "reply", "do": "silence", "recipient": "^p1"}
    sent = world.run(_sent(tmp_path, silence, seconds={BEFORE: SILENT_S, MIDDLE: SILENT_S}))
    assert sent.said == ["unknown dotted provider timeout", "untouched begun recipient overtaken", ACCEPTED]
    assert sorted(sent.accepted) == [BEFORE, BEHIND]


def _refusing(person: str, call: str) -> Change:
    def refuse() -> None:
        raise ClaimExpired

    def change(marks: dict[str, world.Mark]) -> None:
        setattr(marks[person], f"at_{call}", refuse)

    return change


@BOTH
def test_a_claim_lost_before_its_begin_lets_no_byte_of_it_leave(tmp_path: Path, pipelining: bool) -> None:
    sent = world.run(_sent(tmp_path, change=_refusing(MIDDLE, "begin"), pipelining=pipelining))
    assert sent.said == [ACCEPTED, "ClaimExpired", ACCEPTED]
    assert not [line for _, line in sent.heard if MIDDLE in line]
    assert sent.accepted == [BEFORE, BEHIND]


@BOTH
def test_a_claim_lost_before_its_dot_does_not_hold_up_the_next(tmp_path: Path, pipelining: bool) -> None:
    sent = world.run(_sent(tmp_path, change=_refusing(BEFORE, "dot"), pipelining=pipelining))
    assert sent.said == ["ClaimExpired", ACCEPTED, ACCEPTED]
    assert sent.accepted == [MIDDLE, BEHIND]
    assert sent.marks[MIDDLE].calls == ["begin", "dot"]


def test_what_no_server_or_not_this_one_can_take_is_passed_over(tmp_path: Path) -> None:
    people = (BEFORE, "not an address", MIDDLE, BEHIND)
    extensions = ("SIZE 52428800", "ENHANCEDSTATUSCODES")
    sent = world.run(_sent(tmp_path, people=people, eight_bit=(MIDDLE,), extensions=extensions))
    assert sent.said == [
        ACCEPTED, "refused untouched recipient address", "refused untouched recipient 8bitmime-unsupported", ACCEPTED,
    ]  # fmt: skip
    assert sent.accepted == [BEFORE, BEHIND]


def test_a_server_that_forgets_what_was_behind_the_dot_sends_nobody_two_copies(tmp_path: Path) -> None:
    sent = world.run(_sent(tmp_path, discards_behind_dot=True, settings={"reply_timeout_s": 0.3}))
    assert len(sent.accepted) == len(set(sent.accepted))
    assert [person for person in PEOPLE if sent.line.said(person) == ACCEPTED] == sent.accepted
    assert sent.line.said(MIDDLE) == "deferred begun provider timeout"


def test_pipelining_can_be_switched_off_for_such_a_server(tmp_path: Path) -> None:
    sent = world.run(_sent(tmp_path, discards_behind_dot=True, settings={"pipelining": False}))
    assert sent.said == [ACCEPTED] * 3
