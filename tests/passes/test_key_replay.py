"""Doubt about a service that knows its keys is settled by sending the same again, where it could be sent now."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sendctl.cli.recover_words import recovered_lines
from sendctl.durations import parse_rate
from sendctl.passes import control, planning, reconcile, recover
from sendctl.providers.base import Scope
from sendctl.settings import ProviderTable
from sendctl.store import limits
from tests.http_double import API_KEY, HttpDouble, start_http_double
from tests.store.ground import UNKNOWN, Ground

SILENT = UNKNOWN._replace(scope=Scope.PROVIDER)
LOST = {"at": "reply", "do": "close", "first": 1}  # taken, and nobody is told
BROKEN = {"at": "body", "do": "close", "first": 1}  # not taken, and nobody can know
NewDouble = Callable[..., HttpDouble]


@pytest.fixture
def resend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewDouble]:
    """`resend(*script, rate="")`: the double behind provider `primary`."""
    ground: Ground = request.getfixturevalue("sqlite_ground" if "sqlite_ground" in request.fixturenames else "ground")
    with ExitStack() as stack:

        def start(*script: dict[str, Any], rate: str = "") -> HttpDouble:
            double = stack.enter_context(start_http_double(tmp_path, "resend", script=script))
            key = tmp_path / "key"
            key.write_text(API_KEY)
            options = {"base_url": double.url, "api_key_file": str(key), "connections": 1}
            ground.close()
            ground.providers["primary"] = ProviderTable(
                "primary", "resend", options, parse_rate(rate) if rate else None
            )
            return double

        yield start


def keys(double: HttpDouble) -> list[str]:
    return [row["rcpt"] for row in double.accepted()]


def breaker(ground: Ground) -> str:
    return str(ground.one("SELECT breaker FROM provider_state WHERE provider = 'primary'"))


def left_in_doubt(ground: Ground, people: int) -> None:
    """A window that the provider did not take, and of which nobody was told: its breaker is open."""
    ground.enqueue(people)
    ground.pass_with(SILENT)
    assert (ground.states(), breaker(ground)) == ({"in_doubt": people}, "open")


def retry_at(ground: Ground) -> datetime:
    with ground.store.read() as connection:
        moment = limits.breakers(connection)["primary"].retry_at
    assert moment is not None
    return moment


def words(report: reconcile.ReconcileReport) -> str:
    return "; ".join(report.cannot_tell)


@pytest.mark.parametrize("fault", [LOST, BROKEN], ids=["taken", "not taken"])
def test_doubt_is_settled_and_everybody_has_it_once(ground: Ground, resend: NewDouble, fault: dict[str, Any]) -> None:
    double = resend(fault)
    ground.enqueue(3)
    ground.send_due()
    assert ground.states() == {"sent": 2, "in_doubt": 1}
    report = reconcile.run(ground.context)
    assert (report.proven_sent, report.in_doubt, report.cannot_tell) == (1, 0, {})
    assert report.proven_by == {"sent again under its key: provider primary has it once": 1}
    assert ground.states() == {"sent": 3}
    assert sorted(keys(double)) == [f"p{number:05}@x.example" for number in (1, 2, 3)]
    bodies = [row["body"] for row in double.heard()]
    assert len(bodies) == 4
    assert len(set(bodies)) == 3, "sent again are the very same bytes"
    ((reply,),) = ground.rows("SELECT reply FROM attempts WHERE evidence = 'lookup'")
    assert "sent again under its key" in reply


def prevent(ground: Ground, how: str) -> None:
    if how == "paused":
        control.pause(ground.context, "sale")
    elif how == "suppressed":
        ground.change(
            "INSERT INTO suppressions (address_key, reason, created_at)"
            " VALUES ('p00001@x.example', 'asked for it', '2026-03-02 09:00:00.000000')"
        )
    elif how == "stopped":
        ground.change("UPDATE enrollments SET status = 'stopped', next_scheduled_at = NULL, ended_for = 'complained'")
    elif how == "expired":
        ground.clock.forward(hours=2)
    elif how == "at night":
        ground.clock.forward(hours=9)
    elif how == "disabled":
        ground.set(enabled=False)
    else:
        ground.change("UPDATE messages SET revision = NULL, composed_at = NULL")


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("paused", "campaign sale is not running"),
        ("suppressed", "the address is suppressed"),
        ("stopped", "the enrollment has ended"),
        ("expired", "it has expired"),
        ("at night", "outside of its hours"),
        ("disabled", "sending is disabled on this host"),
        ("put back", "not known since the store was put back"),
    ],
)
def test_what_could_not_be_sent_now_is_not_sent_again(
    sqlite_ground: Ground, resend: NewDouble, how: str, reason: str
) -> None:
    ground = sqlite_ground
    double = resend(BROKEN)
    ground.enqueue(1, campaign={"expired": 'expires_after = "1h"', "at night": 'window = "08:00-17:00"'}.get(how, ""))
    ground.send_due()
    assert ground.states() == {"in_doubt": 1}
    prevent(ground, how)
    report = reconcile.run(ground.context)
    assert [found for found in report.cannot_tell if reason in found], report.cannot_tell
    assert ground.states() == {"in_doubt": 1}
    assert keys(double) == []
    assert len(double.heard()) == 1


def test_what_is_older_than_its_key_is_looked_for_and_never_sent_again(ground: Ground, resend: NewDouble) -> None:
    """One was taken, the other was not: of that one nobody can tell, for the list may lag."""
    double = resend(LOST | {"to": "p00001"}, BROKEN | {"to": "p00002"})
    ground.clock.now = datetime.now(UTC)
    ground.enqueue(3)
    ground.send_due()
    assert ground.states() == {"sent": 1, "in_doubt": 2}
    ground.clock.forward(hours=23, minutes=44, seconds=30)
    report = reconcile.run(ground.context)
    assert (report.proven_sent, report.in_doubt) == (1, 1)
    assert [found for found in report.cannot_tell if "does not have it, or has it no more" in found]
    assert [row["method"] for row in double.heard()].count("POST") == 3
    assert ground.one("SELECT reply FROM attempts WHERE evidence = 'lookup'") == "provider primary has it"


def in_doubt_again(ground: Ground, double: HttpDouble) -> None:
    """Sent again by decision after twenty hours, and in doubt again; the key of the first time is forgotten by now."""
    ground.clock.forward(hours=20)
    assert ground.recover(in_doubt="resend").resent == 1
    ground.send_due()
    assert ground.states() == {"in_doubt": 1}
    ground.clock.forward(hours=5)
    double.forget_keys()


def test_a_key_is_as_old_as_the_first_attempt_that_may_have_been_taken(ground: Ground, resend: NewDouble) -> None:
    """Sent again by decision, and in doubt again: by then the service had known the key for twenty hours."""
    double = resend(LOST | {"first": 3})
    ground.enqueue(1)
    ground.send_due()
    in_doubt_again(ground, double)
    report = reconcile.run(ground.context)
    assert (report.proven_sent, ground.states(), len(keys(double))) == (0, {"in_doubt": 1}, 1)
    assert planning.plan(ground.context, "sale").keyed == 0


def test_a_key_is_as_old_as_what_went_by_a_section_that_is_gone(ground: Ground, resend: NewDouble) -> None:
    """It was this one's older name."""
    double = resend(LOST | {"first": 2})
    ground.enqueue(1)
    ground.send_due()
    ground.change("UPDATE attempts SET provider = 'old'")
    said = words(reconcile.run(ground.context))
    in_doubt_again(ground, double)
    assert reconcile.run(ground.context).proven_sent == 0
    assert (ground.states(), len(keys(double))) == ({"in_doubt": 1}, 1)
    assert "provider old is not configured here" in said


