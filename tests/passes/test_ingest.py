"""Events: each counts once, in whatever order it comes, and what ends an enrollment is never lost to a race."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sendctl import faults
from sendctl.errors import BadInput, ExitCode, StoreLocked, UsageError
from sendctl.inputs import spool
from sendctl.passes import reconcile
from sendctl.passes.ingest import IngestReport, run, work_off
from sendctl.passes.suppress import Asked, unsuppress
from sendctl.settings import EventsSettings
from tests.passes.test_steps import arm
from tests.passes.test_suppress import claiming_beside
from tests.store.ground import ACCEPTED, DEFERRED, DRIP, REFUSED, START, STEP, UNKNOWN, Ground
from tests.store.waiting import begin_before_the_commit

AT = "2026-03-02T10:00:00Z"
REMINDER = DRIP.replace("after", 'kind = "reminder"\nrepeat = 2\nafter')


def fact(kind: str, /, **keys: Any) -> dict[str, Any]:
    return {"type": kind, "occurred_at": AT, **keys}


def write(path: Path, *events: Any) -> Path:
    path.write_text("".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in events))
    return path


def ingest(ground: Ground, *events: Any, **options: Any) -> IngestReport:
    return run(ground.context, write(ground.folder / "events.jsonl", *events), **options)


def message(ground: Ground, number: int = 1, step: int = 0) -> int:
    """The id of the message of a person."""
    found = ground.one(
        "SELECT max(id) FROM messages WHERE recipient = :to AND step_index = :step", to=address(number), step=step
    )
    return int(found)


def token(ground: Ground, number: int = 1) -> str:
    statement = (
        "SELECT e.token FROM enrollments e JOIN contacts c ON c.id = e.contact_id WHERE c.address_key = :key"
        " ORDER BY e.id LIMIT 1"
    )  # fmt: skip
    return str(ground.one(statement, key=address(number)))


def address(number: int) -> str:
    return f"p{number:05}@x.example"


def enrollments(ground: Ground) -> list[tuple[str, str | None]]:
    return [tuple(row) for row in ground.rows("SELECT status, ended_for FROM enrollments ORDER BY id")]


def suppressed(ground: Ground) -> dict[str, str]:
    return {row[0]: row[1] for row in ground.rows("SELECT address_key, reason FROM suppressions")}


# -- whom an event is about ---------------------------------------------------------------------------------------


def test_each_way_to_name_somebody_finds_them(ground: Ground) -> None:
    ground.enqueue(6)
    ground.pass_with(ACCEPTED, limit=5)
    ground.change("UPDATE attempts SET provider_message_id = 'Q' || message_id")
    keys = {row[0]: row[1] for row in ground.rows("SELECT id, provider_key FROM messages")}
    report = ingest(
        ground,
        fact("clicked", message_id=message(ground, 1)),
        fact("clicked", message_id=f"<{keys[message(ground, 2)]}@shop.example>"),
        fact("clicked", provider_message_id=f"Q{message(ground, 3)}", provider="primary"),
        fact("clicked", token=token(ground, 4)),
        fact("clicked", campaign="sale", email=address(5).upper()),
        fact("clicked", token=token(ground, 6)),  # nothing of it was sent
    )
    assert (report.applied.fresh, report.unmatched, report.applied.by_type) == (6, 0, {"clicked": 6})
    rows = ground.rows("SELECT m.recipient, e.proves_sent FROM events e LEFT JOIN messages m ON m.id = e.message_id"
                       " ORDER BY e.enrollment_id")  # fmt: skip
    assert [row[0] for row in rows] == [*map(address, range(1, 6)), None]
    assert [row[1] for row in rows] == [1, 1, 1, 1, 0, 0]  # whoever knows an address need not have the message


def test_a_provider_id_that_two_messages_have_is_nobodys(ground: Ground) -> None:
    ground.enqueue(2)
    ground.pass_with(ACCEPTED)  # both are Q1
    report = ingest(ground, fact("bounced", provider_message_id="Q1"))
    assert (report.applied.fresh, report.unmatched, report.exit_code) == (0, 1, ExitCode.NEEDS_PERSON)
    assert "provider_message_id Q1 is the id of 2 messages: say which `provider`" in report.not_matched[0]
    assert ground.states() == {"sent": 2}


def test_what_matches_nothing_is_listed_and_the_rest_counts(ground: Ground) -> None:
    ground.enqueue(1)
    ground.pass_with(ACCEPTED)
    report = ingest(
        ground, fact("clicked", token="nobodys"), fact("clicked", message_id=message(ground)),
        fact("clicked", campaign="other", email=address(1)),
    )  # fmt: skip
    assert (report.applied.fresh, report.unmatched, report.exit_code) == (1, 2, ExitCode.NEEDS_PERSON)
    assert report.not_matched[0].endswith("events.jsonl:1: token nobodys is nothing that this store knows")


def test_an_event_of_an_enrollment_stands_beside_the_message_that_was_the_last_one_then(ground: Ground) -> None:
    ground.enqueue(1, steps=(STEP, DRIP))
    ground.pass_with(ACCEPTED)
    ground.clock.forward(days=4)
    ground.pass_with(ACCEPTED)
    late = (START + timedelta(days=5)).isoformat()
    ingest(
        ground, fact("clicked", token=token(ground), id=1), fact("clicked", token=token(ground), id=2) | {
            "occurred_at": late}, fact("opened", token=token(ground)) | {"occurred_at": "2026-01-01T00:00:00Z"},
    )  # fmt: skip
    rows = ground.rows("SELECT m.step_index, e.type FROM events e JOIN messages m ON m.id = e.message_id"
                       " ORDER BY e.occurred_at")  # fmt: skip
    assert [tuple(row) for row in rows] == [(0, "opened"), (0, "clicked"), (1, "clicked")]


# -- once ---------------------------------------------------------------------------------------------------------


def test_the_same_file_twice_changes_nothing_and_says_so(ground: Ground) -> None:
    ground.enqueue(3, steps=(STEP, REMINDER))
    ground.pass_with(ACCEPTED)
    events = [
        fact("bounced", message_id=message(ground, 1), id="a"), fact("submitted", token=token(ground, 2)),
        fact("unsubscribed", campaign="sale", email=address(3), id=7),
    ]  # fmt: skip
    first = ingest(ground, *events)
    before = ground.dump()
    again = ingest(ground, *events, *events)
    assert (first.applied.fresh, first.applied.known) == (3, 0)
    assert (again.applied.fresh, again.applied.known, again.exit_code) == (0, 6, ExitCode.DONE)
    after = ground.dump()
    assert {name: rows for name, rows in after.items() if name != "id_blocks"} == {
        name: rows for name, rows in before.items() if name != "id_blocks"}  # fmt: skip


def test_a_replay_does_not_undo_what_an_operator_has_done_since(ground: Ground) -> None:
    ground.enqueue(1)
    gone = fact("unsubscribed", campaign="sale", email=address(1), id="u")
    for event in (gone, fact("complained", token=token(ground))):
        ingest(ground, event)
        assert len(suppressed(ground)) == 1
        unsuppress(ground.context, Asked([address(1)], reason="came back"))
        assert ingest(ground, event).applied.suppressed == 0
        assert suppressed(ground) == {}


def test_ids_of_different_sources_are_different_events(ground: Ground) -> None:
    ground.enqueue(1)
    ground.pass_with(ACCEPTED)
    one = fact("opened", message_id=message(ground), id="1")
    report = ingest(ground, one | {"source": "esp-a"}, one | {"source": "esp-b"}, one, one | {"source": "esp-a"})
    assert (report.applied.fresh, report.applied.known) == (3, 1)


def test_events_without_an_id_are_one_within_the_hour(ground: Ground) -> None:
    ground.enqueue(1)
    ground.pass_with(ACCEPTED)
    one = fact("opened", message_id=message(ground))
    times = ("2026-03-02T10:59:59Z", "2026-03-02T11:00:00Z", "2026-03-02T12:30:00+01:00", "2026-03-02T10:00:00Z")
    report = ingest(ground, *(one | {"occurred_at": at} for at in times))
    assert (report.applied.fresh, report.applied.known) == (2, 2)
    kept = sorted(str(row[0])[11:19] for row in ground.rows("SELECT occurred_at FROM events"))
    assert kept == ["10:00:00", "11:00:00"]  # the earliest of each, whichever came first
    ingest(ground, one | {"occurred_at": "2026-03-02T11:00:00Z"}, one | {"occurred_at": "2026-03-02T10:10:00Z"})
    assert ground.one("SELECT count(*) FROM events") == 2


def test_an_event_that_has_counted_is_not_one_of_somebody_enrolled_later(ground: Ground) -> None:
    ground.enqueue(1, name="other")
    gone = fact("unsubscribed", campaign="sale", email=address(1), id="u")
    assert ingest(ground, gone).unmatched == 1
    ground.enqueue(1)
    assert ingest(ground, gone).applied.stopped == 1
    ground.change(
        "INSERT INTO enrollments (id, campaign_id, contact_id, subject_key, status, current_step_index,"
        " current_occurrence, token, snapshot, created_at, updated_at) SELECT 99, campaign_id, contact_id, 'order 2',"
        " 'completed', 0, 0, 'another', snapshot, created_at, updated_at FROM enrollments WHERE status = 'stopped'"
        " AND ended_for = 'unsubscribed'"
    )
    assert (ingest(ground, gone).applied.known, ground.one("SELECT count(*) FROM events")) == (1, 1)
    assert ingest(ground, gone | {"id": "v"}).applied.fresh == 1
    assert ground.one("SELECT count(*) FROM events") == 3  # this one is about both


# -- what follows -------------------------------------------------------------------------------------------------


def test_a_bounce_for_good_ends_what_was_to_come_and_nobody_writes_there_again(ground: Ground) -> None:
    ground.enqueue(2, steps=(STEP, DRIP))
    ground.pass_with(ACCEPTED)
    ground.enqueue(2, name="other")
    report = ingest(ground, fact("bounced", message_id=message_of(ground, "sale", 1)))
    done = report.applied
    assert (done.bounced, done.stopped, done.cancelled, done.suppressed, done.set_aside) == (1, 1, 1, 1, 1)
    assert ground.states() == {"bounced": 1, "sent": 1, "cancelled": 1, "queued": 1}
    assert ground.states("other") == {"suppressed": 1, "queued": 1}
    assert suppressed(ground) == {address(1): "bounced"}
    assert enrollments(ground) == [
        ("stopped", "bounced"),
        ("active", None),
        ("stopped", "suppressed"),
        ("active", None),
    ]


def message_of(ground: Ground, campaign: str, number: int) -> int:
    """The id of a person's first message in a campaign."""
    found = ground.one(
        "SELECT min(m.id) FROM messages m JOIN campaigns c ON c.id = m.campaign_id"
        " WHERE c.name = :name AND m.recipient = :to", name=campaign, to=address(number),
    )  # fmt: skip
    return int(found)


