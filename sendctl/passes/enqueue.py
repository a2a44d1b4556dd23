"""`enqueue`: check everything, then create or extend a campaign in one transaction; again, it adds only what is new.

The contacts file is read twice: once to find every bad row before anything is written, once to load. Memory stays
flat at any size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from sendctl import faults
from sendctl.calendar import Calendar
from sendctl.definition import Definition
from sendctl.errors import StoppedEarly, UsageError
from sendctl.inputs.campaign_file import load_campaign
from sendctl.inputs.campaign_places import CampaignFile
from sendctl.inputs.contacts import ContactFile, SkipFile, open_contacts
from sendctl.inputs.spool import ENDINGS
from sendctl.passes import ending, new_terms, ordering, revising, second_reader, texts
from sendctl.passes.accounts import check_room, shares
from sendctl.passes.campaign_faults import check_source, compiled
from sendctl.passes.context import Context, who
from sendctl.passes.enqueue_checks import WORDS, check_channels, check_existing, check_limits, check_open
from sendctl.passes.enqueue_report import EnqueueReport
from sendctl.passes.enrolling import Chunk, EntryMaker, enroll
from sendctl.passes.order_files import Orders, opened_orders
from sendctl.passes.ordering import Ordered, OrderLoader
from sendctl.passes.remembered import TakenUp, take_up
from sendctl.passes.revising import compared
from sendctl.passes.row_checks import Progress, check_rows
from sendctl.passes.second_reader import SecondReader
from sendctl.prices import Prices
from sendctl.rendering.steps import Renderer
from sendctl.states import CampaignStatus
from sendctl.store import accounts, audit, campaigns, finishing, loading, meta, outcomes
from sendctl.store.campaigns import Campaign
from sendctl.store.loading import IdBlock, Ids, Loaded

__all__ = ["EnqueueReport", "People", "note_remembered", "run", "warn_of_providers", "write"]

Source = Path | Literal["-"]
NOW_LASTS = timedelta(seconds=60)  # as long as cron lets pass between two passes: nothing is late by less
OF_GRACE = 0.8  # what a long enqueue may use up of the time after which a message counts as overdue,
OF_LIFE = 0.05  # and of the time after which it expires


class _Undone(Exception):
    """Rolls a dry run back."""


def run(
    context: Context, campaign_file: Path, *, contacts: Source | None = None, orders: Source | None = None,
    at: datetime | Literal["now"] | None = None, dry_run: bool = False, skip_bad: Path | None = None,
    progress: Progress | None = None,
) -> EnqueueReport:  # fmt: skip
    """Validate all, then write all or nothing. Raises BadInput, UsageError, and what the store raises.

    `at` wins over the campaign's `start_at`; "now" is when the enqueue begins, or its end if that is much later.
    `orders` may be a spool folder, whose files are moved once they are loaded.
    """
    if skip_bad is not None and contacts is None and orders is None:
        raise UsageError("--skip-bad is about a contacts file", hint="name it with --contacts.")
    campaign = load_campaign(campaign_file)
    definition = campaign.definition
    check_limits(context, campaign)
    check_source(campaign, contacts=contacts is not None, orders=orders is not None)
    check_channels(context, campaign)
    if orders is not None and at is not None:
        raise UsageError("--at: orders are due by their own time", hint="`delay` in [trigger] says how long after it.")
    if at is not None and contacts is None:
        raise UsageError(
            "--at is for people who are added, and nobody is",
            hint=f"name them with --contacts; `sendctl reschedule {definition.name} --at WHEN` moves those who wait.",
        )
    renderers = compiled(campaign)
    report = EnqueueReport(definition.name, dry_run, orders=orders is not None)
    as_before = check_existing(context, campaign, renderers)
    with ExitStack() as stack:
        if orders is not None:
            opened = stack.enter_context(opened_orders(orders, campaign, renderers, skip_bad, progress))
            people = _of_orders(opened, renderers, report)
            if dry_run and "sms" in definition.channels:
                report.texts = texts.of_orders(definition, opened, renderers, _prices(context, definition, report))
        else:
            start_at = definition.start_at if at is None else None if at == "now" else at
            people = _of_contacts(context, stack, campaign, contacts, start_at, renderers, skip_bad, progress, report)
        if not (as_before and people.orders is not None and people.orders.is_idle):
            write(context, definition, people, report, progress)
        if people.orders is not None and not dry_run:
            people.orders.move(context.clock.utc_now().date())
            report.unmoved = [(path.name, reason) for path, reason in people.orders.unmoved]
    if report.enrolled and not dry_run:
        note_remembered(report, take_up(context, definition.name))
    if (report.stopped or report.dropped) and not dry_run:
        _complete(context)
    if isinstance(at, datetime) and report.known and not report.enrolled:
        # Not an error: the same command again, after one that was killed, finds all known.
        report.warnings.append(
            f"--at moves nobody: all were in campaign {definition.name} before. `sendctl reschedule {definition.name}"
            " --at WHEN` moves those who wait"
        )
    _warn(report, people)
    warn_of_providers(report, context, definition)
    return report


def _of_contacts(
    context: Context, stack: ExitStack, campaign: CampaignFile, contacts: Source | None, start_at: datetime | None,
    renderers: Sequence[Renderer], skip_bad: Path | None, progress: Progress | None, report: EnqueueReport,
) -> People:  # fmt: skip
    """The first reading of a contacts file, if there is one."""
    if contacts is None:
        return People(start_at=start_at)
    file = stack.enter_context(open_contacts(contacts))
    keep = stack.enter_context(file.skip_file(skip_bad)) if skip_bad is not None else None
    second = None
    if file.size_bytes >= second_reader.LARGE_BYTES:
        context.store.close()  # it is opened again: no connection may be open when a process forks
        second = stack.enter_context(second_reader.started(file, context.calendar(campaign.definition), renderers))
    checked = check_rows(file, campaign, renderers, keep, progress, second)
    report.rows, report.skipped = checked.good, checked.bad
    if report.dry_run and "sms" in campaign.definition.channels:
        prices = _prices(context, campaign.definition, report)
        report.texts = texts.of_contacts(campaign.definition, file, renderers, prices)
    return People(file, renderers if report.skipped else [], start_at, keep, second)


def _prices(context: Context, definition: Definition, report: EnqueueReport) -> Prices | None:
    """What a text costs by the provider that is asked first."""
    names = context.settings.carriers(definition.providers, "sms")
    prices = context.settings.providers[names[0]].prices if names else None
    if prices is not None:
        report.priced_by, report.currency = names[0], prices.currency
    return prices


def _of_orders(orders: Orders, renderers: Sequence[Renderer], report: EnqueueReport) -> People:
    report.rows, report.skipped, report.eligible = orders.good, orders.bad, orders.eligible
    report.files = orders.file_count
    report.put_aside = [(path.name, reason) for path, reason in orders.put_aside]
    report.left = [(path.name, reason) for path, reason in orders.left]
    return People(leaving_out=renderers if report.skipped else [], keep=orders.keep, orders=orders)


def _complete(context: Context) -> None:
    """A campaign whose last messages were cancelled is over."""
    with context.store.write() as connection:
        finishing.complete(connection, context.store.now(connection))


def note_remembered(report: EnqueueReport, taken: TakenUp) -> None:
    """After a restored backup: who has got it already is not planned, whatever the counts above say."""
    if taken.sent or taken.in_doubt:
        report.notes.append(
            f"the journals know what the store had forgotten of it: {taken.sent} messages sent, {taken.in_doubt} in"
            " doubt; none of them leaves again by itself"
        )
        report.first_due_at = None


def warn_of_providers(report: EnqueueReport, context: Context, definition: Definition) -> None:
    """Not an error: another host may have them."""
    wanted = context.settings.providers_of(definition.providers)
    for channel in definition.channels:
        if context.settings.carriers(definition.providers, channel):
            continue
        absent = [name for name in wanted if name not in context.settings.providers]
        names = f"provider of ({', '.join(wanted)})" if wanted else "provider"
        nothing = "nothing" if len(definition.channels) == 1 else f"no {WORDS[channel].removesuffix('s')}"
        report.warnings.append(
            f"no {names} is configured on this host, so that {nothing} of campaign {report.campaign} can be sent from"
            f" here: write [providers.{absent[0] if absent else 'NAME'}] in sendctl.toml"
        )


def _warn(report: EnqueueReport, people: People) -> None:
    """Of nobody, which may be meant, and of files that are put aside, which never is."""
    name = report.campaign
    stays = dict(report.unmoved)
    for file, reason in report.put_aside:
        moved = "cannot be used" if report.dry_run or file in stays else "was put aside"
        report.warnings.append(f"{file} {moved}: {reason}")
    report.warnings += [f"{file} stays where it is: {reason}" for file, reason in report.unmoved]
    for file, reason in report.left:
        report.warnings.append(f"{file} stays where it is, as the campaign fits no item of any file: {reason}")
    if people.orders is not None:
        wanted = f"{', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}"
        for path in people.orders.strangers:
            report.warnings.append(f"{path} is left alone: want a name that ends in {wanted}")
        if not report.rows and not people.orders.is_folder:
            report.warnings.append(f"{people.orders.name} has no events: nobody was added to campaign {name}")
    elif people.file is not None:
        if not report.rows:
            report.warnings.append(f"{people.file.name} has no records: nobody was added to campaign {name}")
    elif report.created:
        report.warnings.append(f"campaign {name} has nobody yet: --contacts FILE adds people")


# -- writing ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class People:
    """Who is to be added: from which file or orders, without whom, from when on (None: from now on)."""

    file: ContactFile | None = None
    leaving_out: Sequence[Renderer] = ()
    start_at: datetime | None = None
    keep: SkipFile | None = None
    second: SecondReader | None = None
    orders: Orders | None = None
    spare_ids: int = 0  # more than one of each kind for each row
    also: Callable[[Connection, Campaign, Ids, datetime], None] | None = None  # once they are in, before the commit


def write(
    context: Context, definition: Definition, people: People, report: EnqueueReport, progress: Progress | None
) -> None:
    most = report.eligible if report.orders else report.rows
    ids = _no_ids() if report.dry_run else _take_ids(context, most + people.spare_ids, len(definition.channels))
    try:
        with context.store.write() as connection:
            _fill(context, connection, definition, people, ids, report, progress)
            if report.dry_run:
                raise _Undone
            if people.keep is not None:
                people.keep.sync()
            faults.passing("enqueue.before_commit")
    except _Undone:
        return
    except IntegrityError as error:
        raise StoppedEarly("another command changed the same contacts at the same time") from error
    faults.passing("enqueue.committed")
    if people.keep is not None:
        people.keep.keep()  # last: after a death before this, the same command finds all known and writes the file


def _take_ids(context: Context, count: int, messages_each: int) -> Ids:
    with context.store.write() as connection:
        return loading.take_for(connection, count, messages_each)


def _no_ids() -> Ids:
    """Ids for a dry run, which is rolled back: below all real ones."""
    below = range(-1, -(1 << 62), -1)
    return Ids(IdBlock(below), IdBlock(below), IdBlock(below))


def _fill(
    context: Context, connection: Connection, definition: Definition, people: People, ids: Ids,
    report: EnqueueReport, progress: Progress | None,
) -> None:  # fmt: skip
    loading.only_one_loads(connection)
    now, calendar = context.store.now(connection), context.calendar(definition)
    campaign = campaigns.find(connection, definition.name)
    report.created = campaign is None
    if campaign is None:
        campaign = campaigns.create(connection, definition, now)
        if definition.account:
            accounts.join(connection, campaign.id, definition.account, now)
    if people.file is not None:
        chunks = _chunks(calendar, people.file, people, meta.read(connection).secret, people.start_at or now)
        _note_loaded(report, enroll(connection, campaign, people.file, chunks, ids, now, progress))
        _check_start(calendar, people.start_at, now, report)
    ordered = _load_orders(connection, campaign, calendar, people, ids, now, report, progress)
    done = context.store.now(connection)
    lasted = people.file is not None and people.start_at is None and done - now > _now_lasts(context, definition)
    if lasted and report.enrolled and not report.dry_run:
        loading.put_off(connection, ids, done, lambda zone: calendar.slot(done, zone))
        report.first_due_at = max(report.first_due_at or done, done)
    if people.also is not None and report.created:
        people.also(connection, campaign, ids, done)
    if not report.created:
        _extend(context, connection, definition, report, done)
    if ordered is not None and people.orders is not None:
        stopped = ordering.settle(
            connection, campaign.id, people.orders.reader, ordered, calendar, shares(context, definition, done), done
        )
        report.not_stopped = dict(sorted(ordered.not_stopped.items()))
        report.stopped = dict(sorted((stopped + Counter(report.stopped)).items()))
    if definition.account:
        check_room(context, connection, definition.account, done, ids.messages.used)
    audit.write(
        connection, login=who(context.environ), hostname=context.hostname, action="enqueue",
        campaign_id=campaign.id, reason="", now=done,
        detail={"revision": report.revision, "enrolled": report.enrolled, "known": report.known,
                "repeated": report.repeated_count, "skipped": report.skipped, "changed": report.changed}
        | ({"not_eligible": report.not_eligible, "stopped": report.stopped}
           if report.orders or report.stopped else {}),
    )  # fmt: skip


def _end_earlier(
    connection: Connection, campaign_id: int, before: Definition, after: Definition, report: EnqueueReport,
    now: datetime,
) -> None:  # fmt: skip
    """What ends an enrollment from now on, and is known of somebody already."""
    stopped = ending.apply(connection, campaign_id, before, after, now)
    for kind, number in sorted(stopped.items()):
        whom = "1 person" if number == 1 else f"{number:,} people"
        report.notes.append(f"{kind} ends an enrollment from now on: stopped for {whom} of whom it was known before")
    report.stopped = {kind: number for kind, number in sorted(stopped.items()) if number}


def _load_orders(
    connection: Connection, campaign: Campaign, calendar: Calendar, people: People, ids: Ids, now: datetime,
    report: EnqueueReport, progress: Progress | None,
) -> Ordered | None:  # fmt: skip
    """The second reading of order events; what they stop is still to be settled."""
    if people.orders is None:
        return None
    secret = meta.read(connection).secret
    loader = OrderLoader(connection, campaign.id, calendar, people.orders.reader, secret, ids, now)
    ordered = loader.load(people.orders.files(), people.leaving_out, progress)
    report.contacts, report.enrolled, report.first_due_at = ordered.contacts, ordered.enrolled, ordered.first_due_at
    report.planned = ordered.planned
    report.not_eligible = dict(sorted(ordered.not_eligible.items()))
    report.known = ordered.not_eligible[ordering.KNOWN]
    return ordered


def _now_lasts(context: Context, definition: Definition) -> timedelta:
    """How long an enqueue may take and still plan for its beginning: to plan all anew takes as long as the load."""
    life_s = definition.expires_after_s
    most_s = OF_GRACE * context.settings.reconcile.overdue_grace_s
    return max(NOW_LASTS, timedelta(seconds=most_s if life_s is None else min(most_s, OF_LIFE * life_s)))


def _chunks(calendar: Calendar, file: ContactFile, people: People, secret: str, start_at: datetime) -> Iterator[Chunk]:
    """The second reading, here or in the second process."""
    if people.second is not None:
        return people.second.chunks(secret, start_at, leaving_out=bool(people.leaving_out))
    return EntryMaker(calendar, secret, start_at).chunks(file, people.leaving_out)


def _check_start(calendar: Calendar, start_at: datetime | None, now: datetime, report: EnqueueReport) -> None:
    """A start in the past may be meant; one that is so long past that nobody would get anything is a mistake."""
    if start_at is None or not report.enrolled:
        return
    last = calendar.expiry(start_at + timedelta(seconds=calendar.definition.steps[0].after_s))
    if last is not None and last <= now:
        raise UsageError(
            f"the start, {start_at:%Y-%m-%d %H:%M}Z, is so long ago that expires_after is over: nobody would get it",
            hint="give a later start_at or --at; `--at now` for people who are added late.",
        )
    if report.created and now - start_at > NOW_LASTS:
        report.notes.append(f"the start, {start_at:%Y-%m-%d %H:%M}Z, is past: everybody is due at once")


def _note_loaded(report: EnqueueReport, loaded: Loaded) -> None:
    report.contacts, report.enrolled, report.known = loaded.contacts, loaded.enrolled, loaded.known
    report.planned, report.sharing = loaded.planned, loaded.sharing
    report.repeated_count, report.repeated = loaded.repeated_count, loaded.repeated
    report.repeated_addresses = len(loaded.repeaters)
    report.first_due_at = loaded.first_due_at


def _extend(
    context: Context, connection: Connection, definition: Definition, report: EnqueueReport, now: datetime
) -> None:
    """Revise and wake a campaign that was there. Last, because its row is held from here on: passes wait for it."""
    campaign = campaigns.find(connection, definition.name, lock="update")
    assert campaign is not None
    check_open(campaign)
    before = campaigns.definition_of(connection, campaign.id, campaign.revision)
    report.changed = campaigns.describe_difference(before, definition)
    if campaign.controls != definition.controls:
        report.notes.append("the live controls stay as they are; `sendctl tune` changes them")
    if report.changed:
        changes = compared(before, definition, names=campaigns.step_names(connection, campaign.id))
        report.steps_added = [changes.after.step(number).name for number in changes.added]
        report.steps_removed = [changes.before.step(number).name for number in changes.removed]
        campaign = campaigns.revise(connection, campaign, changes.after, now)
        outcomes.unfreeze_campaign(connection, campaign.id)
        _end_earlier(connection, campaign.id, before, changes.after, report, now)
        replanned = revising.apply(
            connection, campaign.id, changes, context.calendar(changes.after), shares(context, definition, now),
            secret=meta.read(connection).secret, now=now,
        )  # fmt: skip
        report.dropped = replanned.cancelled.total()
        report.notes += replanned.notes + new_terms.notes(connection, campaign.id, before, changes.after)
        report.notes += revising.reach(connection, campaign)
    report.revision = campaign.revision
    if report.enrolled:
        # A completed campaign that gets new people runs again; a paused one stays paused.
        campaigns.set_status(connection, campaign.id, {CampaignStatus.COMPLETED}, CampaignStatus.RUNNING, now)
    if campaign.status is CampaignStatus.PAUSED:
        report.notes.append(f"campaign {campaign.name} is paused: `sendctl resume {campaign.name}` starts it")
