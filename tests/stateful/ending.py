"""The end of an example: passes, `reconcile` and `recover` until nothing moves; then everybody is accounted for.

First doubt is held and must be listed; then an operator sends it again, and nobody is left in it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from sendctl.errors import UsageError
from sendctl.passes import control, status
from tests.stateful.oracle import ledger_of
from tests.stateful.relay import Slot

if TYPE_CHECKING:
    from tests.stateful.machine import Machine

MOST_ROUNDS = 14


def drive(machine: Machine) -> None:
    """To the end, twice. Raises AssertionError when somebody is not accounted for."""
    while machine.world.stopped:
        machine.stopped_goes_on(20)
    for campaign in sorted(machine.planned.enrolled):
        machine.control(campaign, "resume")
        with suppress(UsageError):
            control.tune(machine.ground.context, campaign, {"rate": "none", "cooldown": "0s", "batch_size": 50})
    _until_nobody_waits(machine)
    _judge(machine)
    for campaign in sorted({slot.campaign for slot in _in_doubt(machine)}):
        machine.recover("a", campaign, "resend", False, 1)
        machine.recover("a", campaign, "resend", False, 0)
    if _waiting(machine):
        _until_nobody_waits(machine)
        _judge(machine)
    assert not _in_doubt(machine), f"an operator has decided, and in doubt are still {_in_doubt(machine)}"


def _waiting(machine: Machine) -> list[Slot]:
    return [slot for slot, entry in ledger_of(machine.ground).items() if entry.status in ("queued", "sending")]


def _in_doubt(machine: Machine) -> list[Slot]:
    """Whose doubt an operator may end by sending again: nothing of a cancelled campaign goes out any more."""
    return [
        slot for slot, entry in ledger_of(machine.ground).items()
        if entry.status == "in_doubt" and slot.campaign not in machine.planned.cancelled
    ]  # fmt: skip


def _until_nobody_waits(machine: Machine) -> None:
    for round_ in range(MOST_ROUNDS):
        machine.world.clock.forward(days=1)
        for host in machine.world.hosts:
            machine.reconcile(host)
        if not machine.oracle.trusted:
            for host in machine.world.hosts:
                machine.recover(host, sorted(machine.planned.enrolled)[0])
        machine.send("ab"[round_ % 2], ["accepted"])
        machine.everything_holds()
        if round_ and machine.oracle.trusted and not _waiting(machine):
            return
    raise AssertionError(f"after {MOST_ROUNDS} days somebody still waits: {_waiting(machine)}")


def _judge(machine: Machine) -> None:
    ledger = ledger_of(machine.ground)
    machine.oracle.check_end(ledger, machine.accepted())
    shown = {one.campaign.name: one for one in status.read(machine.ground.context).campaigns}
    for name in machine.planned.enrolled:
        planned = sum(slot.campaign == name for slot in ledger)
        assert shown[name].planned == planned, f"status says {shown[name].planned} of {name}, planned are {planned}"
        assert sum(shown[name].counts.values()) == planned
