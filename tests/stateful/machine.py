"""The rules: what operators, cron, providers, disks and the power supply do, in whatever order hypothesis thinks of.

Every rule runs the real commands, in this process where they end and in a forked one where they die. What must hold
is asked of the oracle after each rule; the end of it all is in ending.py.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sendctl.errors import StoreRewound, UsageError
from sendctl.passes import control, planning, reconcile, recover, replaying
from sendctl.passes import suppress as suppressing
from sendctl.passes.suppress import Asked
from sendctl.store import claims
from tests.stateful import ending
from tests.stateful.oracle import Oracle, Planned, ledger_of
from tests.stateful.relay import FATES, Slot
from tests.stateful.world import BY_POLICY, STEPS, World
from tests.store.ground import Backup, Ground

PEOPLE = [f"p{number}@x.example" for number in range(1, 6)]
PERSON, HOST = st.sampled_from(PEOPLE), st.sampled_from(["a", "b"])
CAMPAIGN = st.sampled_from(list(STEPS))
SOME = st.lists(PERSON, min_size=1, max_size=4)
FATED = st.lists(st.sampled_from(FATES), min_size=1, max_size=3)
# Where a pass may stand still: in no transaction, or nobody else could write to SQLite.
STANDING = ["claim.committed", "journal.begun", "journal.dotted", "provider.replied", "journal.outcome",
            "settle.committed", "run.before_finish"]  # fmt: skip
OF_SENDING = [*STANDING, "run.recorded", "claim.before_commit", "provider.before_dot", "settle.before_commit",
              "run.finished", "import.before_commit", "import.committed"]  # fmt: skip
OF_REPAIR = ["recover.before_commit", "recover.committed", "import.before_commit", "import.committed"]
KEPT_S = 25 * 86400.0  # no older backup is put back than journals are kept for
TUNED = [{"batch_size": 1}, {"batch_size": 50}, {"max_attempts": 1}, {"max_attempts": 4}, {"rate": "6/h"},
         {"rate": "none"}, {"cooldown": "10m"}, {"cooldown": "0s"}]  # fmt: skip


class Kept(NamedTuple):
    """A backup: the rows, what was planned then, and when that was."""

    rows: Backup
    planned: Planned
    at_s: float


class Machine(RuleBasedStateMachine):
    """One example. `world` is given by whoever runs it; `examples`, `moves` and `ends` count over all of them."""

    world: World
    examples = moves = ends = 0

    def __init__(self) -> None:
        super().__init__()
        self.world.begin_anew()
        self.oracle = Oracle()
        self.kept: Kept | None = None
        self.when_stopped: list[Planned] = []  # beside world.stopped
        self.version = 1
        type(self).examples += 1

    @property
    def ground(self) -> Ground:
        return self.world.hosts["a"]

    @property
    def planned(self) -> Planned:
        return self.oracle.planned

    def accepted(self) -> Counter[Slot]:
        """How often each message was accepted, by the relay's own record."""
        return Counter(one.slot for one in self.world.record.accepted())

    @contextmanager
    def command(
        self, *, allowed: Collection[str] = (), sends: bool = False, since: Planned | None = None
    ) -> Iterator[None]:
        """What a command may change: nobody is decided about who is not `allowed`, nobody reached who was barred.

        A minute goes by: two commands never begin at the same moment.
        """
        before, seen, planned = ledger_of(self.ground), len(self.world.record.accepted()), self.planned.copied()
        yield
        after = ledger_of(self.ground)
        self.oracle.note_resent(self.oracle.resent(before, after, self.accepted()), allowed=allowed)
        new = self.world.record.accepted()[seen:]
        assert sends or not new, f"somebody was sent to by a command that sends nothing: {new}"
        self.oracle.check_new(new, planned.as_well_as(since or planned))
        self.world.clock.forward(minutes=1)

    def took_over(self, host: str) -> None:
        """A pass that did not refuse vouches for the store, and has taken up every run that died here."""
        self.oracle.trusted = True
        ground = self.world.hosts[host]
        left = ground.one(
            "SELECT count(*) FROM runs WHERE finished_at IS NULL AND host_id = :host", host=ground.context.home.host_id
        )
        assert left <= sum(one.host == host for one in self.world.stopped), "a run that died was not taken up"

    def refused(self) -> None:
        """A pass took the store for rewound."""
        assert not self.oracle.trusted, "a store that nobody has put back was taken for rewound"

    # -- people -------------------------------------------------------------------------------------------------------

    @initialize(people=SOME, barred=PERSON)
    def begin(self, people: list[str], barred: str) -> None:
        """Both hosts have looked at the store before the first backup is made: it knows them, and they know it."""
        for host in self.world.hosts:
            self.reconcile(host)
        self.suppress(barred, False)
        self.enqueue("a", "sale", people, False)

    @rule(host=HOST, campaign=CAMPAIGN, people=SOME, changed=st.booleans())
    def enqueue(self, host: str, campaign: str, people: list[str], changed: bool) -> None:
        """People who stand in the file twice, in capitals, with other data, in a campaign with another text."""
        self.version += changed
        rows = [(each.upper() if place % 2 else each, f"v{self.version}") for place, each in enumerate(people)]
        with self.command():
            try:
                self.world.enqueue(host, campaign, rows, self.version)()
            except UsageError:
                assert campaign in self.planned.cancelled, f"{campaign} could not be enqueued"
                return
            self.planned.enrolled.setdefault(campaign, set()).update(people)

    @rule(campaign=CAMPAIGN, people=SOME, failpoint=st.sampled_from(["enqueue.before_commit", "enqueue.committed"]))
    def enqueue_dies(self, campaign: str, people: list[str], failpoint: str) -> None:
        """All of them are planned, or nobody."""
        rows = [(each, "x") for each in people]
        with self.command():
            killed = self.world.kill_at(lambda: self.world.enqueue("a", campaign, rows, self.version), failpoint)
        if killed and failpoint == "enqueue.committed":
            self.planned.enrolled.setdefault(campaign, set()).update(people)

    @rule(person=PERSON, back=st.sampled_from([False, False, True]))
    def suppress(self, person: str, back: bool) -> None:
        """Somebody must never be contacted again, or may be once more."""
        with self.command():
            change = suppressing.unsuppress if back else suppressing.suppress
            change(self.ground.context, Asked((person,)))
        (self.planned.suppressed.discard if back else self.planned.suppressed.add)(person)
        self.oracle.ever_suppressed |= self.planned.suppressed

    # -- passes -------------------------------------------------------------------------------------------------------

    @rule(host=HOST, fates=FATED, limit=st.sampled_from([None, None, 1, 2]))
    def send(self, host: str, fates: list[str], limit: int | None = None) -> None:
        """A whole pass. What it reports is what was accepted, and it leaves nothing that it could have sent."""
        self.world.record.fates = fates
        ground, seen = self.world.hosts[host], len(self.world.record.accepted())
        with self.command(sends=True):
            try:
                report = ground.send_due(limit=limit)
            except StoreRewound:
                self.refused()
                return
            assert report.failure is None
            assert report.work.outcomes.get("accepted", 0) == sum(
                one.heard for one in self.world.record.accepted()[seen:]
            )
            self.took_over(host)
            if report.work.ended == "nothing due" and limit is None:
                with ground.store.read() as connection:
                    left = claims.due_counts(connection, ground.store.now(connection))
                assert not left, f"a pass says that nothing is due, and left {left}"

    @rule(host=HOST, failpoint=st.sampled_from(OF_SENDING), count=st.integers(1, 3), fates=FATED)
    def send_dies(self, host: str, failpoint: str, count: int, fates: list[str]) -> None:
        """SIGKILL in the middle of a pass."""
        self.world.record.fates = fates
        with self.command(sends=True):
            self.world.kill_at(lambda: self.world.command("send-due", host), failpoint, count)

    @precondition(lambda self: len(self.world.stopped) < 2)
    @rule(host=HOST, failpoint=st.sampled_from(STANDING), count=st.integers(1, 2), fates=FATED)
    def send_stops(self, host: str, failpoint: str, count: int, fates: list[str]) -> None:
        """A pass stands still with a window open."""
        self.world.record.fates = fates
        planned = self.planned.copied()
        with self.command(sends=True):
            if self.world.stop_at(lambda: self.world.command("send-due", host), host, failpoint, count):
                self.when_stopped.append(planned)

    @precondition(lambda self: self.world.stopped)
    @rule(minutes=st.sampled_from([0, 20]))
    def stopped_goes_on(self, minutes: int) -> None:
        """It goes on: at once, or when its claim is long over."""
        self.world.clock.forward(minutes=minutes)
        with self.command(sends=True, since=self.when_stopped.pop(0)):
            self.world.go_on()

    @precondition(lambda self: self.world.stopped)
    @rule()
    def stopped_dies(self) -> None:
        """It is killed where it stands."""
        self.when_stopped.pop(0)
        self.world.kill_stopped()

    @rule(host=HOST)
    def reconcile(self, host: str) -> None:
        """It proves the counts, takes up what died, and decides where the campaign says how."""
        with self.command(allowed=BY_POLICY):
            try:
                report = reconcile.run(self.world.hosts[host].context)
            except StoreRewound:
                self.refused()
                return
            assert not report.violations
            self.took_over(host)

    @rule(host=HOST, campaign=CAMPAIGN, choice=st.sampled_from([None, "hold", "resend", "resend", "skip"]),
          failed=st.booleans(), expect=st.sampled_from([None, 0, 1]))  # fmt: skip
    def recover(
        self, host: str, campaign: str, choice: str | None = None, failed: bool = False, expect: int | None = None
    ) -> None:
        """The plan says how many may get a second copy; `expect` is how wrong the operator's own number is."""
        context = self.world.hosts[host].context
        with self.command(allowed=[campaign]):
            before = ledger_of(self.ground)
            lost = [] if self.oracle.trusted else self._lost(host)
            try:
                made = planning.plan(context, campaign, in_doubt=choice, failed=failed, lost_hosts=lost)
            except UsageError:
                assert campaign in self.planned.cancelled or campaign not in self.planned.enrolled
                return
            expected = None if expect is None else made.at_stake + expect
            try:
                done = recover.apply(context, made, reason="a test", expected=expected, lost_hosts=lost)
            except UsageError:
                assert expect == 1
                assert ledger_of(self.ground) == before
                return
            except StoreRewound:  # this host has replayed its journals already, and another has not
                self.refused()
                return
            assert expect != 1
            if done.replayed is not None and not self.oracle.licensed:
                assert not done.replayed.contradicted, "recover says that somebody was sent to twice, and nobody was"
            after = ledger_of(self.ground)
            if lost:
                self.oracle.gave_up_journals(after, self.accepted())
            if not done.waiting_for_hosts:
                self.oracle.trusted = True
            chosen = len(self.oracle.resent(before, after, self.accepted()))
            assert chosen <= made.worst_case_duplicates, f"planned {made.worst_case_duplicates}, and it is {chosen}"

    def _lost(self, host: str) -> list[str]:
        """Hosts that an operator must give up: their folders are gone, and the store has forgotten what they did."""
        context = self.world.hosts[host].context
        own = [context.home.host_id] if replaying.journals_miss(context) else []
        return [*own, *self.world.hosts_to_give_up()]

    @rule(name=st.sampled_from(["reconcile", "recover hold", "recover resend"]), host=HOST, campaign=CAMPAIGN,
          failpoint=st.sampled_from(OF_REPAIR))  # fmt: skip
    def repair_dies(self, name: str, host: str, campaign: str, failpoint: str) -> None:
        """SIGKILL in the middle of what puts it right."""
        with self.command(allowed=[campaign, *BY_POLICY] if name == "recover resend" else BY_POLICY):
            self.world.kill_at(lambda: self.world.command(name, host, campaign), failpoint)

    # -- campaigns ----------------------------------------------------------------------------------------------------

    @rule(campaign=CAMPAIGN, verb=st.sampled_from(["pause", "resume", "resume", "cancel"]))
    def control(self, campaign: str, verb: str) -> None:
        """An operator stops a campaign, for a while or for good."""
        with self.command():
            try:
                getattr(control, verb)(self.ground.context, campaign)
            except UsageError:
                return
        {"pause": self.planned.paused.add, "resume": self.planned.paused.discard,
         "cancel": self.planned.cancelled.add}[verb](campaign)  # fmt: skip
        self.oracle.ever_cancelled |= self.planned.cancelled

    @rule(campaign=CAMPAIGN, changes=st.sampled_from(TUNED))
    def tune(self, campaign: str, changes: dict[str, str | int]) -> None:
        """Live controls change under everything else."""
        with self.command(), suppress(UsageError):
            control.tune(self.ground.context, campaign, changes)

    # -- time and misfortune ------------------------------------------------------------------------------------------

    @rule(minutes=st.sampled_from([3, 20, 60, 1440, 3 * 1440]))
    def time_passes(self, minutes: int) -> None:
        """All clocks run on, also for whoever is stopped."""
        self.world.clock.forward(minutes=minutes)

    @rule()
    def back_up(self) -> None:
        """A backup of the store is made."""
        self.kept = Kept(self.ground.backup(), self.planned.copied(), self.world.clock.seconds)

    @precondition(lambda self: self.kept and self.world.clock.seconds - self.kept.at_s < KEPT_S)
    @rule()
    def put_back(self) -> None:
        """It is put back, as the runbook has it: the passes are stopped before. With SQLite each host looks at once:
        a file is one machine's, and a second journal folder beside it stands for nothing that there is.
        """
        assert self.kept is not None
        while self.world.stopped:
            self.stopped_dies()
        self.world.put_back(self.kept.rows)
        self.oracle.planned, self.oracle.trusted = self.kept.planned.copied(), False
        for ground in self.world.hosts.values() if self.world.sqlite else ():
            with suppress(StoreRewound):
                reconcile.run(ground.context)

    @precondition(lambda self: self.oracle.trusted)
    @rule(host=HOST)
    def lose_journal(self, host: str) -> None:
        """What the runs that died here wrote is gone. No backup is put back after that: nobody could know."""
        if self.world.lose_journal(host):
            self.kept = None

    @rule(host=HOST)
    def lose_folder(self, host: str) -> None:
        """A host's disk is gone; its next pass begins a new folder. Also while journals were needed most."""
        if not any(one.host == host for one in self.world.stopped):
            self.world.lose_folder(host)
            self.kept = None
            self.reconcile(host)

    # -- what must hold -----------------------------------------------------------------------------------------------

    @invariant()
    def everything_holds(self) -> None:
        """The record, the ledger, the ledger's own proof."""
        type(self).moves += 1
        self.oracle.check_record(self.world.record.accepted())
        self.oracle.check_ledger(ledger_of(self.ground), self.accepted())
        if self.oracle.trusted:
            assert self.ground.violations() == []

    def teardown(self) -> None:
        """Drive everything to its end, unless something was wrong on the way."""
        if sys.exc_info()[0] is None:
            ending.drive(self)
            type(self).ends += 1
