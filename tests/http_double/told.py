"""The events that a test lets a service have, each in the service's own form, and how far its index knows them."""

from __future__ import annotations

from typing import Any

from tests.http_double.ledger import Ledger


class Told:
    """Survives the double, as its ledger does. Of a queue: what was received is gone until it `visible` again."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.page_size = 300
        self.received = set[int]()

    def control(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """What a test asks for; returns what is in the queue."""
        for event in wanted.get("events", ()):
            about = {name: wanted[name] for name in ("hidden", "list", "sent") if name in wanted}
            self._ledger.write("told", event=event, **about)
        if wanted.get("reveal"):
            self._ledger.write("revealed")
        if wanted.get("forget_keys"):
            self._ledger.write("keys forgotten")
        if wanted.get("visible"):
            self.received.clear()
        self.page_size = wanted.get("page_size", self.page_size)
        return {"left": [row["event"] for _, row in self.queue()]}

    def events(self, name: str = "") -> list[Any]:
        """What one list has, as far as its index knows."""
        rows = list(self._ledger.rows)
        last = max((place for place, row in enumerate(rows) if row["what"] == "revealed"), default=-1)
        told = [(place, row) for place, row in enumerate(rows) if row["what"] == "told"]
        return [
            row["event"]
            for place, row in told
            if row.get("list", "") == name and (not row.get("hidden") or place < last)
        ]

    def queue(self) -> list[tuple[int, Any]]:
        """What was not taken out, by its number."""
        rows = list(self._ledger.rows)
        gone = {row["place"] for row in rows if row["what"] == "taken out"}
        return [(place, row) for place, row in enumerate(rows) if row["what"] == "told" and place not in gone]

    def take_out(self, place: int) -> None:
        """Nobody receives it any more."""
        self._ledger.write("taken out", place=place)
