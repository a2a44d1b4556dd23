"""Passes over HTTP services are killed at every point of a submission: with keys everybody is reached exactly once.

With a second service behind the first, whatever a killed pass left in doubt at the first is never handed to the second.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.crash.conftest import NewWorld
from tests.crash.test_killed_passes import ONCE_A_RUN
from tests.crash.test_killed_passes import POINTS as ALL_POINTS
from tests.crash.world import CONNECTIONS, World
from tests.http_double import API_KEY, HttpDouble, start_http_double

# Where messages are on their way; the others of a pass are walked with Resend alone.
POINTS = ("claim.committed", "journal.begun", "provider.before_dot", "journal.dotted", "provider.replied",
          "journal.outcome", "settle.before_commit", "settle.committed")  # fmt: skip
PEOPLE = 30
OPTIONS = {
    "resend": 'api_key_file = "key"', "postmark": 'server_token_file = "key"', "sendgrid": 'api_key_file = "key"',
    "mailgun": 'api_key_file = "key"\ndomain = "mg.shop.example"',
    "ses": 'secret_access_key_file = "key"\naccess_key_id = "AKIDOFTHEDOUBLE"\nregion = "eu-central-1"',
    "twilio": 'auth_token_file = "key"\naccount_sid = "AC1"\nsender = "+15005550006"',
}  # fmt: skip
TEXTS = """\
[campaign]
name = "crash"
purpose = "transactional"
from = "Shop"
channel = "sms"
in_doubt = "hold"
[controls]
batch_size = 5
retry_base = "1s"
max_attempts = 9
[[steps]]
name = "text"
sms = "This is the only copy."
"""


@dataclass
class Both:
    """Two services as one judge: what either of them took."""

    doubles: Sequence[HttpDouble]

    def accepted(self) -> list[dict[str, Any]]:
        return [row for double in self.doubles for row in double.accepted()]


def use(world: World, service: str, url: str, *more: tuple[str, str]) -> None:
    """From now on the only providers are this service, and `more` behind it, each with its URL."""
    (world.folder / "key").write_text(API_KEY)
    chain = [("api", service, url), *((f"api-{name}", name, at) for name, at in more)]
    names = ", ".join(f'"{name}"' for name, _, _ in chain)
    sections = "".join(
        f'[providers.{name}]\ntype = "{kind}"\nbase_url = "{at}"\n{OPTIONS[kind]}\nconnections = {CONNECTIONS}\n'
        for name, kind, at in chain
    )
    (world.folder / "sendctl.toml").write_text(
        f'[send]\nenabled = true\nproviders = [{names}]\n[journal]\npath = "journal"\n{sections}'
    )


def killed_at(world: World, point: str) -> None:
    once = point in ONCE_A_RUN or point.startswith("claim.")  # all later claims record something as well
    for passage in (1,) if once else (1, 3):
        ran = world.run("send-due", failpoint=f"{point}:kill:{passage}")
        assert ran.code == -signal.SIGKILL, ran
        world.assert_sound()


@pytest.mark.parametrize("point", ALL_POINTS)
def test_with_keys_everybody_is_reached_exactly_once_wherever_a_pass_is_killed(
    new_world: NewWorld, store_url: str, tmp_path: Path, point: str
) -> None:
    world = new_world(store_url, contacts=PEOPLE)
    with start_http_double(tmp_path, "resend") as double:
        world.judge = double
        use(world, "resend", double.url)
        killed_at(world, point)
        reconciled = world.finish()
        assert reconciled.code == 0, reconciled
        world.assert_finished(PEOPLE)
        assert world.counts()["sent"] == PEOPLE
        assert world.accepted().total() == PEOPLE


def world_for(new_world: NewWorld, store_url: str, service: str, url: str) -> World:
    """A campaign of what the service carries: the same words to everybody, in texts."""
    world = new_world(store_url, contacts=PEOPLE, enqueued=service != "twilio")
    use(world, service, url)
    if service == "twilio":
        (world.folder / "campaign.toml").write_text(TEXTS)
        (world.folder / "contacts.csv").write_text("phone\n" + "".join(f"+49151{n:07}\n" for n in range(PEOPLE)))
        ran = world.run(
            "enqueue", str(world.folder / "campaign.toml"), "--contacts", str(world.folder / "contacts.csv")
        )
        assert ran.code == 0, ran
    return world


@pytest.mark.parametrize("point", ["journal.dotted", "provider.replied"])
def test_where_nothing_can_be_asked_doubt_is_held(
    new_world: NewWorld, store_url: str, tmp_path: Path, point: str
) -> None:
    with start_http_double(tmp_path, "ses") as double:
        world = world_for(new_world, store_url, "ses", double.url)
        world.judge = double
        killed_at(world, point)
        assert world.finish().code == 3
        world.assert_finished(PEOPLE)
        assert 0 < world.counts()["in_doubt"] <= 2 * CONNECTIONS
        world.assert_settled_by_choice(PEOPLE)


@pytest.mark.parametrize("service", ["postmark", "mailgun", "sendgrid", "twilio"])
@pytest.mark.parametrize("point", ["journal.dotted", "provider.replied"])
def test_without_keys_what_can_be_found_is_settled_and_the_rest_is_held(
    new_world: NewWorld, store_url: str, tmp_path: Path, service: str, point: str
) -> None:
    with start_http_double(tmp_path, service) as double:
        world = world_for(new_world, store_url, service, double.url)
        world.judge = double
        killed_at(world, point)
        world.finish()
        world.assert_finished(PEOPLE)
        missing = PEOPLE - world.accepted().total()
        assert world.counts()["in_doubt"] == missing, "who was taken is found; who was not cannot be told"
        world.assert_settled_by_choice(PEOPLE)


@pytest.mark.parametrize("point", POINTS)
def test_a_pass_killed_between_two_services_hands_nothing_that_is_in_doubt_to_the_second(
    new_world: NewWorld, store_url: str, tmp_path: Path, point: str
) -> None:
    world = new_world(store_url, contacts=PEOPLE)
    throttled = {"at": "body", "do": "answer", "status": 429, "body": {"name": "rate_limit_exceeded"},
                 "skip": 4, "first": 8}  # fmt: skip
    with (
        start_http_double(tmp_path, "resend", script=[throttled]) as first,
        start_http_double(tmp_path, "postmark") as second,
    ):
        world.judge = Both([first, second])  # type: ignore[assignment]
        use(world, "resend", first.url, ("postmark", second.url))
        killed_at(world, point)
        world.finish()
        world.assert_finished(PEOPLE)
        assert second.accepted(), "nothing failed over: the test shows nothing"
        missing = PEOPLE - world.accepted().total()
        assert world.counts()["in_doubt"] == missing
        world.assert_settled_by_choice(PEOPLE)
