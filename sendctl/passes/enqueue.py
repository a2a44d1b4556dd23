"""`enqueue`: check everything, then create or extend a campaign in one transaction; again, it adds only what is new.

The contacts file is read twice: once to find every bad row before anything is written, once to load. Memory stays
flat at any size.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from sendctl import faults, identity
from sendctl.definition import Definition
from sendctl.errors import BadInput, ExitCode, StoppedEarly, UsageError
from sendctl.inputs.campaign_file import load_definition
from sendctl.inputs.contacts import ContactFile, ContactRow, open_contacts
from sendctl.passes.context import Context, who
from sendctl.passes.rendered import recipient_of
from sendctl.passes.row_checks import ANY_TOKEN, Progress, check_rows, problem_of
from sendctl.rendering.message import StepRenderer
from sendctl.schedule import next_open
from sendctl.states import CampaignStatus
from sendctl.store import audit, campaigns, loading, meta
from sendctl.store.campaigns import Campaign
from sendctl.store.enrollments import expiry
from sendctl.store.loading import Entry, Ids, Loaded

CHUNK_ROWS = 2000
SHOWN_REPEATS = 20


@dataclass
class EnqueueReport:
    """What an enqueue did, or with `dry_run` would have done."""

    campaign: str
    dry_run: bool
    created: bool = False
    revision: int = 1
    changed: list[str] = field(default_factory=list)  # keys of the definition that differ from the last revision
    rows: int = 0  # good rows in the file
    skipped: int = 0  # bad rows, kept in the --skip-bad file
    contacts: int = 0  # people not known before
    enrolled: int = 0  # people added to the campaign, one message each
    known: int = 0  # people who were in it already
    repeated_count: int = 0  # rows whose address stood in the file before
    repeated: list[tuple[int, str]] = field(default_factory=list)  # the first of them: (line, address)
    first_due_at: datetime | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.DONE


class _Undone(Exception):
    """Rolls a dry run back."""


def run(
    context: Context, campaign_file: Path, *, contacts: Path | Literal["-"] | None = None,
    at: datetime | None = None, dry_run: bool = False, skip_bad: Path | None = None, progress: Progress | None = None,
) -> EnqueueReport:  # fmt: skip
    """Validate all, then write all or nothing. Raises BadInput, UsageError, and what the store raises."""
    definition = load_definition(campaign_file)
    _check_supported(definition, campaign_file)
    renderers = [StepRenderer(definition, step) for step in definition.steps]
    report = EnqueueReport(definition.name, dry_run)
    _check_existing(context, definition, renderers)
    with ExitStack() as stack:
        file = stack.enter_context(open_contacts(contacts)) if contacts is not None else None
        if file is not None:
            checked = check_rows(file, renderers, skip_bad, progress)
            report.rows, report.skipped = checked.good, checked.bad
        ids = _take_ids(context, report.rows) if not dry_run else _no_ids()
        try:
            _write(context, definition, file, ids, at, report, progress)
        except _Undone:
            pass
        except IntegrityError as error:
            raise StoppedEarly("another command changed the same contacts at the same time") from error
    return report


def _check_supported(definition: Definition, path: Path) -> None:
    """What the campaign file can say and this version cannot do yet is refused, never ignored."""
    reasons = {
        f"channel {definition.channel!r}": definition.channel != "email",
        "[trigger]": definition.trigger is not None,
        "a reminder step": any(step.kind == "reminder" or step.repeat != 1 for step in definition.steps),
    }
    for reason, present in reasons.items():
        if present:
            raise BadInput(f"{reason} is not supported by this version of sendctl", place=str(path),
                           hint="e-mail campaigns with initial and drip steps are.")  # fmt: skip


def _take_ids(context: Context, count: int) -> Ids:
    with context.store.write() as connection:
        return loading.take_for(connection, count)


def _no_ids() -> Ids:
    """Ids for a dry run, which is rolled back: below all real ones."""
    below = iter(range(-1, -(1 << 62), -1))
    return Ids(below, below, below)


# -- an existing campaign -----------------------------------------------------------------------------------------


def _check_existing(context: Context, definition: Definition, renderers: list[StepRenderer]) -> None:
    """A change must fit the people who are enrolled already: their rows are checked against the new templates."""
    with context.store.read() as connection:
        campaign = campaigns.find(connection, definition.name)
        if campaign is None:
            return
        _check_open(campaign)
        before = campaigns.definition_of(connection, campaign.id, campaign.revision)
        if not campaigns.describe_difference(before, definition):
            return
        _check_structure(before, definition)
        for address, snapshot in loading.waiting_snapshots(connection, campaign.id):
            recipient = recipient_of(json.loads(snapshot), ANY_TOKEN)
            missing = {name for renderer in renderers for name in renderer.missing(recipient)}
            if missing:
                raise BadInput(
                    f"the changed templates use {', '.join(sorted(missing))}, which {address}, already enrolled, lacks",
                    hint="guard it in the template with `default`, or make a new campaign.",
                )


def _check_open(campaign: Campaign) -> None:
    if campaign.status in (CampaignStatus.CANCELLED, CampaignStatus.ARCHIVED):
        raise UsageError(f"campaign {campaign.name} is {campaign.status}", hint="give the new campaign another name.")


def _check_structure(before: Definition, after: Definition) -> None:
    old, new = [step.name for step in before.steps], [step.name for step in after.steps]
    if old != new:
        raise BadInput(
            f"campaign {after.name} has steps {', '.join(old)}; the file says {', '.join(new)}",
            hint="texts and delays of a running campaign can change, its steps cannot: make a new campaign.",
        )


# -- writing ------------------------------------------------------------------------------------------------------


def _write(
    context: Context, definition: Definition, file: ContactFile | None, ids: Ids, at: datetime | None,
    report: EnqueueReport, progress: Progress | None,
) -> None:  # fmt: skip
    with context.store.write() as connection:
        now = context.store.now(connection)
        loading.only_one_loads(connection)
        campaign = campaigns.find(connection, definition.name)
        report.created = campaign is None
        if campaign is None:
            campaign = campaigns.create(connection, definition, now)
        if file is not None:
            secret = meta.read(connection).secret
            maker = _EntryMaker(definition, secret, at or definition.start_at or now)
            _load(connection, campaign, file, maker, ids, report, now, progress)
            report.first_due_at = maker.first_due_at
        if not report.created:
            _extend(connection, definition, report, now)
        audit.write(
            connection, login=who(context.environ), hostname=context.hostname, action="enqueue",
            campaign_id=campaign.id, reason="", now=now,
            detail={"revision": report.revision, "enrolled": report.enrolled, "known": report.known,
                    "repeated": report.repeated_count, "skipped": report.skipped, "changed": report.changed},
        )  # fmt: skip
        faults.passing("enqueue.before_commit")
        if report.dry_run:
            raise _Undone
    faults.passing("enqueue.committed")


def _extend(connection: Connection, definition: Definition, report: EnqueueReport, now: datetime) -> None:
    """Revise and wake a campaign that was there. Last, because its row is held from here on: passes wait for it."""
    campaign = campaigns.find(connection, definition.name, lock="update")
    assert campaign is not None
    _check_open(campaign)
    before = campaigns.definition_of(connection, campaign.id, campaign.revision)
    report.changed = campaigns.describe_difference(before, definition)
    if campaign.controls != definition.controls:
        report.notes.append("the live controls stay as they are; `sendctl tune` changes them")
    if report.changed:
        _check_structure(before, definition)
        campaign = campaigns.revise(connection, campaign, definition, now)
        reached, kept = loading.unfrozen_count(connection, campaign.id)
        report.notes.append(
            f"revision {campaign.revision} reaches {reached} planned messages;"
            f" {kept} that were tried before keep the contents they began with"
        )
    report.revision = campaign.revision
    if report.enrolled:
        # A completed campaign that gets new people runs again; a paused one stays paused.
        campaigns.set_status(connection, campaign.id, {CampaignStatus.COMPLETED}, CampaignStatus.RUNNING, now)
    if campaign.status is CampaignStatus.PAUSED:
        report.notes.append(f"campaign {campaign.name} is paused: `sendctl resume {campaign.name}` starts it")


def _load(
    connection: Connection, campaign: Campaign, file: ContactFile, maker: _EntryMaker, ids: Ids,
    report: EnqueueReport, now: datetime, progress: Progress | None,
) -> None:  # fmt: skip
    total = Loaded()
    for chunk in _chunks(maker.entries(file, skipping=report.skipped > 0), CHUNK_ROWS):
        added, repeated = loading.load_chunk(connection, campaign.id, "email", chunk, ids, now)
        total.add(added, most=SHOWN_REPEATS)
        report.repeated_count += repeated
        if progress is not None:
            progress("loading", file.position_bytes(), file.size_bytes)
    report.contacts, report.enrolled, report.known = total.contacts, total.enrolled, total.known
    report.repeated = total.repeated or []


def _chunks(entries: Iterator[Entry], size: int) -> Iterator[list[Entry]]:
    chunk: list[Entry] = []
    for entry in entries:
        chunk.append(entry)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


class _EntryMaker:
    """Turns good rows into ledger entries: identities, due times, frozen attributes."""

    def __init__(self, definition: Definition, secret: str, start_at: datetime) -> None:
        self._definition, self._secret = definition, secret
        self._start_at = start_at + timedelta(seconds=definition.steps[0].after_s)
        self._renderers = [StepRenderer(definition, step) for step in definition.steps]
        self._due_at: dict[str, datetime] = {}
        self.first_due_at: datetime | None = None

    def entries(self, file: ContactFile, *, skipping: bool) -> Iterator[Entry]:
        """The second reading. Rows were checked; `skipping` checks again to leave out the bad ones."""
        for row in file.rows():
            if isinstance(row, ContactRow) and not (skipping and problem_of(row, self._renderers)):
                yield self._entry(row)

    def _entry(self, row: ContactRow) -> Entry:
        assert row.email is not None
        slot = {"campaign": self._definition.name, "address_key": row.email.key, "subject_key": ""}
        due_at = self._due(row.timezone or self._definition.timezone)
        return Entry(
            row.line, row.email.key, row.email.address, row.phone, row.external_id, row.timezone,
            json.dumps(row.attributes, ensure_ascii=False, separators=(",", ":")),
            identity.link_token(self._secret, **slot),
            identity.provider_key(self._secret, **slot, step_index=0, occurrence=0, channel="email"),
            due_at, expiry(self._definition, due_at),
        )  # fmt: skip

    def _due(self, zone: str) -> datetime:
        if zone not in self._due_at:
            self._due_at[zone] = next_open(self._start_at, self._definition.window, zone)
            first = self.first_due_at
            self.first_due_at = self._due_at[zone] if first is None else min(first, self._due_at[zone])
        return self._due_at[zone]
