"""A folder with a configuration, a campaign and contacts, in which commands are run as an operator would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from sendctl.settings.store_url import normalise
from sendctl.store.engine import open_store

ROOT = Path(__file__).parents[2]

CONFIG = """\
[store]
url = "{url}"
[send]
enabled = true
providers = ["outbox"]
[providers.outbox]
type = "maildir"
path = "Maildir"
"""
CAMPAIGN = """\
[campaign]
name = "spring"
purpose = "transactional"
from = "Shop <news@shop.example>"
[controls]
batch_size = 7
[[steps]]
name = "offer"
subject = "Hello {{ contact.name }}"
text = "Hello {{ contact.name }}, it is spring."
html = "<p>Hello {{ contact.name }}</p>"
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Commands:
    """The server of tests/cli/server.py."""

    process: subprocess.Popen[str]

    def run(self, request: dict[str, Any]) -> int:
        pipe_in, pipe_out = _pipes(self.process)
        pipe_in.write(json.dumps(request) + "\n")
        pipe_in.flush()
        return int(pipe_out.readline())


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def start_commands() -> Commands:
    return Commands(
        subprocess.Popen(
            [sys.executable, "-m", "tests.cli.server"], cwd=ROOT, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
    )  # fmt: skip


@dataclass
class World:
    """One operator's folder."""

    folder: Path
    commands: Commands
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        own = {"HOME": str(self.folder), "PYTHONIOENCODING": "utf-8", "SENDCTL_JOURNAL_WITNESS": "witness"}
        self.environment = kept | own | self.environment

    def run(self, *arguments: object, stdin: str | None = None, **environment: str) -> Ran:
        """Run `sendctl` with these arguments; its standard input is no terminal."""
        streams = {name: str(self.folder / f".{name}") for name in ("stdin", "stdout", "stderr")}
        Path(streams["stdin"]).write_text(stdin or "")
        code = self.commands.run(
            streams
            | {
                "arguments": [str(argument) for argument in arguments], "folder": str(self.folder),
                "environment": self.environment | environment,
            }
        )  # fmt: skip
        return Ran(code, Path(streams["stdout"]).read_text(), Path(streams["stderr"]).read_text())

    def fresh(self, *arguments: str, **environment: str) -> Ran:
        """The same in a new interpreter: slower, and imports as they really are."""
        ran = subprocess.run(
            [sys.executable, "-m", "sendctl", *arguments], cwd=self.folder, env=self.environment | environment,
            capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    def typed(self, *arguments: str, answers: str) -> Ran:
        """The same with a person at a terminal who types `answers`."""
        ours, theirs = os.openpty()
        with subprocess.Popen(
            [sys.executable, "-m", "sendctl", *arguments], cwd=self.folder, env=self.environment, stdin=theirs,
            stdout=subprocess.PIPE, stderr=theirs, text=True,
        ) as process:  # fmt: skip
            os.close(theirs)
            os.write(ours, answers.encode())
            out, _ = process.communicate(timeout=60)
        err = os.read(ours, 65536).decode()
        os.close(ours)
        return Ran(process.returncode, out, err)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def configure(self, url: str = "sqlite:///sendctl.db", more: str = "") -> None:
        path = self.write("sendctl.toml", CONFIG.format(url=url) + more)
        path.chmod(0o600)

    def ready(self, people: int = 20) -> None:
        """A store with one campaign of so many people, due now."""
        assert self.run("migrate").code == 0
        self.write("spring.toml", CAMPAIGN)
        self.write("people.csv", contacts(people))
        ran = self.run("enqueue", "spring.toml", "--contacts", "people.csv")
        assert ran.code == 0, ran.err

    def crash(self) -> None:
        """Twenty people, and a pass killed when the provider had taken a message and nothing was written of it yet."""
        self.ready()
        self.crash_again()

    def crash_again(self) -> None:
        """The same of a store that is there. Whoever reads the maildir has taken its mail: it cannot be asked."""
        assert self.run("send-due", SENDCTL_FAILPOINT="provider.replied:kill:3").code == -9
        for path in (self.folder / "Maildir" / "new").iterdir():
            path.unlink()

    def execute(self, statement: str) -> None:
        """Change the SQLite store behind sendctl's back, to make a situation that would take long."""
        url = normalise("sqlite:///sendctl.db", self.folder)
        with closing(open_store(url)) as store, store.write() as connection:
            connection.exec_driver_sql(statement)

    def mails(self) -> int:
        """How many messages the provider has."""
        folder = self.folder / "Maildir" / "new"
        return len(list(folder.iterdir())) if folder.is_dir() else 0


def contacts(people: int) -> str:
    rows = [f"person{number}@recipient.example,Person {number}" for number in range(1, people + 1)]
    return "\n".join(["email,name", *rows]) + "\n"
