"""Letters: one message to one person, what cannot change in one, and how its sender is told what became of it."""

from __future__ import annotations

import json
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sendctl.errors import BadInput, StoreRewound, UsageError
from sendctl.passes import control, ingest, reconcile, rescheduling, suppress
from sendctl.passes.advice import advise
from sendctl.passes.status import read
from sendctl.passes.suppress import Asked
from sendctl.providers.base import Outcome, Outgoing
from sendctl.settings import ReconcileSettings
from tests.passes.judge import Judge
from tests.passes.test_resend import again
from tests.store.ground import ACCEPTED, DEFERRED, REFUSED, START, UNKNOWN, Ground

NOTIFY = 'notify = "Me <me@shop.example>"'


def texts(judge: Judge, person: str) -> list[str]:
    """What a person got, as text without the line ends that quoting adds."""
    mine = [message for message in judge.delivered if message.recipient.startswith(person)]
    return [message.content.decode().replace("=\r\n", "") for message in mine]


def answering(judge: Judge, **outcomes: Outcome) -> None:
    """Each person's messages have their own outcome; all others are accepted."""

    def answer(message: Outgoing) -> Outcome:
        return outcomes.get(message.recipient.partition("@")[0], ACCEPTED)

    judge.answer = answer


def told(ground: Ground) -> list[str]:
    """The notices that were planned, as letter:kind."""
    rows = ground.rows(
        "SELECT c.name, e.subject_key FROM enrollments e JOIN campaigns c ON c.id = e.campaign_id"
        " WHERE c.name LIKE '%.notify' ORDER BY 1, 2"
    )
    return [f"{row[0].removesuffix('.notify')}:{row[1]}" for row in rows]


def test_a_letter_goes_once_and_its_sender_is_told_so_once(ground: Ground, judge: Judge) -> None:
    planned = ground.letter(more=NOTIFY, at='"2026-03-03 09:00"')
    assert (planned.enrolled, planned.letter, planned.created) == (1, "ann@x.example", True)
    assert ground.letter(more=NOTIFY, at='"2026-03-03 09:00"').known == 1  # the same file again
    ground.send_due()
    assert judge.delivered == []
    ground.clock.forward(days=1)
    for _ in range(3):
        ground.send_due()
        reconcile.run(ground.context)
    assert judge.people() == ["ann", "me"]
    assert "Dear Ann" in texts(judge, "ann")[0]
    (notice,) = texts(judge, "me")
    assert "Subject: Letter note: sent" in notice
    assert "Letter note to ann@x.example was accepted by provider primary at 2026-03-03 09:00" in notice
    assert "no proof that it was delivered" in notice
    assert ground.states("note") == ground.states("note.notify") == {"sent": 1}


def test_each_end_is_told_once_and_in_its_own_words(ground: Ground, judge: Judge) -> None:
    answering(judge, refused=REFUSED, doubtful=UNKNOWN)
    for name in ("refused", "doubtful", "returned", "unwanted", "late", "cancelled"):
        at = '"2026-03-02 10:00"' if name == "cancelled" else '"now"'
        more = 'expires_after = "1m"' if name == "late" else ""
        ground.letter(name, to=name, at=at, more=f"{NOTIFY}\n{more}")
    control.pause(ground.context, "late")
    suppress.suppress(ground.context, Asked(["unwanted@x.example"], reason="asked"))
    control.cancel(ground.context, "cancelled")
    ground.send_due()
    ground.clock.forward(hours=1)
    control.resume(ground.context, "late")
    bounced = {"id": "1", "type": "bounced", "occurred_at": "2026-03-02T10:00:00Z", "campaign": "returned",
               "email": "returned@x.example"}  # fmt: skip
    (ground.folder / "events.jsonl").write_text(json.dumps(bounced) + "\n")
    ingest.run(ground.context, ground.folder / "events.jsonl")
    ground.recover("doubtful", in_doubt="skip")
    ground.recover("refused", failed=True)  # it fails again, which was told before
    for _ in range(3):
        ground.send_due()
        reconcile.run(ground.context)
    wanted = ["doubtful:given-up", "late:expired", "refused:failed", "returned:sent", "unwanted:suppressed"]
    assert [one for one in told(ground) if one != "returned:bounced"] == wanted
    words = "\n".join(texts(judge, "me"))
    for said in ("is not tried again by itself. The reason: no such user", "nobody knows", "expires_after",
                 "nothing may be sent to this address"):  # fmt: skip
        assert said in words, said
    assert len(texts(judge, "me")) == len(told(ground))


