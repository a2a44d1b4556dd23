"""One bad message, provider or mark never stops the others, and its phase alone says what may be assumed of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sendctl.clock import Deadline
from sendctl.providers import registry
from sendctl.providers.base import Outcome, Outgoing, Phase, PhaseMark
from sendctl.settings import ProviderTable
from tests.passes.judge import Judge, JudgedProvider
from tests.smtp_double import start_smtp_double
from tests.store.ground import ACCEPTED, DOWN, Ground

FIRST = "p00001@x.example"


def fates(ground: Ground) -> list[tuple[str, str, str]]:
    """State, error class and phase by the order of people."""
    return [
        tuple(row) for row in ground.rows(
            "SELECT m.status, coalesce(m.error_class, ''), coalesce(a.phase, '') FROM messages m"
            " JOIN attempts a ON a.message_id = m.id ORDER BY m.id"
        )
    ]  # fmt: skip


def test_a_pass_over_smtp_reaches_everybody_once(ground: Ground, tmp_path: Path) -> None:
    with start_smtp_double(tmp_path, fsync=False) as double:
        options = {"host": "127.0.0.1", "port": double.port, "tls": "none", "connections": 2}
        ground.providers["primary"] = ProviderTable("primary", "smtp", options)
        ground.enqueue(30, controls="batch_size = 7")
        assert ground.send_due().work.outcomes == {"accepted": 30}
        reached = [row["rcpt"] for row in double.accepted()]
    assert sorted(reached) == sorted({f"p{number:05}@x.example" for number in range(1, 31)})
    assert ground.states() == {"sent": 30}


@pytest.mark.parametrize(("snapshot", "error_class"), [("{}", "render"), ("not JSON", "internal")])
def test_damaged_data_fail_their_own_message_alone(
    ground: Ground, judge: Judge, snapshot: str, error_class: str
) -> None:
    ground.enqueue(3)
    ground.change("UPDATE enrollments SET snapshot = :snapshot WHERE id = 1", snapshot=snapshot)
    ground.send_due()
    assert fates(ground) == [("failed", error_class, "untouched"), *[("sent", "", "replied")] * 2]
    assert judge.people() == ["p00002", "p00003"]


class Defective(JudgedProvider):
    """Fails on the first person: before its begin, before its dot, or after it."""

    where: str

    async def submit(self, message: Outgoing, deadline: Deadline, mark: PhaseMark) -> Outcome:
        if message.recipient != FIRST:
            return await super().submit(message, deadline, mark)
        if self.where != "begin":
            mark.begin()
        if self.where == "reply":
            mark.dot()
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("where", "first"),
    [
        ("begin", ("queued", "internal", "untouched")),
        ("dot", ("queued", "internal", "begun")),
        ("reply", ("in_doubt", "internal", "dotted")),
    ],
)
def test_a_defect_of_an_adapter_is_doubt_only_after_the_last_byte(
    ground: Ground, judge: Judge, monkeypatch: pytest.MonkeyPatch, where: str, first: tuple[str, str, str]
) -> None:
    def build(table: ProviderTable, _environ: object) -> Defective:
        made = Defective(table.name, judge)
        made.where = where
        return made

    monkeypatch.setitem(registry._ADAPTERS, "judge", build)
    ground.enqueue(3)
    ground.send_due()
    assert fates(ground) == [first, *[("sent", "", "replied")] * 2]
    assert judge.people() == ["p00002", "p00003"]


def test_a_message_whose_claim_is_over_when_its_turn_comes_is_put_back(ground: Ground, judge: Judge) -> None:
    """The process stood still while the first was answered: not one byte of the second may leave."""
    ground.enqueue(2)

    def answer(message: Outgoing) -> Outcome:
        if message.recipient == FIRST and not judge.delivered:
            ground.clock.forward(hours=1)
        return ACCEPTED

    judge.answer = answer
    report = ground.send_due()
    assert report.work.outcomes == {"accepted": 2, "untouched": 1}
    assert judge.people() == ["p00001", "p00002"]
    rows = ground.rows("SELECT number, outcome, phase FROM attempts WHERE message_id = 2 ORDER BY number")
    assert [tuple(row) for row in rows] == [(1, "untouched", "untouched"), (2, "accepted", "replied")]


def test_a_pause_that_a_provider_asks_for_begins_with_the_next_message(ground: Ground, judge: Judge) -> None:
    asked: list[str] = []

    def answer(message: Outgoing) -> Outcome:
        asked.append(message.recipient)
        return DOWN._replace(phase=Phase.REPLIED, code=429, error_class="throttled", retry_after_s=3600.0)

    judge.answer = answer
    ground.enqueue(6)
    assert ground.send_due(limit=6).work.outcomes == {"deferred": 1, "untouched": 5}
    assert len(asked) == 1


@pytest.mark.parametrize(("failures", "reached"), [(2, 4), (3, 0)])
def test_the_third_failure_of_a_provider_in_a_window_leaves_the_rest_untouched(
    ground: Ground, judge: Judge, failures: int, reached: int
) -> None:
    asked: list[str] = []

    def answer(message: Outgoing) -> Outcome:
        asked.append(message.recipient)
        return DOWN if len(asked) <= failures else ACCEPTED

    judge.answer = answer
    ground.enqueue(6)
    ground.send_due(limit=6)
    assert (len(asked), len(judge.delivered)) == (failures + reached, reached)
    assert ground.states() == {"queued": 6 - reached} | ({"sent": reached} if reached else {})
