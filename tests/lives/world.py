"""One life in the real program: its commands, in process, over a real SQLite, with a clock and a relay of our own.

Nothing here knows what must come of it. What the relay accepted, in order, is the only word about what people got.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sendctl.errors import UsageError
from sendctl.passes import control, deciding, enqueue, ingest, reconcile
from sendctl.passes import suppress as suppressing
from sendctl.providers import registry
from sendctl.providers.base import Outcome, Outgoing
from sendctl.settings import ProviderTable
from sendctl.store.engine import open_store
from tests.asked_provider import AskedProvider, subject
from tests.lives.life import Life, Step
from tests.lives.oracle import EARLIER, ORDER_DELAY
from tests.model.seams import EvenJitter
from tests.store.ground import ACCEPTED, DEFERRED, REFUSED, UNKNOWN, Ground, OwnedClock, campaign_file, lay

REPLIES = {"accepted": ACCEPTED, "refused": REFUSED, "later": DEFERRED, "silent": UNKNOWN, "silent, lost": UNKNOWN}
TRIGGER = f"""[trigger]
event = "order.delivered"
each = "items"
key = "{{{{ order.id }}}}/{{{{ item.id }}}}"
email = "{{{{ order.customer.email }}}}"
delay = "{ORDER_DELAY // timedelta(hours=1)}h"
cancel_on = ["order.refunded"]
"""
_PLACES = """
SELECT e.status, (SELECT max(s.name) FROM steps s WHERE s.campaign_id = e.campaign_id
                  AND s.step_index = e.current_step_index) AS step,
       e.current_occurrence, e.next_scheduled_at