def test_what_is_tried_again_is_no_end(ground: Ground, judge: Judge) -> None:
    answering(judge, ann=DEFERRED)
    ground.letter(more=NOTIFY)
    for _ in range(3):
        ground.send_due()
        ground.clock.forward(hours=1)
    assert ground.states("note") == {"failed": 1}
    reconcile.run(ground.context)
    assert told(ground) == []  # it is tried again after a day
    ground.close()
    ground.reconcile = ReconcileSettings(max_total_attempts=3)
    for _ in range(2):
        reconcile.run(ground.context)
    assert told(ground) == ["note:failed"]


def learn(ground: Ground, kind: str, **about: Any) -> None:
    """Take in one event about a letter."""
    event = {"id": f"{kind}-{about}", "type": kind, "occurred_at": f"{ground.clock.now:%Y-%m-%dT%H:%M:%SZ}"} | about
    (ground.folder / "events.jsonl").write_text(json.dumps(event) + "\n")
    ingest.run(ground.context, ground.folder / "events.jsonl")


def number(ground: Ground, letter: str = "note") -> int:
    found: int = ground.one(
        "SELECT m.id FROM messages m JOIN campaigns c ON c.id = m.campaign_id WHERE c.name = :name", name=letter
    )
    return found


def test_who_waits_for_a_letter_that_an_event_ends_is_told_so_at_once(ground: Ground, judge: Judge) -> None:
    answering(judge, put_off=DEFERRED, away=DEFERRED)
    ground.letter("waiting", at='"2026-03-03 09:00"', more=NOTIFY)
    for name in ("put_off", "away"):
        ground.letter(name.replace("_", "-"), to=name, more=NOTIFY)
    clerk = ground.clerk("away")
    window = clerk.turn([], 10)
    ground.send_due(campaign="put-off")
    learn(ground, "unsubscribed", campaign="waiting", email="ann@x.example")
    learn(ground, "complained", message_id=number(ground, "put-off"))
    assert told(ground) == ["put-off:suppressed", "waiting:suppressed"]
    learn(ground, "unsubscribed", campaign="away", email="away@x.example")  # and it comes back into the queue
    clerk.turn(ground.done(window, DEFERRED), 0)
    for _ in range(3):
        ground.clock.forward(days=1)
        reconcile.run(ground.context)
        ground.send_due()
    assert told(ground) == ["away:suppressed", "put-off:suppressed", "waiting:suppressed"]
    assert judge.people() == ["me", "me", "me"]
    assert "was not sent: nothing may be sent to this address" in texts(judge, "me")[0]


def test_a_letter_that_had_failed_when_an_event_ended_it_is_told_as_failed(ground: Ground, judge: Judge) -> None:
    answering(judge, ann=DEFERRED)
    ground.letter(more=NOTIFY)
    while ground.states("note") != {"failed": 1}:
        ground.send_due()
        ground.clock.forward(hours=1)
    assert told(ground) == []  # it is tried again after a day
    learn(ground, "bounced", message_id=number(ground))
    assert told(ground) == ["note:failed"]
    ground.clock.forward(days=2)
    reconcile.run(ground.context)
    ground.send_due()
    assert (told(ground), judge.people()) == (["note:failed"], ["me"])
    assert control.archive(ground.context, "note").changed


@pytest.mark.parametrize("first", ["reconcile", "archive"])
def test_a_copy_that_had_failed_when_an_event_ended_a_letter_is_told_as_failed(
    ground: Ground, judge: Judge, first: str
) -> None:
    ground.letter(more=NOTIFY)
    ground.pass_with(ACCEPTED)
    letter = number(ground)
    again(ground, letter)
    while ground.states("note") != {"sent": 1, "failed": 1}:
        ground.pass_with(DEFERRED)
        ground.clock.forward(hours=2)
    reconcile.run(ground.context)
    assert told(ground) == ["note:sent"]
    learn(ground, "complained", message_id=letter)
    if first == "reconcile":
        reconcile.run(ground.context)
        assert told(ground) == ["note:failed", "note:sent"]
    ground.send_due()
    with pytest.raises(UsageError, match="has not been told") if first == "archive" else nullcontext():
        control.archive(ground.context, "note")
    reconcile.run(ground.context)
    assert told(ground) == ["note:failed", "note:sent"]
    assert ground.violations() == []


