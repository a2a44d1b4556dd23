"""Order events and a campaign that is fed by them, for tests of what becomes of these."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sendctl.passes import enqueue
from tests.store.ground import Ground, campaign_file

STEP = (
    'name = "ask"\nsubject = "How is {{ item.name }}?"\n'
    'text = "Dear {{ contact.name }}, order {{ order.id }}: {{ item.name }} {{ link }}"\n'
)
AGAIN = 'name = "again"\nafter = "3d"\nsubject = "Still: {{ item.name }}"\ntext = "Once more, {{ contact.email }}"\n'
TRIGGER = {
    "event": '"order.delivered"', "each": '"items"', "where": '"item.status == \'delivered\'"',
    "key": '"{{ order.id }}/{{ item.id }}"', "email": '"{{ order.customer.email }}"', "delay": '"7d"',
    "cancel_on": '["order.refunded", "order.cancelled"]',
}  # fmt: skip
LINK = 'link = "https://shop.example/r/{{ token }}"'
DAY = "2026-03-01T10:00:00Z"
Event = dict[str, Any]


def item(number: int, status: str = "delivered", **more: Any) -> Event:
    return {"id": number, "name": f"Lamp {number}", "status": status} | more


def event(
    order: int = 1, items: Sequence[Event] | None = None, *, type_: str = "order.delivered", at: str = DAY,
    email: str = "", **more: Any,
) -> Event:  # fmt: skip
    """One event about an order of one person, with one item unless said otherwise."""
    customer = {"email": email or f"Person{order}@x.example", "name": f"Person {order}", "vip": True, "tags": ["a"]}
    lines = [item(1)] if items is None else list(items)
    about = {"id": order, "customer": customer, "items": lines} | more
    return {"id": f"evt-{type_}-{order}-{at}", "type": type_, "occurred_at": at, "order": about}


def trigger(**changes: str | None) -> str:
    """A [trigger] section; None leaves a key out."""
    keys = {name: value for name, value in (TRIGGER | changes).items() if value is not None}
    return "[trigger]\n" + "".join(f"{name} = {value}\n" for name, value in keys.items())


def write_campaign(ground: Ground, *, rest: str | None = None, **campaign: Any) -> Path:
    path = ground.folder / "campaign.toml"
    settings = {"steps": (STEP, AGAIN), "campaign": LINK} | campaign
    path.write_text(campaign_file(rest=trigger() if rest is None else rest, **settings))
    return path


def as_lines(events: Iterable[Event | str]) -> str:
    return "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in events)


def load(
    ground: Ground, *events: Event | str, dry_run: bool = False, skip_bad: Path | None = None, **campaign: Any
) -> enqueue.EnqueueReport:
    """Enqueue events from a file."""
    path, file = write_campaign(ground, **campaign), ground.folder / "orders.jsonl"
    file.write_text(as_lines(events))
    report = enqueue.run(ground.context, path, orders=file, dry_run=dry_run, skip_bad=skip_bad)
    ground.clock.forward(seconds=1)
    return report
