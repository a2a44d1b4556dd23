"""A secret that cannot be one is told of by its place alone: nothing is begun, and it stands nowhere."""

from __future__ import annotations

import pytest

from sendctl.errors import ExitCode
from tests.cli.world import World
from tests.http_double import API_KEY, start_http_double

SENTINEL = "s3ntinel-of-a-key"
SECTIONS = {
    "resend": "api_key", "postmark": "server_token", "sendgrid": "api_key", "mailgun": "api_key",
    "ses": "session_token", "twilio": "auth_token",
}  # fmt: skip
OPTIONS = {
    "mailgun": 'domain = "mg.shop.example"\n',
    "ses": 'region = "eu-central-1"\naccess_key_id = "AKID"\nsecret_access_key_env = "GOOD"\n'
    'sqs_queue_url = "{url}/queue"\n',
    "twilio": 'account_sid = "AC1"\n',
}
TEXTS = """\
[campaign]
name = "spring"
purpose = "transactional"
channel = "sms"
from = "Shop"
[[steps]]
name = "note"
sms = "Hello {{ contact.name }}"
"""


def configure(world: World, service: str, url: str, reference: str) -> None:
    more = OPTIONS.get(service, "").format(url=url)
    section = f'[providers.api]\ntype = "{service}"\nbase_url = "{url}"\npull_events = true\n{reference}\n{more}'
    text = (world.folder / "sendctl.toml").read_text().partition("[providers.")[0]
    world.write("sendctl.toml", text.replace('["outbox"]', '["api"]') + section)


def planned(world: World, service: str) -> None:
    """One message that is due, by the channel of the service."""
    if service != "twilio":
        world.ready(1)
        return
    assert world.run("migrate").code == 0
    world.write("spring.toml", TEXTS)
    world.write("people.csv", "phone,name\n+4915112345678,Ana\n")
    assert world.run("enqueue", "spring.toml", "--contacts", "people.csv").code == 0


def everywhere(world: World) -> str:
    """All that commands have left on the disk."""
    left = [path for path in world.folder.rglob("*") if path.is_file() and path.name != "key"]
    return "".join(path.read_bytes().decode(errors="replace") for path in left)


@pytest.mark.parametrize(
    ("store_url", "service"),
    [*(("sqlite", service) for service in SECTIONS), ("postgres", "resend")],  # the database has no part in it
    indirect=["store_url"],
)
def test_a_key_that_cannot_be_one_stops_all_and_stands_nowhere(any_world: World, service: str) -> None:
    world, to = any_world, "+4915112345679" if service == "twilio" else "me@shop.example"
    name = SECTIONS[service]
    with start_http_double(world.folder, service) as double:
        configure(world, service, double.url, f'{name}_env = "BAD"')
        planned(world, service)
        in_file, in_variable = f'{name}_file = "key"', f'{name}_env = "BAD"'
        for bad, references in {
            f"{SENTINEL} {SENTINEL}": (in_file, in_variable),
            f"{SENTINEL}\n{SENTINEL}\n": (in_file,),
            f"{SENTINEL}-ü": (in_variable,),
        }.items():
            world.write("key", bad)
            environment = {"GOOD": API_KEY, "BAD": bad}
            for reference in references:
                configure(world, service, double.url, reference)
                ran = [
                    world.run("send-due", **environment),
                    world.run("check", **environment),
                    world.run("test-send", "spring", "--to", to, **environment),
                    world.run("reconcile", **environment),
                ]
                codes = [ExitCode.BAD_CONFIG] * 3 + [ExitCode.NEEDS_PERSON]
                assert [one.code for one in ran] == codes, ran
                said = [" ".join((one.out + one.err).split()) for one in ran]
                key = reference.partition(" ")[0]
                assert all(f'"{key}"' in text for text in said), said
                assert "sendctl.toml:10:" in said[0], "the line of the section that names it"
                assert all("api" in text.replace(name, "") for text in said[1:])
                assert SENTINEL not in "".join(said)
        assert [row for row in double.heard() if row["method"] == "POST"] == []
    status = world.run("status", "--campaign", "spring", "--json", GOOD=API_KEY, BAD=API_KEY).json
    assert (status["counts"]["queued"], status["planned"]) == (1, 1)
    assert SENTINEL not in everywhere(world)


@pytest.mark.parametrize("around", ["{}\n\n", " {} \r\n", "{}\n"])
def test_white_space_around_a_key_is_not_part_of_it(world: World, around: str) -> None:
    with start_http_double(world.folder, "resend") as double:
        planned(world, "resend")
        for reference in ('api_key_file = "key"', 'api_key_env = "KEY"'):
            world.write("key", around.format(API_KEY))
            configure(world, "resend", double.url, reference)
            assert world.run("check", KEY=around.format(API_KEY)).code == 0
        assert world.run("send-due", KEY=around.format(API_KEY)).code == 0
        assert len(double.accepted()) == 1
