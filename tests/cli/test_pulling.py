"""What `reconcile` prints of events that services were asked for, and what the settings of it must say."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sendctl.errors import ExitCode
from tests.cli.world import World
from tests.http_double import API_KEY, HttpDouble, start_http_double

MORE = '[providers.api]\ntype = "mailgun"\ndomain = "mg.shop.example"\napi_key_env = "MAILGUN"\npull_events = true\n'
SES = '[providers.api]\ntype = "ses"\nregion = "eu-central-1"\naccess_key_id = "A"\nsecret_access_key_env = "S"\n'


@pytest.fixture
def mailgun(tmp_path: Path) -> Iterator[HttpDouble]:
    with start_http_double(tmp_path, "mailgun") as double:
        yield double


def configure(world: World, double: HttpDouble) -> None:
    world.ready(3)
    world.configure(more=MORE + f'base_url = "{double.url}"\n')
    world.environment["MAILGUN"] = API_KEY


def test_reconcile_says_what_services_said(world: World, mailgun: HttpDouble) -> None:
    configure(world, mailgun)
    message = {"event": "delivered", "id": "a", "timestamp": time.time() - 7200, "message": {"headers": {}}}
    of_others = message | {"message": {"headers": {"message-id": "x@else.example"}}}
    mailgun.tell(of_others, message | {"id": "b"})
    ran = world.run("reconcile")
    assert ran.code == ExitCode.NEEDS_PERSON
    assert ran.out == "1 pulled event about nothing of this store: left out\n"
    assert ran.err.startswith("sendctl: warning: not understood: provider api: it names no message")
    assert world.run("reconcile", "-q").out == ""


def test_reconcile_says_what_a_key_must_be_allowed(world: World, mailgun: HttpDouble) -> None:
    configure(world, mailgun)
    world.environment["MAILGUN"] = "another"
    ran = world.run("reconcile", "-q")
    assert ran.code == ExitCode.NEEDS_PERSON
    said = "HTTP 401: Forbidden; the key must be allowed to read the events of the domain"
    assert ran.err == f"sendctl: warning: no events of provider api: {said}\n"
    document = world.run("reconcile", "--json").json
    assert document["pulled"]["trouble"] == {"api": said}
    assert document["exit_code"] == ExitCode.NEEDS_PERSON


def test_providers_says_where_events_come_from(world: World) -> None:
    world.configure(more=MORE.replace("pull_events = true\n", ""))
    world.environment["MAILGUN"] = API_KEY
    assert "(off: pull_events = true" in " ".join(world.run("providers").out.split())
    world.configure(more=MORE)
    assert "pull_events" not in world.run("providers").out
    found = world.run("providers", "--json").json["providers"]
    api = next(one for one in found if one["name"] == "api")
    assert (api["pull_events"], "complained" in api["pulled"]) == (True, True)
    assert [one["pulled"] for one in found if one["type"] == "smtp"] in ([[]], [])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("pull_events = true\n", 'missing key "sqs_queue_url" in [providers.api]'),
        ('sqs_queue_url = "https://sqs.eu-central-1.amazonaws.com/1/q"\n', "is read with pull_events = true alone"),
        ('pull_events = true\nsqs_queue_url = "arn:aws:sqs:x"\n', 'want "https://HOST"'),
        (
            'pull_events = true\nsqs_queue_url = "http://sqs.example/1/q"\n',
            "the key would go to sqs.example in clear text",
        ),
        ('pull_events = "yes"\n', "pull_events"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(world: World, more: str, said: str) -> None:
    world.configure(more=SES + more)
    ran = world.run("providers")
    assert ran.code == ExitCode.BAD_CONFIG
    assert said in ran.err
    assert ":" in ran.err.splitlines()[0]