def test_a_bounce_that_may_pass_is_only_recorded(ground: Ground) -> None:
    ground.enqueue(1, steps=(STEP, REMINDER))
    ground.pass_with(ACCEPTED)
    report = ingest(ground, fact("bounced", message_id=message(ground), permanent=False, code="4.2.2"))
    assert report.applied.by_type == {"deferred": 1}
    assert ground.states() == {"sent": 1, "queued": 1}
    assert json.loads(ground.one("SELECT detail FROM events")) == {"code": "4.2.2", "permanent": False}
    assert suppressed(ground) == {}


@pytest.mark.parametrize(
    ("kind", "rest", "steps", "ends"),
    [
        ("unsubscribed", "", (STEP, DRIP), True),
        ("complained", "", (STEP, DRIP), True),
        ("bounced", "", (STEP, DRIP), True),
        ("submitted", "", (STEP, REMINDER), True),
        ("submitted", "", (STEP, DRIP), False),
        ("submitted", '[stop]\non = ["submitted"]\n', (STEP, DRIP), True),
        ("clicked", '[stop]\non = ["submitted", "clicked"]\n', (STEP, DRIP), True),
        ("clicked", "", (STEP, REMINDER), False),
        ("opened", '[stop]\non = ["clicked"]\n', (STEP, REMINDER), False),
        ("delivered", "", (STEP, REMINDER), False),
    ],
)
def test_what_ends_an_enrollment_is_what_the_campaign_says(
    ground: Ground, kind: str, rest: str, steps: Sequence[str], ends: bool
) -> None:
    ground.enqueue(1, steps=steps, rest=rest)
    ground.pass_with(ACCEPTED)
    report = ingest(ground, fact(kind, token=token(ground)))
    assert (report.applied.stopped, report.applied.cancelled) == (int(ends), int(ends))
    assert enrollments(ground) == [("stopped", kind) if ends else ("active", None)]
    ground.clock.forward(days=30)
    assert (ground.clerk().turn([], 9).messages == ()) is ends


