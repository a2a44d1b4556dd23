"""One small campaign on one store, worked on by the real command line and judged by the SMTP double's own log.

What was accepted is never taken from sendctl: only the double's log says it. The store is only read here.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from sendctl.passes.context import Context
from sendctl.settings import load_settings
from sendctl.store import proofs
from sendctl.store.tables import messages, runs
from tests.crash.launcher import RUN_S, Command, Finished, Launcher
from tests.smtp_double import SmtpDouble

CAMPAIGN = "crash"
CONTACTS = 70
CONNECTIONS = 4
BATCH_SIZE = 5

CAMPAIGN_FILE = """\
[campaign]
name = "{name}"
purpose = "transactional"
from = "Shop <news@shop.example>"
in_doubt = "hold"

[controls]
batch_size = {batch_size}
retry_base = "1s"
max_attempts = 9
{controls}

[[steps]]
name = "letter"
subject = "A letter for {{{{ contact.first_name }}}}"
text = "Dear {{{{ contact.first_name }}}}, this is the only copy."
"""


@dataclass(frozen=True, slots=True)
class Death:
    """What the import of one dead run found: messages by where they went."""

    recorded: int
    requeued: int
    in_doubt: int


@dataclass
class World:
    """A configuration folder, a store, and the judge."""

    folder: Path
    environ: dict[str, str]
    judge: SmtpDouble
    launcher: Launcher | None = None
    started: list[Command] = field(default_factory=list)

    # -- commands -------------------------------------------------------------------------------------------------

    def start(
        self, *arguments: str, failpoint: str = "", environ: Mapping[str, str] | None = None,
        file_bytes: int | None = None, held: bool = False, terminated_at: int | None = None,
    ) -> Command:  # fmt: skip
        """Start `sendctl ARGUMENTS`; `file_bytes` is the size beyond which no file can grow (RLIMIT_FSIZE).

        `held`: it waits, stopped, for a SIGCONT before it does anything. `terminated_at`: see launcher.terminate_at.
        """
        assert self.launcher is not None
        armed = {"SENDCTL_FAILPOINT": failpoint} if failpoint else {}
        command = Command(
            self.launcher, ["--config", str(self.folder / "sendctl.toml"), *arguments],
            {**self.environ, **armed, **(environ or {})}, file_bytes, held, terminated_at,
        )  # fmt: skip
        self.started.append(command)
        return command

    def run(
        self, *arguments: str, failpoint: str = "", environ: Mapping[str, str] | None = None,
        file_bytes: int | None = None,
    ) -> Finished:  # fmt: skip
        """Run a command to its end."""
        return self.start(*arguments, failpoint=failpoint, environ=environ, file_bytes=file_bytes).ended()

    def recover(self, choice: str, *more: str, failpoint: str = "") -> Finished:
        """Apply `recover` with a choice for what stays in doubt."""
        return self.run("recover", "--campaign", CAMPAIGN, "--in-doubt", choice, "--yes", *more, failpoint=failpoint)

    def finish(self) -> Finished:
        """Passes until nothing is queued, then a reconcile; returns how the reconcile ended."""
        give_up_at = time.monotonic() + RUN_S
        while True:
            ran = self.run("send-due")
            assert ran.code in (0, 3), ran
            if not self.counts()["queued"]:
                break
            assert time.monotonic() < give_up_at, self.counts()
            wait_for(self.anything_due)  # deferred messages wait about a second
        reconciled = self.run("reconcile")
        assert reconciled.code in (0, 3), reconciled
        return reconciled

    def close(self) -> None:
        """End what a failed test left behind."""
        for command in self.started:
            command.end()

    # -- what the store says --------------------------------------------------------------------------------------

    @contextmanager
    def context(self) -> Iterator[Context]:
        """The store as a command sees it, closed at the end."""
        context = Context(load_settings(self.folder / "sendctl.toml", self.environ, self.folder), self.environ)
        try:
            yield context
        finally:
            if "store" in context.__dict__:
                context.store.close()

    def states(self) -> dict[str, str]:
        """Each planned recipient's message state."""
        with self.context() as context, context.store.read() as connection:
            rows = connection.execute(sa.select(messages.c.recipient, messages.c.status))
            return {row.recipient: row.status for row in rows}

    def counts(self) -> Counter[str]:
        """Messages by state; a state without any counts 0."""
        return Counter(self.states().values())

    def anything_due(self) -> bool:
        """Whether a pass that starts now would find something."""
        with self.context() as context, context.store.read() as connection:
            now = context.store.now(connection)
            due = sa.select(sa.func.count()).where(messages.c.status == "queued", messages.c.next_attempt_at <= now)
            return connection.execute(due).scalar_one() > 0

    def deaths(self) -> list[Death]:
        """What became of each dead run that was imported, oldest first."""
        with self.context() as context, context.store.read() as connection:
            rows = connection.execute(
                sa.select(runs.c.detail).where(runs.c.result == "died", runs.c.command == "send-due")
                .order_by(runs.c.started_at)
            ).scalars()  # fmt: skip
            details = [json.loads(row) for row in rows]
        return [Death(detail["recorded"], detail["requeued"], detail["in_doubt"]) for detail in details]

    # -- the judgement --------------------------------------------------------------------------------------------

    def accepted(self) -> Counter[str]:
        """How often the judge accepted a message for each recipient."""
        return Counter(row["rcpt"] for row in self.judge.accepted())

    def duplicates(self) -> dict[str, int]:
        """Recipients and Message-IDs that the judge accepted more than once."""
        ids = Counter(row["message_id"] for row in self.judge.accepted())
        return {name: count for name, count in (self.accepted() + ids).items() if count > 1}

    def assert_sound(self) -> None:
        """What must hold whenever no run is at work: nobody twice, nobody called sent who is not, nobody at risk."""
        assert not self.duplicates()
        accepted, states = self.accepted(), self.states()
        assert accepted.keys() <= states.keys()
        # An accepted message that is queued again will be sent twice; one that is failed was lied about.
        assert {states[name] for name in accepted} <= {"sent", "in_doubt", "sending"}, _cross(accepted, states)
        assert {name for name, state in states.items() if state == "sent"} <= accepted.keys(), _cross(accepted, states)
        with self.context() as context, context.store.read() as connection:
            assert proofs.check(connection) == []

    def assert_finished(self, planned: int = CONTACTS) -> None:
        """Sound, and everybody is either sent or listed as in doubt."""
        self.assert_sound()
        counts = self.counts()
        assert counts["sent"] + counts["in_doubt"] == planned == counts.total(), counts

    def assert_settled_by_choice(self, planned: int = CONTACTS) -> None:
        """`recover --in-doubt skip` leaves nobody unaccounted for."""
        doubtful = self.counts()["in_doubt"]
        recovered = self.recover("skip", "--reason", "end of the test")
        assert recovered.code == 0, recovered
        counts = self.counts()
        assert counts == Counter(sent=planned - doubtful, failed=doubtful), counts
        assert not self.duplicates()


