"""What a service has by its contents proves nothing of a message while it may be that of another one."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sendctl.clock import Deadline, SystemClock
from sendctl.passes import asking, reconcile
from sendctl.providers.base import Outgoing
from sendctl.providers.http.api import Api
from sendctl.providers.registry import build_provider
from sendctl.settings import ProviderTable
from sendctl.store import doubts, rivals
from sendctl.store.tables import replayed_keys
from tests.passes.test_asking import twilio
from tests.passes.test_key_replay import BROKEN, LOST
from tests.providers.smtp.world import Mark
from tests.store.ground import ACCEPTED, UNKNOWN, Ground
from tests.store.test_events import plans

NUMBER = "+491510000001"
HELLO = ['name = "a"\nsms = "Hello"\n']
ANOTHER = "another message to the same address"


def plan_text(ground: Ground, name: str, *, who: str = "", number: str = NUMBER, more: str = "", **rest: Any) -> None:
    """One text "Hello" to a number, of somebody who is known by an address when given one."""
    contacts = f"email,phone\n{who},{number}\n" if who else f"phone\n{number}\n"
    ground.enqueue(contacts=contacts, campaign=f'channel = "sms"\n{more}', name=name, steps=HELLO, **rest)


def hand_over(ground: Ground, name: str) -> Callable[[], None]:
    """Claim the message of a campaign and hand it to the service; returns what records that it was accepted."""
    clerk = ground.clerk(name)
    window = clerk.turn([], 1)
    (claimed,) = window.messages
    provider, clock = build_provider(ground.providers["primary"], {}), SystemClock()
    outgoing = Outgoing(claimed.due.id, 1, claimed.due.key, "primary", "", claimed.due.recipient, b"Hello")
    deadline = Deadline(clock.boot_s() + 9, clock)
    said: list[Any] = []

    def submit() -> None:  # in a thread of its own: an event loop may run in this one
        said.append(asyncio.run(provider.submit(outgoing, deadline, Mark())))

    thread = threading.Thread(target=submit)
    thread.start()
    thread.join()
    return lambda: clerk.turn(ground.done(window, said[0]), 0) and None


@pytest.mark.parametrize("recorded", [False, True], ids=["in flight", "recorded"])
def test_a_message_that_is_handed_over_while_it_is_asked_is_a_rival(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: bool
) -> None:
    """Its claim came after the rivals were looked for, and its text before the service answered."""
    real, handed_over = Api.ask, list[bool]()

    def ask(self: Api, *given: Any, **more: Any) -> Mapping[str, Any]:
        if not handed_over:
            handed_over.append(True)
            record = hand_over(ground, "second")
            answer = real(self, *given, **more)
            if recorded:
                record()
            return answer
        return real(self, *given, **more)

    with twilio(ground, tmp_path, BROKEN | {"first": 1}) as double:
        plan_text(ground, "first", more='in_doubt = "resend"\n')
        ground.send_due()
        plan_text(ground, "second")
        ground.clock.forward(seconds=reconcile.POLICY_GRACE_S + 60)
        if recorded:  # between the answer and the record: the adapter has asked whose it is before
            monkeypatch.setattr(asking.rivals, "is_anothers", _once_false(rivals.is_anothers))
        monkeypatch.setattr(Api, "ask", ask)
        report = reconcile.run(ground.context)
        assert handed_over
        assert len(double.accepted()) == 1
    assert (report.proven_sent, report.in_doubt, ground.states("first")) == (0, 1, {"in_doubt": 1})
    assert (report.policy_resent, list(report.cannot_tell.values())) == (0, [1]), "it may be proven soon"


def _once_false(real: Callable[..., bool]) -> Callable[..., bool]:
    asked = list[bool]()

    def is_anothers(*given: Any) -> bool:
        asked.append(True)
        return len(asked) > 1 and real(*given)

    return is_anothers


@pytest.mark.parametrize("fault", [None, LOST], ids=["known by its id", "in doubt"])
def test_two_sections_of_one_account_have_the_same_texts(
    ground: Ground, tmp_path: Path, fault: dict[str, Any] | None
) -> None:
    """The first went out by the other section; the second was not taken, and the service has one text."""
    script = [fault, BROKEN | {"skip": 1}] if fault else [BROKEN | {"skip": 1}]
    with twilio(ground, tmp_path, *script) as double:
        other = dict(ground.providers["primary"].options) | {"sender": "+15005550007"}
        ground.providers["fallback"] = ProviderTable("fallback", "twilio", other)
        ground.set(providers=("primary", "fallback"))
        plan_text(ground, "first", more='providers = ["fallback"]')
        ground.send_due()
        plan_text(ground, "second")
        ground.send_due()
        assert ground.states("second") == {"in_doubt": 1}
        report = reconcile.run(ground.context)
        assert (report.proven_sent, ground.states("second")) == (0, {"in_doubt": 1})
        assert len(double.accepted()) == 1


def test_whoever_has_got_another_number_since_is_a_rival(ground: Ground, tmp_path: Path) -> None:
    """The first text was taken and went to a number that its person has no more."""
    with twilio(ground, tmp_path, LOST, BROKEN | {"skip": 1}) as double:
        plan_text(ground, "first", who="b@x.example")
        ground.send_due()
        plan_text(ground, "other", who="b@x.example", number="+491510000002")
        plan_text(ground, "second", who="a@x.example")
        ground.send_due(campaign="second")
        report = reconcile.run(ground.context)
        assert (report.proven_sent, report.in_doubt) == (0, 2)
        assert [reason for reason in report.cannot_tell if ANOTHER in reason]
        assert len(double.accepted()) == 1


def in_doubt(ground: Ground) -> doubts.Doubt:
    with ground.store.read() as connection:
        return doubts.in_doubt(connection)[-1]


def is_rivalled(ground: Ground, doubt: doubts.Doubt) -> bool:
    with ground.store.read() as connection:
        return rivals.has_rivals(connection, doubt, timedelta(hours=3), ["elsewhere"])


def two_in_doubt(ground: Ground) -> doubts.Doubt:
    """Two people, and the doubt about the second, whose e-mail went to the same address as the first's."""
    ground.enqueue(2)
    ground.pass_with(UNKNOWN)
    doubt = in_doubt(ground)
    ground.change("UPDATE messages SET recipient = :it WHERE id <> :id", it=doubt.recipient, id=doubt.message_id)
    return doubt