def test_a_key_is_as_old_at_a_service_as_what_that_service_may_have_taken(ground: Ground, resend: NewDouble) -> None:
    """In doubt at an MTA, and a day later sent again by decision through a service that drops it once."""
    resend(BROKEN)
    ground.enqueue(1)
    ground.pass_with(UNKNOWN)
    ground.change("UPDATE attempts SET provider = 'fallback'")
    ground.clock.forward(hours=25)
    assert ground.recover(in_doubt="resend").resent == 1
    ground.send_due()
    assert ground.states() == {"in_doubt": 1}
    ground.clock.forward(minutes=20)
    assert (reconcile.run(ground.context).proven_sent, ground.states()) == (1, {"sent": 1})


def test_what_was_certainly_not_taken_makes_no_key_older(ground: Ground, resend: NewDouble) -> None:
    double = resend(answering(429, "rate_limit_exceeded", first=1), BROKEN)
    ground.enqueue(1)
    ground.send_due()
    ground.clock.forward(hours=20)
    ground.send_due()
    assert ground.states() == {"in_doubt": 1}
    ground.clock.forward(hours=5)
    assert reconcile.run(ground.context).proven_sent == 1
    assert len(keys(double)) == 1


def test_a_refusal_of_the_same_again_is_proof_that_nothing_was_taken(ground: Ground, resend: NewDouble) -> None:
    double = resend(BROKEN)
    ground.enqueue(contacts="email,first_name\ninvalid@x.example,I\n")
    ground.send_due()
    report = reconcile.run(ground.context)
    assert (report.proven_absent, report.proven_by) == (1, {"sent again under its key, and refused": 1})
    assert ground.states() == {"queued": 1}
    ground.send_due()
    assert ground.states() == {"failed": 1}
    assert keys(double) == []


