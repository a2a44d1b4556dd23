"""Campaigns, their revisions, steps and templates."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Set
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from sendctl.definition import (
    FIRST_STEP,
    Controls,
    Definition,
    Step,
    StepName,
    controls_from_json,
    controls_to_json,
    from_json,
    to_json,
)
from sendctl.states import CampaignStatus
from sendctl.store.dialect import insert_ignore
from sendctl.store.ids import take_ids
from sendctl.store.tables import campaigns, revisions, steps, templates


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign's row."""

    id: int
    name: str
    status: CampaignStatus
    revision: int
    controls: Controls
    created_at: datetime
    updated_at: datetime


def _campaign(row: Row[Any]) -> Campaign:
    return Campaign(
        row.id, row.name, CampaignStatus(row.status), row.revision, controls_from_json(row.controls), row.created_at,
        row.updated_at,
    )  # fmt: skip


def find(connection: Connection, name: str, *, lock: str = "") -> Campaign | None:
    """The campaign of that name. `lock` "update" keeps other changes out until commit.

    "share" keeps pause and cancel out, and answers None rather than wait for one: whoever asks holds other rows.
    SQLite has one writer, which is lock enough.
    """
    statement = sa.select(campaigns).where(campaigns.c.name == name)
    if lock and connection.dialect.name != "sqlite":
        share = lock == "share"
        # FOR NO KEY UPDATE (key_share): rows that refer to the campaign may still be inserted meanwhile.
        statement = statement.with_for_update(read=share, key_share=not share, skip_locked=share)
    row = connection.execute(statement).one_or_none()
    return _campaign(row) if row else None


def lock(connection: Connection, ids: Iterable[int], changing: Iterable[int]) -> None:
    """Hold campaigns until commit, in order of id, before their messages: pause and cancel take them in this order.

    Those in `changing` will be changed; two that share a row and then both change it would wait in a ring.
    """
    if connection.dialect.name == "sqlite":
        return
    change = set(changing)
    for campaign_id in sorted(set(ids)):
        share = campaign_id not in change
        statement = sa.select(campaigns.c.id).where(campaigns.c.id == campaign_id)
        connection.execute(statement.with_for_update(read=share, key_share=not share))


def by_id(connection: Connection, campaign_id: int) -> Campaign:
    """The campaign with that id."""
    return _campaign(connection.execute(sa.select(campaigns).where(campaigns.c.id == campaign_id)).one())


def every(connection: Connection, *, archived: bool = False) -> list[Campaign]:
    """All campaigns by name."""
    statement = sa.select(campaigns).order_by(campaigns.c.name)
    if not archived:
        statement = statement.where(campaigns.c.status != CampaignStatus.ARCHIVED)
    return [_campaign(row) for row in connection.execute(statement)]


def create(connection: Connection, definition: Definition, now: datetime) -> Campaign:
    """A new running campaign with revision 1."""
    (campaign_id,) = take_ids(connection, "campaigns", 1)
    controls = controls_to_json(definition.controls)
    connection.execute(
        sa.insert(campaigns).values(
            id=campaign_id, name=definition.name, status=CampaignStatus.RUNNING, revision=1, controls=controls,
            created_at=now, updated_at=now,
        )
    )  # fmt: skip
    _write_revision(connection, campaign_id, 1, definition, now)
    return Campaign(campaign_id, definition.name, CampaignStatus.RUNNING, 1, definition.controls, now, now)


def revise(connection: Connection, campaign: Campaign, definition: Definition, now: datetime) -> Campaign:
    """Make `definition`, with its numbers, the current revision. Live controls stay: they are the operator's."""
    revision = campaign.revision + 1
    _write_revision(connection, campaign.id, revision, definition, now)
    connection.execute(
        sa.update(campaigns).where(campaigns.c.id == campaign.id).values(revision=revision, updated_at=now)
    )
    return replace(campaign, revision=revision)


