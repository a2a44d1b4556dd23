"""What is shipped: wheel and sdist, the lock, the sample crontab and units. Builds offline, from what is installed."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_string
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
CRON_FIELD_LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))  # crontab(5)
SENDCTL = "/opt/sendctl/bin/sendctl"


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def build(source: Path, target: str, folder: Path) -> Path:
    """Build "wheel" or "sdist" from a source tree into `folder`, with the installed hatchling: nothing is fetched."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)],
        cwd=source,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (built,) = folder.iterdir()
    return built


def wheel_file(wheel: Path, suffix: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(suffix))
        return archive.read(name).decode()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


def test_wheel_holds_the_schema_itself_and_every_module(wheel: Path) -> None:
    assert wheel_file(wheel, "sendctl/store/schema.sql") == (ROOT / "schema.sql").read_text()
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if name.startswith("sendctl/")}
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "sendctl").rglob("*") if path.suffix in {".py", ".sql"}}
    assert ours <= shipped
    assert not [name for name in shipped if name.startswith("tests/")]


def test_wheel_names_the_command_the_extras_and_the_licence(wheel: Path) -> None:
    assert "sendctl = sendctl.__main__:main" in wheel_file(wheel, "entry_points.txt")
    metadata = message_from_string(wheel_file(wheel, ".dist-info/METADATA"))
    assert metadata.get_all("Provides-Extra") == ["postgres", "speed"]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert "Apache License" in wheel_file(wheel, "licenses/LICENSE")


def test_sdist_holds_the_schema_and_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    sdist = build(ROOT, "sdist", tmp_path / "sdist")
    (tmp_path / "source").mkdir()
    subprocess.run(["tar", "-xzf", str(sdist)], cwd=tmp_path / "source", check=True, timeout=60)
    (source,) = (tmp_path / "source").iterdir()
    assert (source / "sendctl/store/schema.sql").read_text() == (ROOT / "schema.sql").read_text()
    again = build(source, "wheel", tmp_path / "wheel")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert {item.filename: item.CRC for item in first.infolist()} == {
            item.filename: item.CRC for item in second.infolist()
        }


def test_schema_in_the_package_is_the_one_at_the_top() -> None:
    link = ROOT / "sendctl/store/schema.sql"
    assert link.is_symlink()
    assert link.resolve() == (ROOT / "schema.sql").resolve()


def locked() -> dict[str, Requirement]:
    """The pinned requirements of requirements.lock, by normalised name."""
    lines = re.sub(r"\\\n\s*", "", (ROOT / "requirements.lock").read_text()).splitlines()
    pinned = [line.partition(" --hash=")[0] for line in lines if line and not line.lstrip().startswith("#")]
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in pinned}


def declared() -> list[str]:
    project = pyproject()
    extras = [line for lines in project["project"]["optional-dependencies"].values() for line in lines]
    groups = [line for lines in project["dependency-groups"].values() for line in lines]
    return [*project["project"]["dependencies"], *extras, *groups, *project["build-system"]["requires"]]


@pytest.mark.parametrize("line", declared())
def test_lock_covers_each_declared_dependency(line: str) -> None:
    wanted = Requirement(line)
    (pin,) = locked()[canonicalize_name(wanted.name)].specifier
    assert pin.operator == "=="
    assert wanted.specifier.contains(pin.version)


def test_lock_has_hashes_for_all_and_names_no_index() -> None:
    text = (ROOT / "requirements.lock").read_text()
    blocks = re.split(r"\n(?=\S)", text.strip())
    pins = [block for block in blocks if not block.startswith("#")]
    assert len(pins) == len(locked())
    assert all("--hash=sha256:" in block for block in pins)
    assert "://" not in text


def test_installed_command_is_the_declared_one() -> None:
    (command,) = (entry for entry in entry_points(group="console_scripts") if entry.name == "sendctl")
    assert command.value == pyproject()["project"]["scripts"]["sendctl"]


def sendctl_calls(text: str) -> list[list[str]]:
    """The arguments of each call of sendctl in a shell command."""
    return [call.split() for call in re.findall(re.escape(SENDCTL) + r"((?: [a-z-]+)+)", text)]


def cron_jobs() -> list[tuple[list[str], str]]:
    """(five time fields, command) of each job in crontab.example; settings like PATH=... are left out."""
    lines = [line for line in (ROOT / "crontab.example").read_text().splitlines() if line and line[0] != "#"]
    jobs = [line.split(None, 5) for line in lines if not re.match(r"[A-Z_]+=\S", line)]
    return [(job[:5], job[5]) for job in jobs]


def units() -> list[Path]:
    return sorted((ROOT / "examples/systemd").iterdir())


def accepted_options(verb: str) -> set[str]:
    """The options that a verb of the real command line takes."""
    import typer  # noqa: PLC0415  only these tests need the command line

    from sendctl.cli.app import app  # noqa: PLC0415

    command: Any = typer.main.get_command(app)
    assert verb in command.commands, f"sendctl has no command {verb}"
    return {name for parameter in command.commands[verb].params for name in parameter.opts}


def test_crontab_times_are_valid() -> None:
    assert len(cron_jobs()) == 3
    for fields, command in cron_jobs():
        for field, (low, high) in zip(fields, CRON_FIELD_LIMITS, strict=True):
            assert re.fullmatch(r"\*(/\d+)?|\d+", field)
            assert all(low <= int(number) <= high for number in re.findall(r"\d+", field))
        assert "%" not in command, "cron turns an unescaped % into a line end"
        assert sendctl_calls(command)


def test_crontab_and_units_call_commands_that_exist() -> None:
    commands = [command for _, command in cron_jobs()]
    commands += [path.read_text() for path in units() if path.suffix == ".service"]
    for verb, *options in (call for command in commands for call in sendctl_calls(command)):
        assert set(options) <= accepted_options(verb)


def test_each_timer_has_its_service() -> None:
    names = {path.name for path in units()}
    timers = {name for name in names if name.endswith(".timer")}
    assert {name.replace(".timer", ".service") for name in timers} == names - timers
    assert {job[1].split()[1] for job in cron_jobs()[:2]} == {
        name.removeprefix("sendctl-").removesuffix(".timer") for name in timers
    }


def test_stopping_a_unit_leaves_time_to_drain() -> None:
    from sendctl.settings.model import SendSettings  # noqa: PLC0415

    for path in units():
        if path.suffix == ".service":
            text = path.read_text()
            (stop_s,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
            assert int(stop_s) > SendSettings().deadline_s
            assert "\nKillMode=mixed\n" in text


def test_make_alone_lists_every_target() -> None:
    said = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert all(f"\n  {target} " in said for target in phony.split())
