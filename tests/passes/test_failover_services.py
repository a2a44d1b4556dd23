"""Two services over HTTP behind each other: the second gets what the first certainly did not take, and nothing else."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sendctl.passes import control, listing, reconcile, suppress
from sendctl.settings import ProviderTable
from tests.http_double import API_KEY, HttpDouble, start_http_double
from tests.store.ground import Ground

PEOPLE = 12
SECRETS = {"resend": "api_key_file", "postmark": "server_token_file"}


class Pair:
    """Resend as `primary`, Postmark as `fallback`; each double is started with a script of faults."""

    def __init__(self, ground: Ground, folder: Path, stack: ExitStack) -> None:
        self.ground, self.folder, self._stack = ground, folder, stack
        (folder / "key").write_text(API_KEY)
        ground.set(providers=("primary", "fallback"), deadline_s=1.0)
        self.second = self.start("fallback", "postmark")

    def start(self, name: str, service: str, *script: dict[str, Any], port: int = 0) -> HttpDouble:
        double = self._stack.enter_context(start_http_double(self.folder, service, script=script, port=port))
        self.use(name, service, double.url)
        return double

    def use(self, name: str, service: str, url: str) -> None:
        options = {SECRETS[service]: str(self.folder / "key"), "base_url": url, "connections": 2}
        self.ground.providers[name] = ProviderTable(name, service, options)

    def attempts(self) -> Counter[tuple[str, str]]:
        """(provider, outcome) of all attempts so far."""
        return Counter(tuple(row) for row in self.ground.rows("SELECT provider, outcome FROM attempts"))

    def breaker(self) -> str:
        return str(self.ground.one("SELECT breaker FROM provider_state WHERE provider = 'primary'"))


@pytest.fixture
def pair(ground: Ground, tmp_path: Path) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(ground, tmp_path, stack)


def answer(status: int, name: str, at: str = "body", **rule: Any) -> dict[str, Any]:
    return {"at": at, "do": "answer", "status": status, "body": {"name": name, "message": "said"}} | rule


def reached(*doubles: HttpDouble) -> Counter[str]:
    return Counter(row["rcpt"] for double in doubles for row in double.accepted())


@pytest.mark.parametrize(
    ("rule", "headers"),
    [
        (answer(429, "rate_limit_exceeded"), {"retry-after": "60"}),
        (answer(403, "invalid_api_key"), {}),
        (answer(429, "daily_quota_exceeded"), {}),
    ],
    ids=["throttled", "key", "quota"],
)
def test_what_the_first_certainly_did_not_take_goes_to_the_second_and_the_trail_has_both(
    pair: Pair, rule: dict[str, Any], headers: dict[str, str]
) -> None:
    first = pair.start("primary", "resend", rule | {"headers": headers})
    pair.ground.enqueue(PEOPLE)
    pair.ground.send_due()
    assert pair.ground.states() == {"sent": PEOPLE}, "in the same pass"
    assert (reached(first).total(), reached(pair.second)) == (0, Counter(f"p{n:05}@x.example" for n in range(1, 13)))
    assert not [key for key in pair.attempts() if key in {("primary", "accepted"), ("primary", "unknown")}]
    assert pair.attempts()["fallback", "accepted"] == PEOPLE


def test_the_trail_of_a_message_names_both_services_in_order(pair: Pair) -> None:
    pair.start("primary", "resend", answer(429, "rate_limit_exceeded", headers={"retry-after": "60"}))
    pair.ground.enqueue(1)
    pair.ground.send_due()
    (story,) = listing.show(pair.ground.context, "p00001@x.example").stories
    trail = [(one.provider, str(one.outcome), one.error_class) for one in story.attempts]
    assert trail == [("primary", "deferred", "throttled"), ("fallback", "accepted", None)]


def test_a_service_that_cannot_be_reached_is_left_alone_and_gets_all_again_when_its_probe_is_taken(pair: Pair) -> None:
    with socket.socket() as held:  # bound and not listening: nobody else gets the port, and nobody answers on it
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        pair.use("primary", "resend", f"http://127.0.0.1:{port}")
        pair.ground.enqueue(PEOPLE)
        pair.ground.send_due()
    assert pair.ground.states() == {"sent": PEOPLE}
    assert (pair.breaker(), reached(pair.second).total()) == ("open", PEOPLE)
    first = pair.start("primary", "resend", port=port)
    pair.ground.enqueue(PEOPLE, first=101)
    pair.ground.send_due()
    assert (reached(pair.second).total(), reached(first).total()) == (2 * PEOPLE, 0), "its rest is not over"
    pair.ground.clock.forward(minutes=2)
    pair.ground.enqueue(PEOPLE, first=201)
    pair.ground.send_due(limit=1)
    assert (pair.breaker(), reached(first).total()) == ("closed", 1), "one message finds out that it is back"
    pair.ground.send_due()
    assert (reached(pair.second).total(), reached(first).total()) == (2 * PEOPLE, PEOPLE), "the rest follows"
    assert set(reached(first, pair.second).values()) == {1}


def test_a_probe_that_fails_costs_one_message_nothing_but_a_detour(pair: Pair) -> None:
    """The one that found out that the first is not back is sent by the second, in the same pass."""
    pair.start("primary", "resend", answer(403, "invalid_api_key"))
    pair.ground.enqueue(PEOPLE)
    pair.ground.send_due()
    pair.ground.clock.forward(hours=1)
    pair.ground.enqueue(PEOPLE, first=101)
    pair.ground.send_due()
    assert pair.ground.states() == {"sent": 2 * PEOPLE}
    assert pair.breaker() == "open"
    assert {row[0] for row in pair.ground.rows("SELECT charged_attempts FROM messages")} == {1}


@pytest.mark.parametrize("fault", [
    {"at": "reply", "do": "cut"}, {"at": "reply", "do": "close"}, {"at": "body", "do": "close"},
    {"at": "body", "do": "silence"}, answer(500, "internal_server_error", "reply"),
    answer(502, "", "body"), answer(409, "concurrent_idempotent_requests"),
], ids=["cut", "taken", "not taken", "silent", "500", "502", "409"])  # fmt: skip
def test_what_is_unknown_at_the_first_is_never_handed_to_the_second(pair: Pair, fault: dict[str, Any]) -> None:
    first = pair.start("primary", "resend", fault)
    pair.ground.enqueue(4)
    for _ in range(4):  # the breaker opens, and the second stands by
        pair.ground.send_due()
        pair.ground.clock.forward(minutes=10)
    doubtful = pair.ground.rows("SELECT recipient FROM messages WHERE status = 'in_doubt'")
    assert len(doubtful) >= 2
    assert not {row[0] for row in doubtful} & reached(pair.second).keys()
    assert not reached(first).keys() & reached(pair.second).keys(), "somebody got it from both"
    assert pair.ground.states().get("queued", 0) == 0


LOSES_ALL = {"at": "reply", "do": "close"}  # everything is taken, and nobody is told


def every_ten_minutes(pair: Pair, minutes: int) -> None:
    for _ in range(0, minutes, 10):
        pair.ground.clock.forward(minutes=10)
        reconcile.run(pair.ground.context)
        pair.ground.send_due()


def test_a_policy_that_sends_again_waits_while_the_first_knows_the_key(pair: Pair) -> None:
    """The first has them all, and says so as soon as its replies come through again: nobody gets it from both."""
    first = pair.start("primary", "resend", LOSES_ALL)
    pair.ground.enqueue(4, campaign='in_doubt = "resend"')
    pair.ground.send_due()
    doubtful = pair.ground.states()["in_doubt"]
    every_ten_minutes(pair, 120)
    assert pair.ground.states() == {"in_doubt": doubtful} | ({"sent": 4 - doubtful} if doubtful < 4 else {})
    assert pair.breaker() == "open"
    assert not reached(first).keys() & reached(pair.second).keys(), "somebody got it from both"
    first.stop()
    first = pair.start("primary", "resend")
    every_ten_minutes(pair, 120)
    assert pair.ground.states() == {"sent": 4}
    assert (reached(first).total(), set(reached(first, pair.second).values())) == (doubtful, {1})


@pytest.mark.parametrize("prevented", ["paused", "suppressed", "put back"])
def test_a_policy_that_sends_again_waits_for_a_key_that_nobody_may_send_under_now(pair: Pair, prevented: str) -> None:
    first = pair.start("primary", "resend", {"at": "body", "do": "close"})
    pair.ground.enqueue(1, campaign='in_doubt = "resend"')
    pair.ground.send_due()
    if prevented == "paused":
        control.pause(pair.ground.context, "sale")
    elif prevented == "suppressed":
        suppress.suppress(pair.ground.context, suppress.Asked(["p00001@x.example"]))
    else:
        pair.ground.change("UPDATE messages SET revision = NULL, composed_at = NULL")
    every_ten_minutes(pair, 120)
    assert pair.ground.states() == {"in_doubt": 1}
    assert (len(first.heard()), reached(pair.second)) == (1, Counter())


def test_a_policy_does_what_it_says_when_the_key_is_forgotten(pair: Pair) -> None:
    pair.start("primary", "resend", {"at": "body", "do": "close"})
    pair.ground.enqueue(1, campaign='in_doubt = "resend"')
    pair.ground.send_due()
    pair.ground.clock.forward(hours=23, minutes=30)
    reconcile.run(pair.ground.context)
    assert pair.ground.states() == {"in_doubt": 1}
    pair.ground.clock.forward(minutes=45)
    assert reconcile.run(pair.ground.context).policy_resent == 1
    assert pair.ground.states() == {"queued": 1}
