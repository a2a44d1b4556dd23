"""The peers' virtual environment: made on demand inside that of the benchmark, where it changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks import shop
from benchmarks.measuring import BenchmarkFailed, Usage, run

FOLDER = Path(sys.prefix) / "peers"  # inside the environment that runs this: gone with it, ignored like it
PACKAGES = ("django-post_office", "django-mailer")
PROGRAM = Path(__file__).with_name("program.py")
INSTALL_S = 300


def peer_versions() -> dict[str, str]:
    """Version of each peer, after installing what is missing. Raises BenchmarkFailed without a package index."""
    python = FOLDER / "bin" / "python"
    if not python.exists():
        _call([sys.executable, "-m", "venv", str(FOLDER)])
    listing = [str(python), "-m", "pip", "--disable-pip-version-check", "list", "--format", "json"]
    found = _versions(_call(listing))
    if not set(PACKAGES) <= found.keys():
        _call([str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *PACKAGES])
        found = _versions(_call(listing))
    return {name: found[name] for name in (*PACKAGES, "Django")}


def _versions(listing: str) -> dict[str, str]:
    return {row["name"]: row["version"] for row in json.loads(listing)}


def _call(command: list[str]) -> str:
    """With the environment of whoever runs the benchmark: proxies and package indexes are named there."""
    try:
        done = subprocess.run(  # noqa: S603  pip and venv
            command, capture_output=True, text=True, timeout=INSTALL_S, check=True
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkFailed(f"{' '.join(command)} took more than {INSTALL_S} s") from None
    except subprocess.CalledProcessError as error:
        last = (error.stderr or error.stdout).strip().splitlines()[-1:]
        raise BenchmarkFailed(f"{' '.join(command)} failed: {' '.join(last)}") from None
    return done.stdout


@dataclass(frozen=True, slots=True)
class PeerJob:
    """One peer with an empty database in a folder of its own."""

    name: str
    folder: Path

    def write(self, contacts: Path, port: int) -> None:
        """What is to be sent, to whom, and where to: the shop's own letter, which Django's templates understand."""
        job = {
            "folder": str(self.folder), "port": port, "contacts": str(contacts), "sender": shop.SENDER,
            "subject": shop.SUBJECT, "text": shop.TEXT, "html": shop.HTML, "unsubscribe": shop.UNSUBSCRIBE,
        }  # fmt: skip
        (self.folder / "job.json").write_text(json.dumps(job))

    def run(self, verb: str) -> tuple[float, Usage]:
        """(seconds of the job itself, what the whole process cost)."""
        command: list[str | Path] = [FOLDER / "bin" / "python", PROGRAM, self.name, verb, self.folder / "job.json"]
        usage = run(command, environ={"PATH": os.defpath, "HOME": str(self.folder)}, folder=self.folder)
        seconds: float = json.loads(usage.said.strip().splitlines()[-1])["seconds"]
        return seconds, usage