def test_an_enrollment_that_is_completed_stays_so(ground: Ground) -> None:
    ground.enqueue(1)
    ground.pass_with(ACCEPTED)
    assert ingest(ground, fact("unsubscribed", token=token(ground))).applied.stopped == 0
    assert enrollments(ground) == [("completed", None)]
    assert suppressed(ground) == {address(1): "unsubscribed"}


def test_one_that_has_failed_is_stopped_and_not_retried(ground: Ground) -> None:
    ground.enqueue(1, controls="max_attempts = 1", rest='[stop]\non = ["submitted"]\n')
    ground.pass_with(DEFERRED)
    assert ingest(ground, fact("submitted", campaign="sale", email=address(1))).applied.stopped == 1
    ground.clock.forward(days=2)
    assert reconcile.run(ground.context).retried == 0
    assert ground.recover(failed=True).retried == 0
    assert ground.clerk().turn([], 9).messages == ()
    assert ground.states() == {"failed": 1}


def test_a_campaign_of_which_nothing_is_left_is_completed(ground: Ground) -> None:
    ground.enqueue(1)
    ingest(ground, fact("unsubscribed", campaign="sale", email=address(1)))
    assert ground.one("SELECT status FROM campaigns") == "completed"


@pytest.mark.parametrize("kind", ["delivered", "opened", "clicked", "bounced", "complained"])
def test_what_only_a_receiver_can_do_proves_a_message_in_doubt(ground: Ground, kind: str) -> None:
    ground.enqueue(1, steps=(STEP, DRIP))
    ground.pass_with(UNKNOWN)
    report = ingest(ground, fact(kind, message_id=message(ground)))
    assert report.applied.proven == 1
    assert ground.states().get("in_doubt", 0) == 0
    assert ground.one("SELECT status FROM messages WHERE step_index = 0") == (
        "bounced" if kind == "bounced" else "sent"
    )
    assert ground.one("SELECT evidence FROM attempts") == "event"


