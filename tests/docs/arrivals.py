"""The situations of events that the documents speak of: what a provider tells, late, twice and in any order."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.docs.situations import World, by_words


def write_events(path: Path, *events: dict[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(event) + "\n" for event in events))


def learned(number: int, kind: str, message: int, **more: Any) -> dict[str, Any]:
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=90 - number)
    return {"id": f"evt-{number}", "type": kind, "occurred_at": at.isoformat(), "message_id": message} | more


def a_morning_of_events(world: World) -> None:
    """What the receiver of webhooks has written: ten people clicked, one address is gone, one wants no more."""
    clicks = [learned(number, "clicked", number) for number in range(1, 11)]
    write_events(world.folder / "events.jsonl", *clicks, learned(11, "bounced", 11), learned(12, "complained", 12))


def the_provider_replays_the_outage(world: World) -> None:
    """All of it twice, backwards, with what was missed in the outage, and one thing that is no event of ours."""
    (world.folder / "events").mkdir()
    known = [json.loads(line) for line in (world.folder / "events.jsonl").read_text().splitlines()]
    missed = [learned(number, "delivered", number) for number in range(13, 53)]
    late = [learned(53, "bounced", 60), learned(54, "unsubscribed", 61), learned(55, "opened", 4711)]
    path = world.folder / "events/replay.jsonl"
    write_events(path, *reversed([*known, *missed, *late, *known, *missed]))
    with path.open("a") as file:
        file.write("--- end of dump ---\n")


def an_hour_has_gone_by(world: World) -> None:
    """Since the files of the spool were written."""
    for path in (world.folder / "events").glob("*.jsonl"):
        os.utime(path, (time.time() - 3700,) * 2)


def the_spool_is_configured(world: World) -> None:
    """sendctl.toml names the folder."""
    with (world.folder / "sendctl.toml").open("a") as file:
        file.write('\n[events]\nspool = "events"\n')


SITUATIONS = by_words(
    (a_morning_of_events, the_provider_replays_the_outage, an_hour_has_gone_by, the_spool_is_configured)
)