def _hash(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def _write_revision(
    connection: Connection, campaign_id: int, revision: int, definition: Definition, now: datetime
) -> None:
    contents = {_hash(part): part for step in definition.steps for part in _parts(step)}
    insert = insert_ignore(connection, templates)
    connection.execute(insert, [{"sha256": digest, "content": content} for digest, content in contents.items()])
    connection.execute(
        sa.insert(revisions).values(
            campaign_id=campaign_id, revision=revision, definition=to_json(replace(definition, steps=(), numbers=())),
            created_at=now,
        )
    )  # fmt: skip
    rows = [
        {
            "campaign_id": campaign_id, "revision": revision, "step_index": number, "position": position,
            "name": step.name,
            "kind": step.kind, "after_s": step.after_s, "repeat_count": step.repeat,
            "subject_sha256": _hash(step.subject), "text_sha256": _hash(step.text),
            "html_sha256": _hash(step.html), "sms_sha256": _hash(step.sms),
        }
        for position, (number, step) in enumerate(zip(definition.numbers, definition.steps, strict=True))
    ]  # fmt: skip
    connection.execute(sa.insert(steps), rows)


def _parts(step: Step) -> tuple[str, str, str, str]:
    return step.subject, step.text, step.html, step.sms


def definition_of(connection: Connection, campaign_id: int, revision: int) -> Definition:
    """A revision as it was enqueued."""
    text = connection.execute(
        sa.select(revisions.c.definition).where(
            revisions.c.campaign_id == campaign_id, revisions.c.revision == revision
        )
    ).scalar_one()
    parts = [templates.alias(name) for name in ("subject", "text", "html", "sms")]
    statement = sa.select(
        steps.c.step_index, steps.c.name, steps.c.kind, steps.c.after_s, steps.c.repeat_count,
        *[part.c.content for part in parts],
    )  # fmt: skip
    joined: Any = steps
    for part, column in zip(parts, ("subject_sha256", "text_sha256", "html_sha256", "sms_sha256"), strict=True):
        joined = joined.join(part, part.c.sha256 == steps.c[column])
    statement = (
        statement.select_from(joined)
        .where(steps.c.campaign_id == campaign_id, steps.c.revision == revision)
        .order_by(steps.c.position)
    )
    found = connection.execute(statement).all()
    numbers = tuple(row.step_index for row in found)
    return replace(from_json(text), steps=tuple(Step(*row[1:]) for row in found), numbers=numbers)


def step_names(connection: Connection, campaign_id: int) -> dict[int, str]:
    """The name of each number that a step of a campaign has had, in any revision."""
    statement = sa.select(steps.c.step_index, steps.c.name).where(steps.c.campaign_id == campaign_id).distinct()
    return {row.step_index: row.name for row in connection.execute(statement)}


def step_name(connection: Connection, campaign_id: int, number: int) -> StepName:
    """What names a step in keys, also one that is no more (definition.step_name for one that is there)."""
    if number == 0:
        return FIRST_STEP
    names = step_names(connection, campaign_id)
    return StepName(names[number], sum(name == names[number] for old, name in names.items() if old < number))


def set_status(
    connection: Connection, campaign_id: int, sources: Set[CampaignStatus], target: CampaignStatus, now: datetime
) -> bool:
    """Move a campaign if it is in one of `sources`; False means it was not."""
    result = connection.execute(
        sa.update(campaigns)
        .where(campaigns.c.id == campaign_id, campaigns.c.status.in_(sources))
        .values(status=target, updated_at=now)
    )
    return result.rowcount == 1


def set_controls(connection: Connection, campaign_id: int, controls: Controls, now: datetime) -> None:
    """Change live controls; each window reads them afresh."""
    connection.execute(
        sa.update(campaigns)
        .where(campaigns.c.id == campaign_id)
        .values(controls=controls_to_json(controls), updated_at=now)
    )


def describe_difference(old: Definition, new: Definition) -> list[str]:
    """The keys of the campaign file in which two definitions differ, e.g. ["from", "steps.offer.html", "steps.hint"].

    A step is known by its name; one of which only the name stands there is in one of them alone. "steps" by itself says
    that steps have changed places. Controls are not compared.
    """
    before, after = _flat(old), _flat(new)
    found = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    names = [[step.name for step in definition.steps] for definition in (old, new)]
    alone = set(names[0]) ^ set(names[1])
    for name in alone:
        found = {key for key in found if not key.startswith(f"steps.{name}.")} | {f"steps.{name}"}
    kept = [[name for name in some if name not in alone] for some in names]
    return sorted(found | ({"steps"} if kept[0] != kept[1] else set()))


# Keys whose name in the campaign file is another than that of the field.
_FILE_KEYS = {
    "sender": "from", "sms_sender": "sms_from", "expires_after_s": "expires_after", "after_s": "after",
    "stop_on": "stop.on",
}  # fmt: skip


_NOT_IN_FILE = ("steps", "controls", "numbers", "order", "earlier", "letter")


def _flat(definition: Definition) -> dict[str, str]:
    data = {key: value for key, value in asdict(definition).items() if key not in _NOT_IN_FILE}
    flat = {_FILE_KEYS.get(key, key): json.dumps(value, default=str) for key, value in data.items()}
    for step in definition.steps:
        values = {_FILE_KEYS.get(key, key): json.dumps(value) for key, value in asdict(step).items() if key != "name"}
        flat |= {f"steps.{step.name}.{key}": value for key, value in values.items()}
    return flat
