"""The demo, as a newcomer runs it: real commands, a real maildir, no network; twice over, and nobody twice."""

from __future__ import annotations

import csv
import mailbox
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run_demo(folder: Path) -> subprocess.CompletedProcess[str]:
    """The output of examples/demo.sh with the sendctl of this environment."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        [ROOT / "examples/demo.sh", folder],
        env={"PATH": path, "HOME": str(folder.parent), "SENDCTL_STORE_URL": "sqlite:////nonexistent/store.db"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture
def people() -> set[str]:
    with (ROOT / "examples/spring-sale/contacts.csv").open(newline="", encoding="utf-8") as file:
        return {row["email"] for row in csv.DictReader(file)}


def test_demo_reaches_each_person_once_and_starts_anew_each_time(tmp_path: Path, people: set[str]) -> None:
    for _ in range(2):
        demo = run_demo(tmp_path / "demo")
        assert demo.returncode == 0, demo.stdout + demo.stderr
        messages = list(mailbox.Maildir(tmp_path / "demo/Maildir", create=False))
        assert len(messages) == len(people) == 200
        assert len({message["To"] for message in messages}) == 200
        assert len({message["Message-ID"] for message in messages}) == 200
        assert "200" in demo.stdout
        assert "spring-sale" in demo.stdout
        (hint,) = [line for line in demo.stdout.splitlines() if line.startswith("  cat ")]
        read = subprocess.run(["/bin/sh", "-c", hint], cwd=ROOT, capture_output=True, text=True, check=True)
        assert "\nSubject: " in read.stdout
        assert len(list(mailbox.Maildir(tmp_path / "demo/Maildir", create=False))) == 200  # reading has taken nothing


def test_demo_keeps_its_hands_off_a_folder_of_yours(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo/sendctl.toml").write_text("[store]\nurl = 'sqlite:///ours.db'\n")
    demo = run_demo(tmp_path / "demo")
    assert demo.returncode == 1
    assert "move it away" in demo.stderr
    assert (tmp_path / "demo/sendctl.toml").exists()