def _cross(accepted: Counter[str], states: dict[str, str]) -> list[tuple[str, str, int]]:
    """Recipients on whom judge and store disagree: (recipient, state, times accepted)."""
    return [
        (name, state, accepted[name])
        for name, state in states.items()
        if (state == "sent") != (accepted[name] == 1) and state != "in_doubt"
    ]


def write_world(folder: Path, *, controls: str = "", contacts: int = CONTACTS, batch_size: int = BATCH_SIZE) -> None:
    """The campaign and its contacts."""
    text = CAMPAIGN_FILE.format(name=CAMPAIGN, batch_size=batch_size, controls=controls)
    (folder / "campaign.toml").write_text(text)
    rows = [f"person{number}@example.com,Person {number}" for number in range(contacts)]
    (folder / "contacts.csv").write_text("\n".join(["email,first_name", *rows]) + "\n")


def write_settings(folder: Path, *ports: int, extra: str = "", connections: int = CONNECTIONS) -> None:
    """A configuration with one relay per port, named relay0, relay1, ... in order of failover."""
    names = [f"relay{number}" for number in range(len(ports))]
    tables = [
        f'[providers.{name}]\ntype = "smtp"\nhost = "127.0.0.1"\nport = {port}\ntls = "none"\n'
        f"connections = {connections}\n"
        for name, port in zip(names, ports, strict=True)
    ]
    send = f"[send]\nenabled = true\nproviders = {json.dumps(names)}\n"
    (folder / "sendctl.toml").write_text("\n".join([send, *tables, '[journal]\npath = "journal"\n', extra]))


def environment(store_url: str, home: Path) -> dict[str, str]:
    """What a command of the tests may see: none of the variables of whoever runs them."""
    return {
        "PATH": os.environ["PATH"], "HOME": str(home), "SENDCTL_STORE_URL": store_url,
        "SENDCTL_JOURNAL_WITNESS": str(home / "witness"),
    }  # fmt: skip


def wait_for(condition: Callable[[], object], within_s: float = 20.0) -> None:
    """Look until a condition holds. Raises TimeoutError."""
    give_up_at = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"still not true after {within_s:g} s: {condition}")
        time.sleep(0.01)
