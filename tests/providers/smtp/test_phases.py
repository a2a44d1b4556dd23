"""The phase table: what each fault at each protocol step comes to, with and without PIPELINING.

All cases run at once in one loop, each against a server of its own; the tests then look at one case each.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from sendctl.providers.base import Outcome
from tests.providers.smtp import world

BIG = world.CONTENT + (b"x" * 70 + b"\r\n") * 100_000  # more than the kernel's buffers hold: an unread body stalls
SILENT_S = (
    5.0  # the deadline where only a deadline ends the case: what comes before is done by then on a busy machine too
)


@dataclass(frozen=True)
class Case:
    """One fault and the outcome it must have: kind, phase, scope, class."""

    step: str
    action: str
    expected: str

    def __str__(self) -> str:
        return f"{self.step} {self.action}".replace("\n", "|")


def _cases() -> list[Case]:
    setup = {"connect": "banner", "banner": "banner", "ehlo": "ehlo"}
    cases = [
        Case(step, action, f"untouched untouched provider {error_class}")
        for step, error_class in setup.items()
        for action in ("close", "reset")
    ]
    cases += [Case(step, action, "untouched untouched provider timeout") for step in setup for action in SILENT]
    for step in ("banner", "ehlo"):
        cases += [
            Case(step, "reply:450 4.3.2 later", f"untouched untouched provider {step}"),
            Case(step, "reply:421 4.3.2 later", f"untouched untouched provider {step}"),
            Case(step, "reply:554 5.7.1 no", f"halted untouched provider {step}" if step == "banner" else ACCEPTED),
            *(Case(step, malformed, f"untouched untouched provider {step}") for malformed in MALFORMED),
        ]
    for step in ("mail", "rcpt", "data", "body"):
        cases += [Case(step, action, "deferred begun provider dropped") for action in ("close", "reset")]
        cases += [Case(step, "silence", "deferred begun provider timeout")]
        cases += [Case(step, malformed, "deferred begun provider protocol") for malformed in MALFORMED]
        cases += [Case(step, "reply:421 4.3.2 shutting down", "deferred begun provider throttled")]
        cases += [Case(step, "reply:503 5.5.1 sequence", "deferred begun provider protocol")] * (step != "body")
        cases += [Case(step, "drip", "deferred begun provider timeout")]
    for step in ("dot", "reply"):
        cases += [Case(step, action, "unknown dotted provider dropped") for action in ("close", "reset")]
        cases += [Case(step, action, "unknown dotted provider timeout") for action in SILENT]
        cases += [Case(step, malformed, "unknown dotted provider protocol") for malformed in MALFORMED]
    cases += [Case("quit", action, ACCEPTED) for action in ("close", "reset", "silence", "reply:421 no", MALFORMED[0])]
    return cases + [Case(*row) for row in REPLIES]


ACCEPTED = "accepted replied recipient "
SILENT = ("silence", "drip")
MALFORMED = ("reply:hello", "reply:250-first\n354 second", "reply:25", "reply:999 what", "reply:250-" + "x" * 3000)
BABBLE = "reply:" + "\n".join(["250 2.0.0 ok"] * 17)
REPLIES = [
    ("mail", BABBLE, "deferred begun provider protocol"),
    ("mail", "reply:250 2.1.0 ok\n250 2.1.5 not asked for", "deferred begun provider protocol"),
    ("mail", "reply:450 4.7.1 slow down", "deferred begun provider throttled"),
    ("mail", "reply:451 4.3.0 trouble", "deferred begun provider mail"),
    ("mail", "reply:452 4.3.1 full", "deferred begun provider throttled"),
    ("mail", "reply:454 4.7.0 later", "deferred begun provider throttled"),
    ("mail", "reply:530 5.7.0 authenticate first", "halted begun provider auth"),
    ("mail", "reply:535 5.7.8 no", "halted begun provider auth"),
    ("mail", "reply:550 5.7.1 sender not allowed", "halted begun campaign sender"),
    ("mail", "reply:550 no such sender", "halted begun campaign sender"),
    ("mail", "reply:553 5.1.8 bad sender", "halted begun campaign sender"),
    ("mail", "reply:552 5.3.4 too big", "refused begun recipient size"),
    ("mail", "reply:552 too big", "refused begun recipient size"),
    ("mail", "reply:552 5.2.2 over quota", "halted begun provider mail"),
    ("mail", "reply:550 5.6.7 no UTF-8 here", "refused begun recipient smtputf8-unsupported"),
    ("mail", "reply:555 5.5.4 parameter", "halted begun provider mail"),
    ("mail", "reply:354 go on", "deferred begun provider protocol"),
    ("rcpt", "reply:450 4.2.1 mailbox busy", "deferred begun recipient rcpt"),
    ("rcpt", "reply:451 4.7.1 greylisted", "deferred begun recipient throttled"),
    ("rcpt", "reply:452 4.2.2 mailbox full", "deferred begun recipient throttled"),
    ("rcpt", "reply:550 5.1.1 no such user", "refused begun recipient rcpt"),
    ("rcpt", "reply:550-5.1.1 no\n550 5.1.1 such user", "refused begun recipient rcpt"),
    ("rcpt", "reply:551 5.1.6 moved", "refused begun recipient rcpt"),
    ("rcpt", "reply:554 5.7.1 relay access denied", "refused begun recipient policy"),
    ("rcpt", "reply:530 5.7.0 authenticate first", "halted begun provider auth"),
    ("rcpt", "reply:553 5.6.7 no UTF-8 here", "refused begun recipient smtputf8-unsupported"),
    ("rcpt", "reply:552 too many recipients", "deferred begun recipient throttled"),
    ("rcpt", "reply:552 5.2.2 mailbox full", "refused begun recipient rcpt"),
    ("data", "reply:451 4.3.0 trouble", "deferred begun provider data"),
    ("data", "reply:451 4.2.1 later", "deferred begun recipient data"),
    ("data", "reply:554 5.6.0 no", "refused begun recipient data"),
    ("data", "reply:250 what", "deferred begun provider protocol"),
    ("body", "reply:451 4.3.0 trouble", "deferred begun provider content"),
    ("body", "reply:552 5.3.4 too big", "refused begun recipient size"),
    ("body", "reply:250 2.0.0 before the dot", "deferred begun provider protocol"),
    ("dot", "reply:451 4.3.0 trouble", "deferred replied provider content"),
    ("dot", "reply:451 4.2.1 later", "deferred replied recipient content"),
    ("dot", "reply:450 4.7.0 slow down", "deferred replied recipient throttled"),
    ("dot", "reply:421 4.3.2 shutting down", "deferred replied provider throttled"),
    ("dot", "reply:554 5.6.0 spam", "refused replied recipient content"),
    ("dot", "reply:552 5.3.4 too big", "refused replied recipient size"),
    ("dot", "reply:535 5.7.8 no", "halted replied provider auth"),
    ("dot", "reply:354 what", "unknown dotted provider protocol"),
    ("reply", "reply:250-2.0.0 Ok\n250 2.0.0 queued as 4F2Ab9", ACCEPTED),
]
CASES = _cases()
BEFORE_DOT = ("mail", "rcpt", "data", "body")
Results = dict[tuple[Case, bool], tuple[Outcome, list[str], int]]


def _needs_deadline(case: Case) -> bool:
    # A reply that stops short of its line end, in "25" or in silence, waits for more.
    return case.action in SILENT


async def _one(folder: Path, case: Case, pipelining: bool) -> tuple[Outcome, list[str], int]:
    async with world.server(folder, {"at": case.step, "do": case.action}, pipelining=pipelining) as double:
        relay = world.provider(double.port)
        message = world.outgoing(content=BIG if case.step == "body" else world.CONTENT)
        outcome, mark = await world.submit(relay, message, SILENT_S if _needs_deadline(case) else 60.0)
        await relay.close()
    return outcome, mark.calls, len(world.lines(folder / "log"))


async def _all(folder: Path) -> Results:
    pairs = [(case, pipelining) for case in CASES for pipelining in (True, False)]
    for silent in (False, True):  # apart, so that a short deadline is not spent on the other cases' work
        group = [pair for pair in pairs if _needs_deadline(pair[0]) is silent]
        jobs = [_one(folder / f"{silent}{number}", *pair) for number, pair in enumerate(group)]
        yielded = await asyncio.gather(*jobs)
        RESULTS.update(zip(group, yielded, strict=True))
    return RESULTS


RESULTS: Results = {}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return RESULTS or world.run(_all(tmp_path_factory.mktemp("phases")))


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "stepwise"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_fault_at_each_step_has_exactly_its_outcome(results: Results, case: Case, pipelining: bool) -> None:
    outcome, calls, accepted = results[case, pipelining]
    assert f"{outcome.kind} {outcome.phase} {outcome.scope} {outcome.error_class}" == case.expected, outcome.text
    # The mark heard of each phase before its bytes left, and the server's own log never contradicts the outcome.
    assert calls == {"untouched": [], "begun": ["begin"]}.get(outcome.phase, ["begin", "dot"])
    if outcome.kind != "unknown":
        assert accepted == (outcome.kind == "accepted")
    assert outcome.text == "" or outcome.text.isprintable()