def test_of_a_copy_its_sender_is_told_that_it_is_one_and_when_the_letter_was_accepted(
    ground: Ground, judge: Judge
) -> None:
    ground.letter(more=f'{NOTIFY}\nexpires_after = "15s"')
    ground.pass_with(ACCEPTED)
    letter = number(ground)
    again(ground, letter)
    ground.clock.forward(seconds=18)
    ground.send_due()
    assert ground.states("note") == {"sent": 1, "expired": 1}
    assert told(ground) == ["note:expired", "note:sent"]
    ground.send_due()
    (late,) = [text for text in texts(judge, "me") if "expired" in text]
    assert "Subject: Letter note (copy 1): expired" in late
    words = " ".join(late.split())
    assert (
        "Letter note to ann@x.example, which was to be sent once more, was not sent: it would have been later" in words
    )
    assert "It had been accepted before, at 2026-03-02 09:00:01 UTC." in words


def test_of_a_copy_of_what_failed_no_earlier_acceptance_is_told(ground: Ground, judge: Judge) -> None:
    answering(judge, ann=REFUSED)
    ground.letter(more=NOTIFY)
    ground.send_due()
    judge.answer = lambda _message: ACCEPTED
    again(ground, number(ground))
    for _ in range(2):
        ground.send_due()
    first, second = sorted(" ".join(text.split()) for text in texts(judge, "me"))
    assert {"Letter note: failed" in first, "Letter note: failed" in second} == {True, False}
    copied = second if "Letter note: failed" in first else first
    assert "Letter note to ann@x.example, which was to be sent once more, was accepted by provider primary" in copied
    assert "accepted before" not in copied


def test_a_letter_that_fails_for_good_after_an_event_ended_it_is_told(ground: Ground, judge: Judge) -> None:
    ground.letter(more=NOTIFY)
    for _ in range(2):
        ground.pass_with(DEFERRED)
        ground.clock.forward(hours=1)
    clerk = ground.clerk()
    window = clerk.turn([], 10)
    learn(ground, "unsubscribed", campaign="note", email="ann@x.example")
    clerk.turn(ground.done(window, DEFERRED), 0)
    assert (ground.states("note"), told(ground)) == ({"failed": 1}, ["note:failed"])


def test_delivered_is_told_where_a_provider_says_so_and_sent_is_not_told_after_it(ground: Ground, judge: Judge) -> None:
    for name in ("early", "usual"):
        ground.letter(name, to=name, more=NOTIFY)
    clerk = ground.clerk("early")
    window = clerk.turn([], 10)
    ground.send_due(campaign="usual")
    for name in ("early", "usual"):
        event = {"id": name, "type": "delivered", "occurred_at": "2026-03-02T10:00:00Z",
                 "message_id": ground.one("SELECT provider_key FROM messages JOIN campaigns c ON c.id = campaign_id"
                                          " WHERE c.name = :name", name=name)}  # fmt: skip
        (ground.folder / "events.jsonl").write_text(json.dumps(event) + "\n")
        ingest.run(ground.context, ground.folder / "events.jsonl")
    clerk.turn(ground.done(window, ACCEPTED), 0)
    assert told(ground) == ["early:delivered", "usual:delivered", "usual:sent"]


