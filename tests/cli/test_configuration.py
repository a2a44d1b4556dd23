"""A wrong configuration, as the commands meet it: said whole, before anything is done, and whether anything is due."""

from __future__ import annotations

import pytest

from sendctl.errors import ExitCode
from tests.cli.world import World

RELAY = '[providers.relay]\ntype = "smtp"\nhost = "127.0.0.1"\nport = 1\ntls = "none"\n'
SECRET = RELAY + 'username = "shop"\npassword_env = "SMTP_PASSWORD"\n'

WRONG = [
    ('type = "maildir"', 'type = "maildirr"', ':7:8: "type" is "maildirr"; did you mean "maildir"?'),
    ('path = "Maildir"', 'paht = "Maildir"', ':8:1: unknown key "paht" in [providers.outbox]; did you mean "path"?'),
    ('path = "Maildir"\n', "", ':6:1: missing key "path" in [providers.outbox]'),
    ('path = "Maildir"\n', 'path = "Maildir"\n' + SECRET, ":15:16: the environment variable $SMTP_PASSWORD"),
    ('providers = ["outbox"]', "", ""),
]


def broken(world: World, before: str, after: str) -> None:
    path = world.folder / "sendctl.toml"
    path.write_text(path.read_text().replace(before, after))


@pytest.mark.parametrize("due", [True, False])
@pytest.mark.parametrize(("before", "after", "problem"), WRONG[:4])
def test_a_wrong_provider_stops_send_due_before_a_run_is_recorded(
    world: World, before: str, after: str, problem: str, due: bool
) -> None:
    world.ready()
    if not due:
        assert world.run("send-due").code == 0
    runs = len(world.run("status", "--json").json["runs"])
    broken(world, before, after)
    for arguments in (["send-due", "-q"], ["send-due", "-q", "--campaign", "spring"], ["send-due", "--json"]):
        ran = world.run(*arguments)
        assert (ran.code, ran.out) == (ExitCode.BAD_CONFIG, "")
        assert problem in ran.err
    broken(world, after, before) if after else world.configure()
    found = world.run("status", "--json").json["runs"]
    assert (len(found), {run["life"] for run in found} - {"ended"}) == (runs, set())


def test_all_that_is_wrong_is_said_at_once_by_every_command(world: World) -> None:
    world.ready()
    broken(world, 'path = "Maildir"\n', 'paht = "x"\n' + RELAY.replace("port = 1", 'port = "x"\ntsl = "none"'))
    for verb in ("send-due", "reconcile", "status", "messages"):
        ran = world.run(verb)
        assert ran.code == ExitCode.BAD_CONFIG
        assert ran.err.startswith("sendctl: error: 3 problems in the configuration\n")
    check = world.run("status", "--check")
    assert (check.code, check.out.count("\n")) == (3, 1)
    assert "; /" in check.out
    assert "\\n" not in check.out


def test_who_looks_or_puts_right_needs_no_secret(world: World) -> None:
    world.ready()
    broken(world, 'path = "Maildir"\n', 'path = "Maildir"\n' + SECRET)
    for arguments in (["status"], ["reconcile"], ["pause", "spring"], ["send-due", "--dry-run"]):
        assert world.run(*arguments).code == 0
    assert world.run("resume", "spring").code == 0
    assert world.run("send-due").code == ExitCode.BAD_CONFIG
    assert world.run("send-due", SMTP_PASSWORD="x").code == 0


def test_a_host_that_may_not_send_says_so_before_it_asks_for_secrets(world: World) -> None:
    world.ready()
    broken(world, 'path = "Maildir"\n', 'path = "Maildir"\n' + SECRET)
    broken(world, "enabled = true", "enabled = false")
    assert world.run("send-due").code == ExitCode.DISABLED


@pytest.mark.parametrize("due", [True, False])
def test_sending_without_any_provider_is_a_wrong_configuration(world: World, due: bool) -> None:
    world.ready()
    if not due:
        assert world.run("send-due").code == 0
    text = (world.folder / "sendctl.toml").read_text()
    (world.folder / "sendctl.toml").write_text(text.partition("providers =")[0])
    ran = world.run("send-due", "-q")
    assert ran.code == ExitCode.BAD_CONFIG
    assert "sending is enabled, and no provider is configured on this host" in ran.err
    assert world.run("status", "--check").code == 2


def test_logs_that_are_not_there_are_a_warning_of_reconcile(world: World) -> None:
    world.ready()
    world.configure(more='[reconcile]\nmta = "postfix"\nmta_logs = ["mail.log*", "mial.log"]\n')
    world.write("mail.log.1", "")
    ran = world.run("reconcile")
    assert (ran.code, ran.err) == (
        0, f"sendctl: warning: [reconcile] mta_logs: no file matches {world.folder}/mial.log\n",
    )  # fmt: skip
    assert world.run("reconcile", "--json").json["logs_missing"] == [f"{world.folder}/mial.log"]
    assert world.run("reconcile", "-q") == type(ran)(0, "", "")


def test_an_mta_provider_that_is_not_there_is_a_wrong_configuration(world: World) -> None:
    world.ready()
    world.configure(more='[reconcile]\nmta = "exim"\nmta_logs = ["x"]\nmta_providers = ["outbux"]\n')
    ran = world.run("reconcile")
    assert ran.code == ExitCode.BAD_CONFIG
    assert '"mta_providers" names "outbux", which no section defines; did you mean "outbox"?' in ran.err
