"""Campaign files that were changed since a backup: a step is known by its name, whatever number the store gave it."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from sendctl.errors import StoreRewound
from sendctl.identity import provider_key
from tests.passes.judge import Judge
from tests.passes.test_revising import FIRST, step
from tests.store.ground import UNKNOWN, Backup, Ground

TIPS, MORE = step("tips", "1d"), step("more", "1d")
FULL, WITHOUT = (FIRST, TIPS, MORE), (FIRST, MORE)


@pytest.fixture(autouse=True)
def today(ground: Ground) -> None:
    """Journals are kept by the files' times."""
    ground.clock.now = datetime.now(UTC).replace(microsecond=0)


def subjects(judge: Judge) -> list[str]:
    """What the only person got, in order."""
    found = [re.search(rb"Subject: (\w+)", message.content) for message in judge.delivered]
    return [match[1].decode() for match in found if match is not None]


def live(ground: Ground, days: int) -> None:
    for _ in range(days):
        ground.send_due()
        ground.clock.forward(hours=25)


def before_the_campaign(ground: Ground) -> Backup:
    ground.enqueue(1, name="other", at=ground.clock.now.replace(year=ground.clock.now.year + 1))
    return ground.backup()


def put_back(ground: Ground, before: Backup) -> None:
    ground.put_back(before)
    ground.close()
    with pytest.raises(StoreRewound):
        ground.send_due()


def assert_each_once(ground: Ground, judge: Judge, *steps: str) -> None:
    """And nothing that journals know is left without its message."""
    assert subjects(judge) == list(steps)
    assert ground.states()["sent"] == len(steps)


def test_a_step_has_its_key_whatever_was_removed_before_it(ground: Ground, judge: Judge) -> None:
    before = before_the_campaign(ground)
    ground.enqueue(1, steps=FULL)
    ground.send_due()
    ground.enqueue(steps=WITHOUT)  # before anybody had it
    ground.clock.forward(hours=25)
    ground.send_due()
    put_back(ground, before)
    ground.recover("other")
    ground.enqueue(1, steps=WITHOUT)
    live(ground, 5)
    assert_each_once(ground, judge, "welcome", "more")


def test_a_step_is_not_taken_for_another_that_had_its_number(ground: Ground, judge: Judge) -> None:
    before = before_the_campaign(ground)
    ground.enqueue(1, steps=FULL)
    live(ground, 2)
    ground.enqueue(steps=WITHOUT)
    assert subjects(judge) == ["welcome", "tips"]
    put_back(ground, before)
    ground.recover("other")
    ground.enqueue(1, steps=WITHOUT)
    live(ground, 5)
    assert subjects(judge) == ["welcome", "tips", "more"]
    assert ground.states() == {"sent": 2}  # the step that is no more has no message here


@pytest.mark.parametrize("times", [1, 2])
def test_a_step_that_was_put_back_since_the_backup_is_known_by_its_name(
    ground: Ground, judge: Judge, times: int
) -> None:
    ground.enqueue(1, steps=FULL)
    before = ground.backup()
    for _ in range(times):
        ground.enqueue(steps=WITHOUT)
        ground.enqueue(steps=FULL)
    live(ground, 2)
    assert subjects(judge) == ["welcome", "tips"]
    put_back(ground, before)
    ground.recover()
    ground.enqueue(1, steps=FULL)
    live(ground, 5)
    assert_each_once(ground, judge, "welcome", "tips", "more")


def test_a_step_that_was_put_back_before_the_backup_is_known_afterwards(ground: Ground, judge: Judge) -> None:
    before = before_the_campaign(ground)
    for steps in (FULL, WITHOUT, FULL):
        ground.enqueue(1, steps=steps)
    live(ground, 2)
    put_back(ground, before)
    ground.recover("other")
    ground.enqueue(1, steps=FULL)
    live(ground, 5)
    assert_each_once(ground, judge, "welcome", "tips", "more")


@pytest.mark.parametrize("first", ["enqueue", "recover"])
def test_a_step_that_was_renamed_twice_is_known_by_its_last_name(ground: Ground, judge: Judge, first: str) -> None:
    before_it, hints = (FIRST, step("tips", "1d"), MORE), (FIRST, step("hints", "1d"), MORE)
    ground.enqueue(1, steps=before_it)
    before = ground.backup()
    ground.enqueue(steps=(FIRST, step("tricks", "1d"), MORE))
    ground.enqueue(steps=hints)
    live(ground, 2)
    assert subjects(judge) == ["welcome", "hints"]
    put_back(ground, before)
    if first == "recover":
        ground.recover()
    ground.enqueue(1, steps=hints)
    if first == "enqueue":
        ground.recover()
    live(ground, 5)
    assert_each_once(ground, judge, "welcome", "hints", "more")


def test_a_step_that_is_new_since_the_backup_reaches_who_stood_before_it(ground: Ground, judge: Judge) -> None:
    """Its file first, then the journals, as the runbook says: those move people on by what the file says."""
    ground.enqueue(1, steps=WITHOUT)
    before = ground.backup()
    ground.enqueue(steps=FULL)
    ground.send_due()
    put_back(ground, before)
    ground.enqueue(1, steps=FULL)
    ground.recover()
    live(ground, 5)
    assert_each_once(ground, judge, "welcome", "tips", "more")


def test_what_journals_of_older_versions_call_by_a_number_is_known(ground: Ground, judge: Judge) -> None:
    """A later step's key was made of its number; the journal has that one, and the store plans the step anew."""
    ground.enqueue(1, steps=FULL)
    ground.send_due()
    address, secret = ground.rows("SELECT m.recipient_key, s.secret FROM messages m, store s WHERE step_index = 1")[0]
    key = provider_key(
        secret, campaign="sale", address_key=address, subject_key="", step=1, occurrence=0, channel="email"
    )
    name = "UPDATE messages SET provider_key = :key WHERE step_index = 1"
    now = ground.one("SELECT provider_key FROM messages WHERE step_index = 1")
    ground.change(name, key=key)
    ground.clock.forward(hours=25)
    before = ground.backup()
    ground.send_due()
    assert subjects(judge) == ["welcome", "tips"]
    put_back(ground, before)
    ground.change(name, key=now)
    ground.recover()
    live(ground, 5)
    assert subjects(judge) == ["welcome", "tips", "more"]


def test_doubt_about_a_step_under_another_name_is_sent_again_by_nobody(ground: Ground, judge: Judge) -> None:
    """Its service knows another key than the message has now: neither silence nor a replay would mean anything."""
    ground.enqueue(1, steps=FULL)
    before = ground.backup()
    ground.enqueue(steps=WITHOUT)
    ground.enqueue(steps=FULL)
    ground.send_due()
    ground.clock.forward(hours=25)
    judge.answer = lambda _message: UNKNOWN
    ground.send_due()
    assert subjects(judge) == ["welcome", "tips"]
    put_back(ground, before)
    ground.recover()
    live(ground, 3)
    assert ground.states() == {"sent": 1, "in_doubt": 1}
    assert ground.rows("SELECT revision, composed_at FROM messages WHERE status = 'in_doubt'") == [(None, None)]
    assert subjects(judge) == ["welcome", "tips"]