@pytest.mark.parametrize("kind", ["deferred", "rejected", "failed"])
def test_other_facts_prove_nothing(ground: Ground, kind: str) -> None:
    ground.enqueue(1)
    ground.pass_with(UNKNOWN)
    assert ingest(ground, fact(kind, message_id=message(ground))).applied.proven == 0
    assert ground.states() == {"in_doubt": 1}


def test_a_token_proves_the_only_message_that_it_can_have_come_from(ground: Ground) -> None:
    ground.enqueue(2, steps=(STEP, DRIP))
    ground.pass_with(ACCEPTED, limit=1)
    ground.pass_with(UNKNOWN, limit=1)
    ground.clock.forward(days=4)
    ground.pass_with(UNKNOWN)  # the second message of the first person
    later = {"occurred_at": ground.clock.now.isoformat()}
    report = ingest(ground, *(fact("clicked", token=token(ground, number)) | later for number in (1, 2)))
    assert report.applied.proven == 1
    assert [row[0] for row in ground.rows("SELECT recipient FROM messages WHERE status = 'in_doubt'")] == [address(1)]


def test_what_was_given_up_in_doubt_is_not_sent_again_once_an_event_proves_it(ground: Ground) -> None:
    ground.enqueue(2)
    ground.pass_with(UNKNOWN)
    ground.recover(in_doubt="resend")
    assert ground.states() == {"queued": 2}
    assert ingest(ground, fact("opened", message_id=message(ground, 1))).applied.proven == 1
    assert ground.states() == {"queued": 1, "sent": 1}