@pytest.mark.parametrize(
    ("how", "rival"),
    [
        ("outcome = 'unknown', finished_at = started_at", True),
        ("outcome = 'abandoned', evidence = 'policy', finished_at = started_at", True),
        ("outcome = 'accepted', evidence = 'event', finished_at = started_at", True),
        ("outcome = 'accepted', evidence = 'event', finished_at = started_at, provider_message_id = 'Q1'", False),
        ("outcome = 'deferred', evidence = 'reply', finished_at = started_at", False),
        ("started_at = started_at, provider = 'fallback'", True),  # perhaps the same account
        ("started_at = started_at, provider = 'elsewhere'", False),
    ],
)
def test_what_may_be_there_under_an_id_that_nobody_knows_is_a_rival(ground: Ground, how: str, rival: bool) -> None:
    doubt = two_in_doubt(ground)
    ground.change(f"UPDATE attempts SET {how} WHERE message_id <> :id", id=doubt.message_id)
    ground.provable = False
    assert is_rivalled(ground, doubt) is rival


def test_what_was_handed_over_hours_before_is_no_rival(ground: Ground) -> None:
    ground.enqueue(1)
    ground.pass_with(UNKNOWN)
    ground.clock.forward(hours=4)
    ground.enqueue(1, first=2)
    ground.pass_with(UNKNOWN)
    doubt = in_doubt(ground)
    ground.change("UPDATE messages SET recipient = :it", it=doubt.recipient)
    assert not is_rivalled(ground, doubt)


@pytest.mark.parametrize(
    ("how", "rival"),
    [
        ({}, True),
        ({"provider": "elsewhere"}, False),
        ({"provider_message_id": "Q1"}, False),  # `is_anothers` asks for that
        ({"composed_at": None}, True),
        ({"hours": -4}, False),
        ({"hours": 4}, False),
        ({"key": "of the doubt"}, False),
        ({"key": "of another person"}, False),
    ],
)
def test_what_only_a_journal_remembers_may_be_to_anybody(ground: Ground, how: dict[str, Any], rival: bool) -> None:
    """After a rewind the store knows of it that it was handed over then, and not to whom."""
    ground.enqueue(2)
    ground.pass_with(UNKNOWN)
    doubt = in_doubt(ground)
    keys = {"of the doubt": doubt.provider_key}
    keys["of another person"] = ground.one("SELECT provider_key FROM messages WHERE id <> :id", id=doubt.message_id)
    at = doubt.handed_over_at + timedelta(hours=how.get("hours", 0))
    row = {
        "provider_key": keys.get(how.get("key", ""), "ab" * 16), "outcome": "unknown", "provider": "primary",
        "provider_message_id": None, "run_id": "r", "claim_id": "c", "contents": "x", "composed_at": at, "at": at,
    }  # fmt: skip
    with ground.store.write() as connection:
        connection.execute(sa.insert(replayed_keys), [row | {name: how[name] for name in how.keys() & row.keys()}])
    assert is_rivalled(ground, doubt) is rival


def test_a_text_that_only_a_journal_remembers_is_not_taken_for_another(ground: Ground, tmp_path: Path) -> None:
    with twilio(ground, tmp_path, BROKEN, LOST | {"skip": 0}) as double:
        plan_text(ground, "first")
        ground.send_due()
        backup = ground.backup()
        plan_text(ground, "other")
        ground.send_due()
        assert (ground.states("other"), len(double.accepted())) == ({"in_doubt": 1}, 1)
        ground.close()
        ground.put_back(backup)
        done = ground.recover("first")
        assert (done.proven_sent, done.in_doubt, ground.states("first")) == (0, 1, {"in_doubt": 1})


# -- what a database reads ----------------------------------------------------------------------------------------


def test_rivals_are_found_without_reading_a_table(sqlite_ground: Ground) -> None:
    doubt = two_in_doubt(sqlite_ground)
    with sqlite_ground.store.read() as connection, plans(connection) as steps:
        assert not rivals.is_anothers(connection, "Q1", doubt)
        assert not rivals.has_rivals(connection, replace(doubt, recipient="nobody"), timedelta(hours=3), [])
    read = [step for step in steps if re.search(r"\b(attempts|messages)\b", step)]
    assert [step for step in read if "attempts_settled_otherwise (started_at>? AND started_at<?)" in step], steps
    assert not [step for step in read if step.startswith("SCAN")], steps
    assert [step for step in read if "messages_by_state (campaign_id=? AND status=?)" in step], steps


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_what_was_settled_otherwise_is_found_by_index_on_postgres_too(ground: Ground) -> None:
    ground.enqueue(1)
    ground.pass_with(ACCEPTED)
    with ground.store.write() as connection:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        rows = connection.exec_driver_sql(
            "EXPLAIN SELECT 1 FROM attempts WHERE started_at BETWEEN '2026-03-01' AND '2026-03-02'"
            f" AND provider_message_id IS NULL AND {rivals._SETTLED_OTHERWISE.text}"
        )
        assert "attempts_settled_otherwise" in "\n".join(rows.scalars())
