"""The final account of a world: judge against store, and the doubt settled as an operator would.

Used where thousands of kills went before; the crash suite's tests look at single moments (world.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.crash.launcher import Finished
from tests.crash.mail_log import write_mail_log
from tests.crash.world import CAMPAIGN, World, write_settings

Run = Callable[..., object]  # runs `sendctl ARGUMENTS` to its end; `codes` are the exit codes that are no defect


@dataclass(frozen=True, slots=True)
class Account:
    """Judge against store. `lost`: not accepted, and not listed as in doubt. `untrue`: called sent, not accepted."""

    accepted: int
    duplicates: int
    lost: int
    untrue: int
    counts: Counter[str]

    @property
    def broken(self) -> bool:
        return bool(self.duplicates or self.lost or self.untrue)


def must(world: World, *arguments: str, codes: tuple[int, ...]) -> Finished:
    """Run a command to its end. Raises AssertionError when its exit code is another."""
    ended = world.run(*arguments)
    assert ended.code in codes, (arguments, ended)
    return ended


def account(world: World) -> Account:
    """Compare the judge's log with the store."""
    accepted, states = world.accepted(), world.states()
    return Account(
        accepted=accepted.total(),
        duplicates=len(world.duplicates()),
        lost=sum(not accepted[name] for name, state in states.items() if state != "in_doubt"),
        untrue=sum(not accepted[name] for name, state in states.items() if state == "sent"),
        counts=Counter(states.values()),
    )


def settle(world: World, run: Run) -> None:
    """Passes one after the other until nothing is due, then a reconcile."""
    while True:
        run("send-due", codes=(0, 3, 75))
        counts = world.counts()
        if not counts["queued"] and not counts["sending"]:
            break
    run("reconcile", codes=(0, 3))


@dataclass(frozen=True, slots=True)
class Settlement:
    """How doubt ended: so many were in doubt, so many of them no log could prove and were sent again by choice."""

    in_doubt: int
    by_choice: int
    last: Account


def settle_doubt(world: World, run: Run, *, connections: int) -> Settlement:
    """First with the server's log as evidence, then by choice for what no log can prove (yet)."""
    before = world.counts()["in_doubt"]
    write_mail_log(world.folder / "mail.log", world.judge.accepted())
    logs = '[reconcile]\nmta = "postfix"\nmta_logs = ["mail.log"]\n'
    write_settings(world.folder, world.judge.port, connections=connections, extra=logs)
    run("recover", "--campaign", CAMPAIGN, "--in-doubt", "hold", "--yes", codes=(0, 3))
    left = world.counts()["in_doubt"]
    run("recover", "--campaign", CAMPAIGN, "--in-doubt", "resend", "--yes", "--expect", str(left), codes=(0,))
    settle(world, run)
    return Settlement(before, left, account(world))
