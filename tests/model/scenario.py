"""What is explored: how many people and processes, and how often what may happen to them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scenario:
    """A bound on the exploration; inside it everything is tried in every order.

    `commands` are (command, host, how often it may be started); `alive` is how many may run at once. `faults` is how
    often a reply may be another than "accepted", of the kinds in `fates`; `unheard` how often a commit may not be
    confirmed. `jumps` is how often all clocks may run on by `jump_s` at once, which is also what a stopped process
    sees when it is continued.
    """

    name: str
    people: int
    commands: tuple[tuple[str, str, int], ...]
    alive: int = 2
    kills: int = 0
    faults: int = 0
    fates: tuple[str, ...] = ("accepted", "deferred", "refused", "never arrives", "is lost", "breaks off")
    unheard: int = 0
    jumps: int = 0
    jump_s: float = 200.0
    backups: int = 0  # a backup made at any moment, and put back while nothing runs
    failovers: int = 0  # to a standby that lacks the last commit, or the last two; under running passes
    batch_size: int = 1
    providers: tuple[str, ...] = ("primary",)
    mail_log: bool = False  # reconcile asks the MTA's log, which lags as long as the model likes
    enrolled: bool = True  # else "enqueue NAME" brings people in

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts, by the order in which commands name them."""
        return tuple(dict.fromkeys(host for _, host, _ in self.commands))

    @property
    def bounds(self) -> str:
        """The bounds in words: what is started how often, how many at once, and what may happen how often."""
        commands = ", ".join(f"{times} {name} on {host}" for name, host, times in self.commands)
        budgets = [
            f"{count} {word}{'s' if count > 1 else ''}"
            for count, word in (
                (self.kills, "kill"), (self.faults, "bad answer"), (self.unheard, "unheard commit"),
                (self.jumps, f"pause of {self.jump_s:g} s"), (self.backups, "backup put back"),
                (self.failovers, "failover"),
            ) if count
        ]  # fmt: skip
        return "; ".join([f"{self.people} to send to", commands, f"{self.alive} at once", *budgets])


# `make test` explores the first ones to their end; `make prove-model` all of them.
KILLED = Scenario("two passes, one kill", 1, (("send-due", "a", 2),), kills=1)
REFUSED = Scenario(
    "replies are lost or bad, with a second provider", 1, (("send-due", "a", 2),), alive=1, faults=2,
    providers=("primary", "fallback"),
)  # fmt: skip
QUICK = (KILLED, REFUSED)

PUT_BACK = Scenario(
    "a backup is put back", 1, (("send-due", "a", 2), ("recover hold", "a", 1)), alive=1, kills=1, backups=1
)
STOPPED = Scenario(
    "a pass is stopped while another host goes on", 1, (("send-due", "a", 1), ("reconcile", "b", 1)), jumps=1,
    jump_s=400.0,
)  # fmt: skip
LOOKED_UP = Scenario(
    "the log of the MTA lags", 1, (("send-due", "a", 2), ("reconcile", "a", 1)), alive=1, kills=1, faults=1, jumps=1,
    jump_s=700.0, mail_log=True, fates=("accepted", "never arrives", "is lost"),
)  # fmt: skip
ENQUEUED_AGAIN = Scenario(
    "a backup from before an enqueue", 2,
    (("enqueue 1", "a", 1), ("enqueue 2", "a", 1), ("send-due", "a", 2), ("recover hold", "a", 1)),
    alive=1, backups=1, enrolled=False,
)  # fmt: skip
UNHEARD = Scenario(
    "a commit is not confirmed", 1, (("send-due", "a", 2), ("reconcile", "a", 1)), alive=1, kills=1, unheard=1
)
TWO_PEOPLE = Scenario("two passes for two people", 2, (("send-due", "a", 2),), kills=1)
TWO_HOSTS = Scenario("two hosts, a stop and a kill", 1, (("send-due", "a", 1), ("send-due", "b", 1)), kills=1, jumps=1)
FAILED_OVER = Scenario(
    "a failover forgets commits", 1, (("send-due", "a", 2), ("recover hold", "a", 1)), alive=1, kills=1, failovers=1
)
FAILED_OVER_UNDER_TWO = Scenario(
    "a failover under two hosts", 1, (("send-due", "a", 1), ("send-due", "b", 1)), failovers=1
)
RESENT = Scenario(
    "an operator sends doubt again", 1, (("send-due", "a", 2), ("recover resend", "a", 1)), alive=1, kills=1, faults=1,
    fates=("accepted", "never arrives", "is lost"),
)  # fmt: skip
TWO_RECOVER = Scenario("two recovers beside a pass", 1, (("send-due", "a", 1), ("recover resend", "a", 2)), alive=2)
THREE = Scenario("three passes at once", 1, (("send-due", "a", 3),), alive=3)
ALL = (*QUICK, PUT_BACK, STOPPED, LOOKED_UP, ENQUEUED_AGAIN, UNHEARD, TWO_PEOPLE, TWO_HOSTS, FAILED_OVER,
       FAILED_OVER_UNDER_TWO, RESENT, TWO_RECOVER, THREE)  # fmt: skip