def answering(status: int, name: str, **rule: Any) -> dict[str, Any]:
    return {"at": "body", "do": "answer", "status": status, "body": {"name": name, "message": "said"}} | rule


def test_a_service_that_is_away_is_asked_once_in_a_pass_and_its_doubt_stays(
    sqlite_ground: Ground, resend: NewDouble
) -> None:
    ground = sqlite_ground
    double = resend(LOST | {"first": 3}, answering(500, "internal_server_error"))
    ground.enqueue(3)
    ground.send_due()
    assert (ground.states(), breaker(ground)) == ({"in_doubt": 3}, "open")
    ground.clock.forward(hours=2)  # the breaker lets a probe through
    report = reconcile.run(ground.context)
    assert (report.proven_sent, report.in_doubt) == (0, 3)
    assert "internal_server_error" in words(report)
    assert "is not asked any more in this pass" in words(report)
    assert len(double.heard()) == 4
    assert breaker(ground) == "open"
    assert retry_at(ground) > ground.clock.now


def test_a_service_that_is_back_is_found_by_one_of_them_and_gets_the_others_at_once(
    ground: Ground, resend: NewDouble
) -> None:
    """Nothing else is due, so that no claim would ever find out."""
    double = resend()
    left_in_doubt(ground, 4)
    report = reconcile.run(ground.context)
    assert (report.in_doubt, double.heard()) == (4, [])
    assert f"provider primary is left alone until {retry_at(ground):%Y-%m-%d %H:%M}Z" in words(report)
    ground.clock.forward(minutes=30)
    report = reconcile.run(ground.context)
    assert (report.proven_sent, report.in_doubt, report.cannot_tell) == (4, 0, {})
    assert (sorted(keys(double)), breaker(ground)) == ([f"p{n:05}@x.example" for n in (1, 2, 3, 4)], "closed")


def test_a_provider_that_is_resumed_is_sent_what_is_in_doubt_again(ground: Ground, resend: NewDouble) -> None:
    resend()
    left_in_doubt(ground, 4)
    assert control.try_provider(ground.context, "primary").changed
    assert reconcile.run(ground.context).proven_sent == 4
    assert ground.states() == {"sent": 4}


def test_one_that_never_has_an_answer_keeps_no_other_from_its_own(sqlite_ground: Ground, resend: NewDouble) -> None:
    """What the service has under its key is something else, it says: it is there, and the others are asked about."""
    ground = sqlite_ground
    double = resend(answering(409, "invalid_idempotent_request", to="p0000[12]@"))
    left_in_doubt(ground, 25)
    ground.clock.forward(minutes=30)
    for _ in range(3):  # whichever finds out first
        report = reconcile.run(ground.context)
    assert (ground.states(), breaker(ground)) == ({"sent": 23, "in_doubt": 2}, "closed")
    assert "invalid_idempotent_request" in words(report)
    assert len(set(keys(double))) == 23


