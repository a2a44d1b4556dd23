"""The program as a whole: help, usage errors, the one form of an error, exit codes, and what is imported when."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sendctl.errors import EXIT_MEANINGS, ExitCode
from tests.cli.world import World

VERBS = [
    "init", "migrate", "enqueue", "preview", "send-due", "reconcile", "status", "messages", "show", "pause", "resume",
    "cancel", "tune", "suppress", "recover", "ingest", "check",
    "test-send",
]  # fmt: skip


def test_help_lists_every_verb_and_the_exit_codes_within_80_columns(bare_world: World) -> None:
    ran = bare_world.run("--help")
    assert ran.code == ExitCode.DONE
    assert ran.err == ""
    for verb in VERBS:
        assert f"\n  {verb} " in ran.out
    for code, meaning in EXIT_MEANINGS.items():
        assert f"  {int(code):<4}{meaning}" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


def test_help_cuts_no_sentence(bare_world: World) -> None:
    usage, _, rest = bare_world.run("--help").out.partition("\n")
    assert usage.endswith("[ARGS]...")
    assert "..." not in rest
    assert "\N{HORIZONTAL ELLIPSIS}" not in rest


def test_no_arguments_show_the_help(bare_world: World) -> None:
    assert bare_world.run().out == bare_world.run("--help").out


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_each_verb_explains_options_and_exit_codes(bare_world: World, verb: str) -> None:
    ran = bare_world.run(verb, "--help")
    assert ran.code == ExitCode.DONE
    assert f"Usage: sendctl {verb} " in ran.out
    assert "Options of every command:" in ran.out
    assert "  0   done, or nothing was due" in ran.out or "  0  done, or nothing was due" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80
    told = {int(line.split()[0]) for line in ran.out.partition("Exit status:")[2].splitlines() if line[2:3].isdigit()}
    opens_the_store = {ExitCode.UNREACHABLE, ExitCode.STOPPED_EARLY, ExitCode.BAD_CONFIG}
    assert told >= {ExitCode.USAGE} | (opens_the_store if verb != "preview" else set())


def test_version(bare_world: World) -> None:
    assert bare_world.run("--version").out.startswith("sendctl ")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["statsu"], "did you mean 'status'?"),
        (["status", "--nope"], "no such option: --nope"),
        (["messages", "--status", "lost"], "invalid value for '--status'"),
        (["messages", "--json", "--csv"], "--json, --jsonl and --csv exclude each other"),
        (["send-due", "--limit", "0"], "invalid value for '--limit'"),
        (["enqueue"], "missing argument 'CAMPAIGN.toml'"),
        (["recover"], "missing option '--campaign'"),
        (["show"], "missing argument"),
        (["preview"], "missing argument 'CAMPAIGN.toml'"),
        (["migrate", "extra"], "unexpected extra argument"),
        (["init", "extra"], "unexpected extra argument"),
        (["reconcile", "extra"], "unexpected extra argument"),
        (["pause"], "name one campaign"),
        (["resume"], "name one campaign"),
        (["cancel"], "name one campaign"),
        (["tune", "a", "--campaign", "b"], "name one campaign"),
        (["status", "--check", "--json"], "exclude each other"),
        (["status", "--watch"], "--watch needs a terminal"),
    ],
)
def test_wrong_usage_is_said_in_one_form(world: World, arguments: list[str], problem: str) -> None:
    ran = world.run(*arguments)
    assert ran.code == ExitCode.USAGE
    assert ran.out == ""
    assert ran.err.startswith("sendctl: error: ")
    assert problem.lower() in ran.err.lower()
    assert "Traceback" not in ran.err


def test_missing_configuration_names_the_way_out(bare_world: World) -> None:
    ran = bare_world.run("status")
    assert ran.code == ExitCode.BAD_CONFIG
    assert ran.err.startswith("sendctl: error: no configuration")
    assert "\n  hint: run `sendctl init`" in ran.err


def test_store_without_schema_names_migrate(world: World) -> None:
    for verb in ("send-due", "status", "messages", "reconcile"):
        ran = world.run(verb)
        assert ran.code == ExitCode.BAD_CONFIG
        assert "`sendctl migrate`" in ran.err


def test_unreachable_database_is_said_without_the_password(bare_world: World) -> None:
    bare_world.configure("postgresql://me:pass-sentinel@127.0.0.1:1/none?connect_timeout=2")
    ran = bare_world.run("status")
    assert ran.code == ExitCode.UNREACHABLE
    assert "pass-sentinel" not in ran.err


def test_global_options_stand_before_or_after_the_verb(world: World) -> None:
    world.ready()
    (world.folder / "sendctl.toml").rename(world.folder / "other.toml")
    assert world.run("--config", "other.toml", "status").code == 0
    assert world.run("status", "--config", "other.toml").code == 0
    assert world.run("status").code == ExitCode.BAD_CONFIG


def test_unexpected_failure_is_one_line_and_a_traceback_only_on_request(world: World) -> None:
    world.ready()
    failing = {"SENDCTL_FAILPOINT": "run.recorded:raise"}
    ran = world.fresh("send-due", **failing)
    assert ran.code == ExitCode.UNEXPECTED
    assert ran.err.startswith("sendctl: error: unexpected InjectedFault: run.recorded")
    assert "Traceback" not in ran.err
    assert "Traceback" in world.fresh("send-due", "-v", **failing).err


def test_reader_that_goes_away_is_no_failure(world: World) -> None:
    world.ready(people=2000)
    command = f"{sys.executable} -m sendctl messages --jsonl"
    shell = f"{command} | head -n 1; echo ${{PIPESTATUS[0]}}"
    ran = subprocess.run(
        ["bash", "-c", shell], cwd=world.folder, env=world.environment, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert ran.stderr == ""
    assert ran.stdout.splitlines()[-1] == "0"


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from sendctl.cli.app import run; run(['send-due', '--help']); heavy = {'sqlalchemy', 'rich',"
        " 'minijinja', 'asyncio'}; print([name for name in sys.modules if name.partition('.')[0] in heavy"
        " or name.startswith('sendctl.passes')])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


def test_documented_json_names_are_those_printed() -> None:
    root = Path(__file__).parents[2]
    documented = (root / "docs/json.md").read_text()
    sources = "".join(path.read_text() for path in (root / "sendctl/cli").glob("*.py"))
    for name in ("status", "overview", "message", "show", "send-due", "enqueue", "reconcile", "recover", "control",
                 "suppress", "suppression", "migrate", "preview", "init", "provider"):  # fmt: skip
        assert f'"sendctl.{name}/1"' in sources
        assert f"`sendctl.{name}/1`" in documented


@pytest.mark.parametrize(
    ("verb", "code"),
    [("recover", ExitCode.LOCKED), ("reconcile", ExitCode.USAGE), ("migrate", ExitCode.USAGE)]
    + [("init", ExitCode.BAD_CONFIG)]
    + [(verb, ExitCode.STOPPED_EARLY) for verb in ("init", "status", "messages", "show", "pause", "resume", "tune")],
)
def test_help_of_a_verb_lists_the_rarer_exit_codes_too(bare_world: World, verb: str, code: ExitCode) -> None:
    _, _, table = bare_world.run(verb, "--help").out.partition("Exit status:")
    assert str(int(code)) in [line.split()[0] for line in table.splitlines() if line.strip()]