def test_an_event_of_a_message_that_was_certainly_refused_proves_nothing_of_its_next_try(ground: Ground) -> None:
    ground.enqueue(1)
    ground.pass_with(REFUSED)
    ingest(ground, fact("opened", message_id=message(ground)))
    ground.recover(failed=True)
    ground.pass_with(UNKNOWN)
    reconcile.run(ground.context)
    assert ground.states() == {"in_doubt": 1}


# -- before the outcome is known ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "outcome", "state"),
    [("bounced", ACCEPTED, "bounced"), ("bounced", UNKNOWN, "bounced"), ("opened", UNKNOWN, "sent"),
     ("opened", ACCEPTED, "sent")],
    ids=lambda value: str(getattr(value, "kind", value)),
)  # fmt: skip
def test_an_event_before_the_outcome_of_its_message_has_its_effect_in_the_end(
    ground: Ground, kind: str, outcome: Any, state: str
) -> None:
    ground.enqueue(1)
    clerk = ground.clerk()
    window = clerk.turn([], 1)
    assert ingest(ground, fact(kind, message_id=message(ground))).applied.fresh == 1
    assert ground.states() == {"sending": 1}
    clerk.turn(ground.done(window, outcome), 0)
    reconcile.run(ground.context)
    assert ground.states() == {state: 1}
    before = ground.dump()["messages"]
    assert not reconcile.run(ground.context).caught_up.changed
    assert ground.dump()["messages"] == before


def test_a_provider_id_that_is_not_known_yet_waits_in_the_spool(ground: Ground) -> None:
    folder = spooled(ground)
    ground.enqueue(1)
    clerk = ground.clerk()
    window = clerk.turn([], 1)
    write(folder / "one.jsonl", fact("delivered", provider_message_id="Q1"))
    assert work(ground).waiting == 1
    assert [path.name for path in spool.waiting(folder)] == ["one.jsonl"]
    clerk.turn(ground.done(window, ACCEPTED), 0)
    report = work(ground)
    assert (report.applied.fresh, report.waiting, report.files) == (1, 0, 1)
    assert spool.waiting(folder) == []
    assert (folder / "done/2026-03-02/one.jsonl").is_file()


# -- races --------------------------------------------------------------------------------------------------------


def test_what_is_in_flight_when_the_stop_comes_finishes_and_is_said(ground: Ground) -> None:
    ground.enqueue(2, steps=(STEP, REMINDER))
    clerk = ground.clerk()
    window = clerk.turn([], 1)
    report = ingest(
        ground, *(fact("submitted", campaign="sale", email=address(number)) for number in (1, 2))
    )  # fmt: skip
    assert (report.applied.stopped, report.applied.in_flight, report.applied.cancelled) == (2, 1, 1)
    clerk.turn(ground.done(window, ACCEPTED), 0)
    assert ground.states() == {"sent": 1, "cancelled": 1}
    assert enrollments(ground) == [("stopped", "submitted")] * 2


@pytest.mark.parametrize("outcome", [DEFERRED, UNKNOWN], ids=["deferred", "in doubt"])
def test_what_was_in_flight_and_comes_back_is_not_sent_again(ground: Ground, outcome: Any) -> None:
    ground.enqueue(1, steps=(STEP, REMINDER))
    clerk = ground.clerk()
    window = clerk.turn([], 1)
    ingest(ground, fact("submitted", campaign="sale", email=address(1)))
    clerk.turn(ground.done(window, outcome), 0)
    if outcome is UNKNOWN:
        ground.recover(in_doubt="resend")
    assert reconcile.run(ground.context).caught_up.cancelled == 1
    assert ground.states() == {"cancelled": 1}


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
def test_a_claim_that_is_under_way_is_waited_for_and_counted(ground: Ground) -> None:
    """It has looked at the enrollments before one of them was to end."""
    ground.enqueue(2, rest='[stop]\non = ["submitted"]\n')
    clerk = ground.clerk()
    mine = Ground(ground.folder, ground.url, ground.clock, ground.journal, ground.send)
    events = [fact("submitted", campaign="sale", email=address(number)) for number in (1, 2)]
    reports: list[IngestReport] = []
    stopping = threading.Thread(target=lambda: reports.append(ingest(mine, *events)))
    begin_before_the_commit(ground.store.engine, stopping)
    assert len(clerk.turn([], 1).messages) == 1
    stopping.join()
    mine.close()
    assert [(one.applied.in_flight, one.applied.cancelled, one.applied.stopped) for one in reports] == [(1, 1, 2)]
    assert clerk.turn([], 2).messages == ()