def test_a_restored_store_tells_nobody_twice(ground: Ground, judge: Judge) -> None:
    ground.letter(more=NOTIFY)
    before = ground.backup()
    ground.send_due()
    assert judge.people() == ["ann", "me"]
    ground.put_back(before)
    with pytest.raises(StoreRewound, match="the store was rewound"):
        ground.send_due()
    ground.recover("note")
    for _ in range(2):
        ground.send_due()
    assert judge.people() == ["ann", "me"]
    assert ground.states("note") == ground.states("note.notify") == {"sent": 1}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"to": "ben"}, BadInput, "note.toml:3:6: letter note goes to ann@x.example already"),
        ({"at": '"2026-03-04 09:00"'}, BadInput, "note.toml:4:6: letter note is there already, for another moment"),
        ({"more": 'notify = "other@shop.example"'}, BadInput, "tells somebody else already"),
        ({"more": f"{NOTIFY}\nencrypt = true"}, BadInput, "is there already, in the clear"),
        ({"moment": START + timedelta(days=9)}, UsageError, "is there already"),
        ({"text": "Dear {{ contact.nam }}"}, BadInput, "note.toml:7:17: the templates use contact.nam"),
        ({"more": f'{NOTIFY}\ntimezone = "Europe/London"'}, BadInput, "is there already, in another time zone"),
    ],
)  # fmt: skip
def test_what_a_letter_cannot_change_is_refused_and_nothing_is_written(
    ground: Ground, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    first = {"at": '"2026-03-03 09:00"', "more": NOTIFY}
    ground.letter(**first)
    before = ground.dump()
    with pytest.raises(error) as caught:
        ground.letter(**{**first, **change})
    assert words in str(caught.value)
    assert ground.dump() == before


def test_a_letter_that_was_moved_into_its_hours_takes_the_file_with_the_time_that_was_given(
    ground: Ground,
) -> None:
    hours = 'window = "08:00-20:00"'
    ground.letter(at='"2026-03-03 09:00"', more=hours)
    moment = datetime(2026, 3, 4, 3, tzinfo=UTC)
    rescheduling.run(ground.context, "note", lambda _definition, _now: moment)
    for at in ('"2026-03-04 03:00"', '"2026-03-04 08:00"'):
        assert ground.letter(at=at, more=hours).known == 1
    with pytest.raises(BadInput, match="for another moment"):
        ground.letter(at='"2026-03-05 03:00"', more=hours)
    assert str(ground.one("SELECT due_at FROM messages"))[:16] == "2026-03-04 08:00"


def test_a_window_that_is_put_right_leaves_a_letter_where_its_file_says(ground: Ground) -> None:
    at = '"2026-03-03 10:00"'
    ground.letter(at=at)
    for window, due in (("12:00-13:00", "03 12:00"), ("08:00-09:00", "04 08:00"), ("", "03 10:00")):
        ground.letter(at=at, more=f'window = "{window}"' if window else "")
        assert str(ground.one("SELECT due_at FROM messages"))[8:16] == due
    moment = datetime(2026, 3, 5, 9, tzinfo=UTC)
    rescheduling.run(ground.context, "note", lambda _definition, _now: moment)
    ground.letter(at=at, more='window = "12:00-13:00"')
    assert str(ground.one("SELECT due_at FROM messages"))[8:16] == "05 12:00"  # not to where it was before it was moved


def test_a_corrected_text_reaches_a_letter_that_nobody_has(ground: Ground) -> None:
    ground.letter(text="Deer {{ contact.name }}")
    report = ground.letter(text="Dear {{ contact.name }}")
    assert (report.changed, report.revision, report.known) == (["steps.letter.text"], 2, 1)
    ground.send_due()
    (mail,) = (ground.folder / "primary" / "new").iterdir()
    assert "Dear Ann" in mail.read_text()


def test_a_past_moment_is_refused_but_for_now(ground: Ground, tmp_path: Path) -> None:
    before = ground.dump()
    with pytest.raises(BadInput, match=r"note\.toml:4:6: 2026-03-02 08:59:00 UTC is past"):
        ground.letter(at='"2026-03-02 08:59"')
    assert ground.dump() == before
    ground.letter(dry_run=True)
    ground.letter("other", dry_run=True, more=NOTIFY)
    assert ground.rows("SELECT 1 FROM campaigns") == []


def test_status_is_silent_about_a_teller_that_has_nothing_to_tell(ground: Ground) -> None:
    ground.letter(at='"2026-03-03 09:00"', more=NOTIFY)
    situation = read(ground.context)
    assert [state.campaign.name for state in situation.campaigns] == ["note"]
    assert advise(situation) == []
