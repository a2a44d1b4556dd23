"""Doubt about a service that knows its keys is settled by sending the same again, where it could be sent now."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sendctl.durations import parse_rate
from sendctl.passes import control, planning, reconcile
from sendctl.settings import ProviderTable
from tests.http_double import API_KEY, HttpDouble, start_http_double
from tests.store.ground import Ground

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


@pytest.mark.parametrize("fault", [LOST, BROKEN], ids=["taken", "not taken"])
def test_doubt_is_settled_and_everybody_has_it_once(ground: Ground, resend: NewDouble, fault: dict[str, Any]) -> None:
    double = resend(fault)
    ground.enqueue(3)
    ground.send_due()
    assert ground.states() == {"sent": 2, "in_doubt": 1}
    report = reconcile.run(ground.context)
    assert (report.proven_sent, report.in_doubt, report.cannot_tell) == (1, 0, {})
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


def test_a_refusal_of_the_same_again_is_proof_that_nothing_was_taken(ground: Ground, resend: NewDouble) -> None:
    double = resend(BROKEN)
    ground.enqueue(contacts="email,first_name\ninvalid@x.example,I\n")
    ground.send_due()
    assert reconcile.run(ground.context).proven_absent == 1
    assert ground.states() == {"queued": 1}
    ground.send_due()
    assert ground.states() == {"failed": 1}
    assert keys(double) == []


def test_a_service_that_is_away_is_asked_once_in_a_pass_and_its_doubt_stays(
    sqlite_ground: Ground, resend: NewDouble
) -> None:
    ground = sqlite_ground
    down = {"at": "body", "do": "answer", "status": 500, "body": '{"name": "internal_server_error", "message": "oh"}'}
    double = resend(LOST | {"first": 3}, down)
    ground.enqueue(3)
    ground.send_due()
    ground.clock.forward(hours=2)  # the breaker lets a probe through
    ground.send_due()
    doubt = ground.states().get("in_doubt", 0)
    assert doubt
    ground.change("UPDATE provider_state SET breaker = 'closed', retry_at = NULL, consecutive_failures = 0")
    report = reconcile.run(ground.context)
    assert (report.proven_sent, report.in_doubt) == (0, doubt)
    assert [found for found in report.cannot_tell if "internal_server_error" in found]
    assert len(keys(double)) == len(set(keys(double)))


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