def test_claims_at_the_same_time_leave_nothing_that_is_neither_in_flight_nor_stopped(ground: Ground) -> None:
    people = 60
    ground.enqueue(people, rest='[stop]\non = ["submitted"]\n')
    everybody = range(1, people + 1)
    with claiming_beside(ground, people):
        report = ingest(ground, *(fact("submitted", campaign="sale", email=address(one)) for one in everybody))
    found = ground.states()
    assert report.applied.stopped == people
    assert found.get("sending", 0) == report.applied.in_flight
    assert found.get("cancelled", 0) == report.applied.cancelled == people - report.applied.in_flight


# -- files --------------------------------------------------------------------------------------------------------


def test_one_bad_line_is_named_and_nothing_is_written(ground: Ground) -> None:
    ground.enqueue(1)
    before = ground.dump()
    good = fact("clicked", token=token(ground))
    with pytest.raises(BadInput, match=r"events\.jsonl:3:type: 'clickt' is no type of event; did you mean clicked\?"):
        ingest(ground, good, good, fact("clickt", token="t"), "not json")
    assert ground.dump() == before


def test_bad_and_unmatched_lines_are_kept_and_read_again_when_repaired(ground: Ground) -> None:
    ground.enqueue(1)
    kept = ground.folder / "bad.jsonl"
    report = ingest(
        ground, fact("clicked", token=token(ground), id=1), "not json", fact("clicked", token="x", id=2), skip_bad=kept
    )  # fmt: skip
    assert (report.applied.fresh, report.bad, report.unmatched) == (1, 1, 1)
    lines = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [(line["sendctl_line"], line.get("id")) for line in lines] == [(2, None), (3, 2)]
    repaired = [line | {"token": token(ground)} for line in lines if "id" in line]
    assert ingest(ground, *repaired).applied.fresh == 1
    with pytest.raises(UsageError, match="is there already"):
        ingest(ground, skip_bad=kept)