FROM enrollments e JOIN contacts c ON c.id = e.contact_id ORDER BY c.address_key
"""


def address(number: int) -> str:
    return f"p{number}@x.example"


@dataclass
class Relay:
    """Answers each person as the pass has it, writes down what it took, and never forgets a key."""

    clock: OwnedClock
    fates: Sequence[str] = ()
    got: dict[str, list[tuple[str, datetime]]] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)

    def answer(self, message: Outgoing) -> Outcome:
        fate = self.fates[int(message.recipient[1 : message.recipient.index("@")])]
        if fate in ("accepted", "silent"):
            self.got.setdefault(message.recipient, []).append((subject(message), self.clock.now))
            self.keys.add(message.key)
        return REPLIES[fate]


class World:
    """One store for one life after the other: an open engine knows its statements already."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.url = folder, f"sqlite:///{folder}/store.db"
        lay(folder, self.url).close()
        self.clock = OwnedClock()
        self.store = open_store(self.url, self.clock)
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(deciding, "random", type("random", (), {"Random": EvenJitter}))
        self.patch.setitem(registry._ADAPTERS, "asked", lambda table, _environ: AskedProvider(table.name, self.relay))
        self.lived = 0
        self.ground = self._ground()
        self.first = self.ground.backup()

    def _ground(self) -> Ground:
        """A host that has seen nothing yet."""
        tables = {"primary": ProviderTable("primary", "asked", {})}
        ground = Ground(self.folder, self.url, self.clock, f"journal-{self.lived}", providers=tables)
        ground.context.__dict__["store"] = self.store
        return ground

    def begin(self, life: Life) -> None:
        """The store as it was migrated, and everybody enrolled."""
        for folder in self.folder.glob("journal-*"):
            shutil.rmtree(folder)
        self.lived += 1
        self.life, self.steps = life, life.steps
        self.clock.now, self.clock.boot = life.begin, 1000.0
        self.relay = Relay(self.clock)
        self.ground = self._ground()
        self.ground.put_back(self.first)
        self.eligible = [life.begin] * len(life.zones)
        self.events = 0
        self.again()

    def close(self) -> None:
        self.patch.undo()
        self.store.close()

    def places(self) -> list[tuple[str, str, int, Any]]:
        """Where the ledger says that people stand, in their order; the last is when something is due."""
        return [tuple(row) for row in self.ground.rows(_PLACES)]

    # -- what happens ---------------------------------------------------------------------------------------------

    def wait(self, hours: int) -> None:
        self.clock.forward(hours=hours)

    def send(self, fates: tuple[str, ...]) -> None:
        self.relay.fates = fates
        self.ground.send_due()

    def pause(self) -> None:
        with suppress(UsageError):
            control.pause(self.ground.context, "sale")

    def resume(self) -> None:
        with suppress(UsageError):
            control.resume(self.ground.context, "sale")

    def reconcile(self) -> None:
        reconcile.run(self.ground.context)

    def decide(self, choice: str) -> None:
        self.ground.recover(in_doubt=choice)

    def retry(self) -> None:
        self.ground.recover(failed=True)

    def event(self, number: int, kind: str) -> None:
        self.events += 1
        self._take_in({"id": f"evt-{self.events}", "type": kind, "campaign": "sale", "email": address(number)})

    def _take_in(self, event: dict[str, Any]) -> None:
        path = self.folder / "events.jsonl"
        path.write_text(json.dumps({**event, "occurred_at": self.clock.now.isoformat()}) + "\n")
        ingest.run(self.ground.context, path)

    def suppress(self, number: int) -> None:
        suppressing.suppress(self.ground.context, suppressing.Asked([address(number)], None, "asked us to"))

    def refund(self, number: int) -> None:
        if self.life.by_orders:
            self._enqueue([self._order(number, "order.refunded", self.clock.now)])

    def earlier(self, number: int) -> None:
        if self.life.by_orders:
            self.eligible[number] -= EARLIER
            self._enqueue([self._order(number, "order.delivered", self.eligible[number])])

    def again(self) -> None:
        """The same people, or the same orders, once more."""
        self._enqueue([self._order(number, "order.delivered", self.life.begin) for number in self.life.people])

    def change(self, steps: tuple[Step, ...]) -> None:
        self.steps = steps
        self._enqueue([])

    # -- files ----------------------------------------------------------------------------------------------------

    def _order(self, number: int, kind: str, at: datetime) -> dict[str, Any]:
        customer = {"email": address(number)}
        if self.life.zones[number]:
            customer["timezone"] = self.life.zones[number]
        order = {"id": number, "customer": customer, "items": [{"id": 1}]}
        return {"id": f"{kind}-{number}-{at}", "type": kind, "occurred_at": at.isoformat(), "order": order}

    def _enqueue(self, orders: Sequence[dict[str, Any]]) -> None:
        path, rows = self.folder / "campaign.toml", self.folder / "people"
        path.write_text(
            campaign_file(
                campaign=self._head(), controls='max_attempts = 20\nretry_base = "1s"',
                rest=TRIGGER if self.life.by_orders else "", steps=[_step(step) for step in self.steps],
            )
        )  # fmt: skip
        if not orders:
            enqueue.run(self.ground.context, path)
        elif self.life.by_orders:
            rows.write_text("".join(json.dumps(order) + "\n" for order in orders))
            enqueue.run(self.ground.context, path, orders=rows)
        else:
            lines = (f"{address(number)},{zone}\n" for number, zone in enumerate(self.life.zones))
            rows.write_text("email,timezone\n" + "".join(lines))
            enqueue.run(self.ground.context, path, contacts=rows)

    def _head(self) -> str:
        window, hours = self.life.window, self.life.expires_h
        return (f'window = "{window}"\n' if window else "") + (f'expires_after = "{hours}h"\n' if hours else "")


def _step(step: Step) -> str:
    text = f'name = "{step.name}"\nsubject = "{step.name}"\ntext = "Hello"\n'
    if step.kind == "initial":
        return text
    repeat = f"repeat = {step.repeat}\n" if step.kind == "reminder" else ""
    return f'{text}kind = "{step.kind}"\nafter = "{step.after_h}h"\n{repeat}'
