"""People on two channels, for tests of passes: enqueued, answered each by a pair of outcomes, and where they stand."""

from __future__ import annotations

from typing import Any

from sendctl.passes.claiming import Done, Window
from sendctl.providers.base import Outcome
from sendctl.settings import ProviderTable
from tests.store.ground import ACCEPTED, DEFERRED, REFUSED, UNKNOWN, Ground

STEPS = (
    'name = "offer"\nsubject = "Hello"\ntext = "Hello"\nsms = "Hello {{ contact.first_name }}"\n',
    'name = "nudge"\nkind = "reminder"\nafter = "1d"\nsubject = "Still there?"\ntext = "Hello again"\nsms = "Again"\n',
    'name = "last"\nafter = "2d"\nsubject = "The last"\ntext = "Bye"\nsms = "Bye"\n',
)
NUMBER = "+493012345"
OUTCOMES = {"sent": ACCEPTED, "failed": REFUSED, "in_doubt": UNKNOWN, "queued": DEFERRED}


def with_texts(ground: Ground) -> Ground:
    ground.providers["texts"] = ProviderTable(
        "texts", "file", {"path": str(ground.folder / "sms.jsonl"), "fsync": False}
    )
    ground.set(providers=("primary", "texts"))
    return ground


def people(names: list[str]) -> str:
    rows = [f"{name}@x.example,{NUMBER}{place:03},{name}" for place, name in enumerate(names)]
    return "\n".join(["email,phone,first_name", *rows]) + "\n"


def enqueue(ground: Ground, names: list[str], campaign: str = "", **more: Any) -> None:
    file = f'channel = "both"\n{campaign}'
    ground.enqueue(contacts=people(names), campaign=file, steps=STEPS, controls="max_attempts = 9", **more)


def answer(ground: Ground, window: Window, outcomes: dict[str, tuple[str, str]]) -> list[Done]:
    """Each person's e-mail and text with the outcomes of that pair."""
    names = {row[0]: row[1] for row in ground.rows(
        "SELECT e.id, c.email FROM enrollments e JOIN contacts c ON c.id = e.contact_id")}  # fmt: skip
    done = []
    for item in window.messages:
        pair = outcomes[names[item.due.enrollment_id].partition("@")[0]]
        outcome: Outcome = OUTCOMES[pair[item.due.channel == "sms"]]
        done.append(Done(item, outcome, ground.clock.boot))
    return done


def standing(ground: Ground) -> dict[str, tuple[str, int, str]]:
    """By name: status, step, and the states of the messages of that place, e-mail first."""
    rows = ground.rows(
        "SELECT c.email, e.status, e.current_step_index, m.status FROM enrollments e"
        " JOIN contacts c ON c.id = e.contact_id JOIN messages m ON m.enrollment_id = e.id"
        " AND m.step_index = e.current_step_index AND m.occurrence = e.current_occurrence ORDER BY e.id, m.channel"
    )
    found: dict[str, tuple[str, int, str]] = {}
    for email, status, step, state in rows:
        name = email.partition("@")[0]
        before = f"{found[name][2]} " if name in found else ""
        found[name] = (status, step, before + state)
    return found