@pytest.mark.parametrize("point", ["ingest.before_commit", "ingest.committed"])
def test_a_death_between_two_transactions_costs_nothing(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    ground.enqueue(1)
    ground.pass_with(ACCEPTED)
    monkeypatch.setattr("sendctl.passes.ingest.CHUNK", 20)
    sent = message(ground)
    events = [fact("clicked", message_id=sent, id=number) for number in range(30)]
    arm(monkeypatch, point, 2)
    with pytest.raises(faults.InjectedFault):
        ingest(ground, *events)
    assert ground.one("SELECT count(*) FROM events") == (20 if "before" in point else 30)
    report = ingest(ground, *events)
    assert report.applied.fresh + report.applied.known == 30
    assert ground.one("SELECT count(*) FROM events") == 30


# -- the spool ----------------------------------------------------------------------------------------------------


def spooled(ground: Ground, wait_s: float = 3600.0) -> Path:
    """A spool of this host."""
    folder = ground.folder / "spool"
    folder.mkdir()
    ground.close()
    ground.events = EventsSettings(folder, wait_s)
    return folder


def work(ground: Ground) -> IngestReport:
    """Take in the spool; its files are as old as the test's clock says."""
    assert ground.events.spool is not None
    report = work_off(ground.context, ground.events.spool)
    assert report is not None
    return report


def aged(ground: Ground, path: Path, hours: float = 0.0) -> Path:
    at = (ground.clock.now - timedelta(hours=hours)).timestamp()
    os.utime(path, (at, at))
    return path


def test_good_lines_of_a_spooled_file_count_and_bad_ones_go_aside_with_their_reasons(ground: Ground) -> None:
    folder = spooled(ground)
    ground.enqueue(1)
    path = write(folder / "a.jsonl", fact("clicked", token=token(ground)), "{", fact("opened", token="nobodys"))
    aged(ground, path, hours=2)
    report = work(ground)
    assert (report.applied.fresh, report.bad, report.unmatched, report.files) == (1, 1, 1, 1)
    assert report.exit_code is ExitCode.NEEDS_PERSON
    assert (folder / "bad/a.jsonl").read_text().splitlines()[0] == "{"
    reasons = (folder / "bad/a.jsonl.reason").read_text().splitlines()
    assert reasons[0].startswith("line 2, column 1: not JSON: ")
    assert reasons[1] == "line 3: token nobodys is nothing that this store knows"
    assert (folder / "done/2026-03-02/a.jsonl").read_text().count("\n") == 3
    assert spool.waiting(folder) == []


def test_what_matches_nothing_stays_for_an_hour_and_then_goes_aside(ground: Ground) -> None:
    folder = spooled(ground)
    path = aged(ground, write(folder / "a.jsonl", "bad", fact("opened", token="nobodys")))
    assert work(ground).waiting == 1
    assert [one.name for one in folder.iterdir() if one.is_file()] == ["a.jsonl"]
    assert not list((folder / "bad").glob("*")) if (folder / "bad").exists() else True
    aged(ground, path, hours=1)
    assert (work(ground).unmatched, spool.waiting(folder)) == (1, [])
    assert (folder / "bad/a.jsonl").read_text().splitlines() == ["bad", json.dumps(fact("opened", token="nobodys"))]


def test_hidden_names_unfinished_files_links_and_folders_are_left_alone(ground: Ground) -> None:
    folder = spooled(ground)
    outside = write(ground.folder / "outside.jsonl", fact("opened", token="nobodys"))
    for name in (".hidden", "half.tmp"):
        shutil.copy(outside, folder / name)
    (folder / "link.jsonl").symlink_to(outside)
    (folder / "deeper.jsonl").mkdir()
    report = work(ground)
    assert (report.files, report.waiting, report.exit_code) == (0, 0, ExitCode.DONE)
    assert outside.is_file()


def test_a_wrong_folder_is_left_as_it_is_and_said(ground: Ground) -> None:
    folder = spooled(ground)
    for name in ("sendctl.toml", "sendctl.db"):
        (folder / name).write_text("x")
    report = work(ground)
    assert (report.files, report.exit_code) == (0, ExitCode.NEEDS_PERSON)
    assert report.strangers == [f"{folder}/sendctl.db", f"{folder}/sendctl.toml"]
    assert sorted(path.name for path in folder.iterdir()) == ["sendctl.db", "sendctl.toml"]


def test_a_file_that_is_no_text_goes_aside_whole_and_the_others_count(ground: Ground) -> None:
    folder = spooled(ground)
    ground.enqueue(1)
    (folder / "a.jsonl").write_bytes(json.dumps(fact("opened", token="x")).encode("utf-16"))
    write(folder / "b.jsonl", fact("opened", token=token(ground)))
    report = work(ground)
    assert (report.applied.fresh, report.files, len(report.set_aside)) == (1, 2, 1)
    assert "the file is UTF-16, not UTF-8" in (folder / "bad/a.jsonl.reason").read_text()
    assert (folder / "bad/a.jsonl").read_bytes().startswith(b"\xff\xfe")


def test_files_of_one_name_keep_each_their_own_place(ground: Ground) -> None:
    folder = spooled(ground)
    ground.enqueue(1)
    for kind in ("opened", "clicked", "opened"):
        aged(ground, write(folder / "a.jsonl", fact(kind, token=token(ground)), "bad"), hours=2)
        work(ground)
    names = sorted(path.name for path in (folder / "done/2026-03-02").iterdir())
    assert names == ["a.jsonl", "a.jsonl.2", "a.jsonl.3"]
    assert [path.name for path in (folder / "bad").glob("a.jsonl")] == ["a.jsonl"]  # the same line, once
    assert ground.one("SELECT count(*) FROM events") == 2


def test_a_file_that_somebody_takes_away_meanwhile_is_no_error(ground: Ground) -> None:
    folder = spooled(ground)
    ground.enqueue(1)
    for name in ("a.jsonl", "b.jsonl"):
        write(folder / name, fact("opened", token=token(ground), id=name))
    with ground.once_after("INSERT INTO events", (folder / "b.jsonl").unlink):
        report = work(ground)
    assert (report.files, report.applied.fresh, report.exit_code) == (1, 1, ExitCode.DONE)


def test_two_commands_never_work_on_one_spool(ground: Ground) -> None:
    folder = spooled(ground)
    with spool.held(folder) as mine:
        assert mine
        with pytest.raises(StoreLocked, match="another command works on the spool"):
            run(ground.context, folder)
        assert reconcile.run(ground.context).exit_code is ExitCode.DONE


def test_reconcile_takes_in_the_spool_and_says_so_when_it_cannot(ground: Ground) -> None:
    folder = spooled(ground)
    ground.enqueue(1, steps=(STEP, DRIP))
    ground.pass_with(UNKNOWN)
    write(folder / "a.jsonl", fact("delivered", message_id=message(ground)))
    report = reconcile.run(ground.context)
    assert (report.events.applied.proven, report.in_doubt, report.exit_code) == (1, 0, ExitCode.DONE)
    shutil.rmtree(folder)
    report = reconcile.run(ground.context)
    assert f"the spool {folder} cannot be used: no such file or directory" in report.spool_trouble
    assert report.exit_code is ExitCode.NEEDS_PERSON


@pytest.mark.parametrize("lines", [("bad",), (b"\xff",)], ids=["a bad line", "no text"])
def test_a_bad_file_with_a_long_name_keeps_no_other_from_counting(ground: Ground, lines: tuple[Any, ...]) -> None:
    folder = spooled(ground)
    ground.enqueue(1)
    long = folder / ("a" * 249 + ".jsonl")
    long.write_bytes(b"".join(line.encode() if isinstance(line, str) else line for line in lines))
    write(folder / "b.jsonl", fact("clicked", token=token(ground)))
    report = reconcile.run(ground.context)
    assert (report.events.applied.fresh, report.events.files, report.spool_trouble) == (1, 2, "")
    assert spool.waiting(folder) == []
    assert len(list((folder / "bad").iterdir())) == 2


def test_what_cannot_be_moved_is_said_and_keeps_no_other_from_counting(ground: Ground) -> None:
    folder = spooled(ground)
    ground.enqueue(1)
    write(folder / "a.jsonl", "bad", fact("opened", token=token(ground)))
    write(folder / "b.jsonl", fact("clicked", token=token(ground)))
    (folder / "bad").write_text("in the way")
    report = work(ground)
    assert (report.files, report.exit_code) == (1, ExitCode.UNREACHABLE)
    assert report.unmoved[0].startswith(f"{folder}/a.jsonl: the spool {folder}/bad cannot be used: ")
    assert [path.name for path in spool.waiting(folder)] == ["a.jsonl"]
    assert reconcile.run(ground.context).exit_code is ExitCode.NEEDS_PERSON
    (folder / "bad").unlink()
    assert work(ground).applied.by_type == {"opened": 1}
    assert spool.waiting(folder) == []


@pytest.mark.parametrize("point", ["ingest.before_commit", "ingest.committed", "ingest.moving"])
def test_a_death_between_commit_and_move_ends_the_same(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    folder = spooled(ground)
    ground.enqueue(2, steps=(STEP, REMINDER))
    ground.pass_with(ACCEPTED)
    events = [fact("submitted", token=token(ground, 1)), "bad", fact("bounced", message_id=message(ground, 2))]
    write(folder / "a.jsonl", *events)
    arm(monkeypatch, point)
    with pytest.raises(faults.InjectedFault):
        work(ground)
    assert [path.name for path in spool.waiting(folder)] == ["a.jsonl"]
    report = work(ground)
    assert report.applied.fresh + report.applied.known == 2
    assert sorted(path.name for path in (folder / "bad").iterdir()) == ["a.jsonl", "a.jsonl.reason"]
    assert [path.name for path in (folder / "done/2026-03-02").iterdir()] == ["a.jsonl"]
    assert enrollments(ground) == [("stopped", "submitted"), ("stopped", "bounced")]