def test_many_that_never_have_an_answer_keep_no_other_from_its_own(sqlite_ground: Ground, resend: NewDouble) -> None:
    """More of them than are asked about at once, and older."""
    ground = sqlite_ground
    resend(answering(403, "invalid_from_address", to="p000([01][0-9]|20)@"))
    ground.enqueue(20)
    ground.pass_with(UNKNOWN)
    ground.clock.forward(minutes=1)
    ground.enqueue(5, first=21, name="other")
    ground.pass_with(UNKNOWN)
    for _ in range(20):  # whichever finds out first
        ground.clock.forward(minutes=30)
        reconcile.run(ground.context)
    assert (ground.states(), ground.states("other")) == ({"in_doubt": 20}, {"sent": 5})


def test_what_a_service_says_of_itself_then_holds_for_sending_too(ground: Ground, resend: NewDouble) -> None:
    resend(BROKEN, answering(429, "rate_limit_exceeded", headers={"retry-after": "600"}, first=1))
    ground.enqueue(1)
    ground.send_due()
    reconcile.run(ground.context)
    assert retry_at(ground) == ground.clock.now + timedelta(minutes=10)
    ground.enqueue(1, first=2)
    ground.send_due()
    assert ground.states() == {"in_doubt": 1, "queued": 1}
    assert "is left alone until" in words(reconcile.run(ground.context))
    ground.clock.forward(minutes=11)
    assert reconcile.run(ground.context).proven_sent == 1
    ground.send_due()
    assert ground.states() == {"sent": 2}


def test_no_more_is_asked_than_the_rate_allows(ground: Ground, resend: NewDouble) -> None:
    resend(LOST | {"first": 2}, rate="4/day")
    ground.enqueue(2)
    ground.send_due()
    ground.clock.forward(hours=6)
    ground.send_due()
    assert ground.states() == {"in_doubt": 2}
    report = reconcile.run(ground.context)
    assert (report.proven_sent, report.in_doubt) == (0, 2)
    assert [found for found in report.cannot_tell if "is at its rate" in found]
    ground.clock.forward(hours=6)
    assert reconcile.run(ground.context).proven_sent == 1


def test_recover_asks_too_and_its_plan_sends_nothing(ground: Ground, resend: NewDouble) -> None:
    double = resend(BROKEN)
    ground.enqueue(1)
    ground.send_due()
    plan = planning.plan(ground.context, "sale")
    assert (len(plan.doubtful), plan.keyed, keys(double)) == (1, 1, [])
    assert ground.recover().proven_sent == 1
    assert ground.states() == {"sent": 1}
    assert len(keys(double)) == 1


def test_a_plan_says_what_cannot_be_sent_again_now_and_the_deed_does_the_same(
    ground: Ground, resend: NewDouble
) -> None:
    double = resend()
    left_in_doubt(ground, 4)
    plan = planning.plan(ground.context, "sale", in_doubt="resend")
    assert (plan.keyed, len(plan.doubtful)) == (0, 4)
    assert [reason for reason in plan.proof.reasons if "provider primary is left alone until" in reason]
    ground.clock.forward(minutes=30)
    plan = planning.plan(ground.context, "sale", in_doubt="resend")
    assert (plan.keyed, plan.proof.reasons) == (
        4, {"provider primary tells when the same is sent again under its key": 4},
    )  # fmt: skip
    done = ground.recover(in_doubt="resend")
    assert (done.proven_sent, done.resent, done.no_proof) == (4, 0, {})
    assert len(keys(double)) == 4


def test_what_a_deed_gives_up_against_its_plan_is_said(ground: Ground, resend: NewDouble) -> None:
    """The service is still away: the one that found out and those behind it are decided on by the operator."""
    resend(BROKEN)
    left_in_doubt(ground, 4)
    ground.clock.forward(minutes=30)
    plan = planning.plan(ground.context, "sale", in_doubt="resend")
    done = recover.apply(ground.context, plan, reason="test")
    assert (plan.keyed, done.proven_sent, done.resent) == (4, 0, 4)
    assert done.no_proof["provider primary is not asked any more in this pass"] == 3
    said = " ".join(line.strip() for line in recovered_lines(plan, done))
    assert "No proof for 3 messages: provider primary is not asked any more in this pass" in said
