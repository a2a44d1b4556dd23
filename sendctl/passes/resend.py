"""`resend`: an operator has somebody sent once more what they were sent, or what failed for good.

It is a message of its own beside the one before: the same step of the same enrollment, with the next number of `copy`
and a key of its own, so that it is claimed, recorded, found and recovered like any other. It moves no enrollment.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.engine import Connection

from sendctl.calendar import Slot
from sendctl.definition import Definition
from sendctl.errors import UsageError
from sendctl.identity import provider_key
from sendctl.passes import ending
from sendctl.passes import listing as stories
from sendctl.passes.context import Context, who
from sendctl.passes.deciding import Desk
from sendctl.passes.remembered import settle
from sendctl.states import CampaignStatus, EnrollmentStatus, EventType, State
from sendctl.store import (
    audit,
    campaigns,
    claims,
    copies,
    events,
    late,
    listing,
    meta,
    notices,
    replay,
    standing,
    suppressions,
)
from sendctl.store.campaigns import Campaign
from sendctl.store.claims import Due
from sendctl.store.listing import MessageRow, Selection

OPEN = (State.QUEUED, State.SENDING, State.IN_DOUBT)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which message: by number, key or Message-ID; or the last one of a campaign to an address, of a step if named."""

    message: str | None = None
    campaign: str | None = None
    to: str | None = None
    step: str | None = None


@dataclass(frozen=True, slots=True)
class Resend:
    """What will be sent once more, or has been planned. `at` is the store's time.

    `sent` is how often it was accepted so far, `perhaps` has the ids of those that may have been accepted too, and were
    given up in doubt; `revision` is that of its contents. `known` says that journals prove it to have left already,
    before the store was put back: then nothing is sent.
    """

    at: datetime
    row: MessageRow
    copy: int
    sent: int
    perhaps: tuple[int, ...]
    last_sent_at: datetime | None
    revision: int
    frozen: bool
    current_revision: int
    slot: Slot
    campaign_status: CampaignStatus
    enrollment_status: EnrollmentStatus
    account: str = ""  # of which it needs a share
    known: str = ""
    new_id: int | None = None

    @property
    def taken_up_by(self) -> str:
        """What would have this very message tried again, and their sequence go on after it; "" where nothing would."""
        if self.row.status is not State.FAILED or self.row.copy:
            return ""
        return _recover(self.row, self.perhaps)


def plan(context: Context, wanted: Wanted) -> Resend:
    """What the command would do; reads only. Raises UsageError for what cannot be sent, or must not be."""
    with context.store.read() as connection:
        row = _find(connection, wanted)
        return _planned(context, connection, row, context.store.now(connection))


def apply(context: Context, made: Resend, reason: str) -> Resend:
    """Plan the copy, and write down who had it sent and why. Raises UsageError when it must not be sent any more."""
    desk = Desk(context)
    with desk.transaction() as connection:
        # Held: nobody claims, stops, retries or resends anything of the campaign until this is committed.
        campaign = campaigns.find(connection, made.row.campaign, lock="update")
        row = listing.by_id(connection, made.row.id)
        if campaign is None or row is None:
            raise UsageError(f"message {made.row.id} is not there any more")
        now = _planned(context, connection, row, desk.now)
        if (now.row.id, now.copy) != (made.row.id, made.copy):
            raise UsageError(
                f"somebody else has had message {row.id} sent once more in the meantime",
                hint=f"`sendctl show {row.id}` says when; nothing was changed.",
            )
        new_id = _write(desk, connection, campaign, now, reason)
    return replace(now, new_id=new_id)


# -- which message ------------------------------------------------------------------------------------------------


def _find(connection: Connection, wanted: Wanted) -> MessageRow:
    if wanted.message is not None:
        row = stories.message_named(connection, wanted.message)
        if row is None:
            raise UsageError(
                f"{wanted.message} is an address: say of which campaign",
                hint=f"`sendctl resend --campaign NAME --to {wanted.message}`, or a message's number.",
            )
        return row
    return _last_to(connection, wanted.campaign or "", wanted.to or "", wanted.step)


def _last_to(connection: Connection, name: str, to: str, step: str | None) -> MessageRow:
    """The last message of a campaign that went to somebody, or failed; of one step when named."""
    campaign = campaigns.find(connection, name)
    if campaign is None:
        raise UsageError(f"there is no campaign {name}", hint="`sendctl status` lists them.")
    people = tuple(person.id for person in listing.people(connection, stories.address_key(to)))
    rows = list(listing.select(connection, Selection(campaign.id, contact_ids=people))) if people else []
    if not rows:
        raise UsageError(f"campaign {name} has no message to {to}", hint=f"`sendctl show {to}` says what there is.")
    named = [row for row in rows if step in (None, row.step)]
    if not named:
        known = ", ".join(sorted({row.step for row in rows}))
        raise UsageError(f"campaign {name} has planned no step {step} for {to}", hint=f"there is: {known}.")
    if len({row.enrollment_id for row in named}) > 1:
        numbers = ", ".join(str(row.id) for row in named[:10])
        raise UsageError(
            f"campaign {name} writes to {to} about {len({row.enrollment_id for row in named})} things",
            hint=f"name the message: `sendctl messages --campaign {name} --to {to}` lists them ({numbers}).",
        )
    tried = [row for row in named if row.status in (State.SENT, State.FAILED, State.IN_DOUBT, State.SENDING)]
    return max(tried or named, key=lambda row: (row.sent_at or row.failed_at or row.due_at, row.id))


# -- whether it may go --------------------------------------------------------------------------------------------


def _planned(context: Context, connection: Connection, row: MessageRow, now: datetime) -> Resend:
    campaign = campaigns.by_id(connection, row.campaign_id)
    current = campaigns.definition_of(connection, campaign.id, campaign.revision)
    every = listing.copies_of(connection, row, current.numbers_of(row.step_index))
    perhaps = _perhaps(connection, every)
    base = _base(every, row, context, perhaps)
    due = claims.by_id(connection, [base.id])[base.id]
    _check_campaign(campaign)
    _check_person(connection, due, row)
    _check_ends(connection, campaign, current, due, row)
    frozen = base.status is State.SENT and due.revision is not None
    revision = base.revision if frozen else campaign.revision
    definition = campaigns.definition_of(connection, campaign.id, revision) if frozen else current
    if definition.is_sealed:
        raise UsageError(
            f"{campaign.name} is an encrypted letter: its contents are sealed for the one message that it had",
            hint="nothing was changed; enqueue another letter.",
        )
    if not definition.has_step(base.step_index):
        raise UsageError(
            f"step {row.step} was removed from campaign {campaign.name}: what message {base.id} would say is not known",
            hint="nothing was changed; bring the step back into the campaign file, or write to them by hand.",
        )
    calendar = context.calendar(definition)
    sent = [one for one in every if one.status is State.SENT]
    copy = max(one.copy for one in every if one.step_index == base.step_index) + 1
    return Resend(
        now, base, copy, len(sent), perhaps, max((one.sent_at or now for one in sent), default=None), revision,
        frozen, campaign.revision, calendar.slot(now, due.timezone), campaign.status,
        EnrollmentStatus(due.enrollment_status), definition.account, _known(connection, campaign.name, due, copy),
    )  # fmt: skip


def _perhaps(connection: Connection, every: list[MessageRow]) -> tuple[int, ...]:
    """Those that may have been accepted, without a proof: somebody has gone on without knowing."""
    unsent = [one.id for one in every if one.status is not State.SENT]
    return tuple(one for one in unsent if late.was_abandoned(connection, one))


def _recover(row: MessageRow, perhaps: tuple[int, ...]) -> str:
    """The command that queues a failed message again; one that was given up in doubt needs the decision, too."""
    command = f"sendctl recover --campaign {row.campaign} --failed"
    return f"{command} --in-doubt resend" if row.id in perhaps else command


def _base(
    every: list[MessageRow], row: MessageRow, context: Context, perhaps: tuple[int, ...]
) -> MessageRow:  # fmt: skip
    """The one that is sent once more: the last that was accepted, else the last that failed. Raises UsageError."""
    for one in every:
        if one.status in OPEN:
            raise UsageError(_not_over(one), hint=_NOT_OVER[one.status].format(one=one))
        if one.status is State.BOUNCED:
            raise UsageError(
                f"message {one.id} came back: {one.recipient} takes nothing",
                hint="nothing goes to an address after a bounce for good; enqueue the person with another one.",
            )
    sent = [one for one in every if one.status is State.SENT]
    failed = [one for one in every if one.status is State.FAILED]
    if sent:
        return sent[-1]
    if not failed:
        raise UsageError(
            f"message {row.id} was never sent: it is {row.status}",
            hint=f"`sendctl show {row.id}` says why. Only what was sent, or failed for good, can be sent once more.",
        )
    if failed[-1].transient:
        after_h = context.settings.reconcile.retry_failed_after_s / 3600
        raise UsageError(
            f"message {failed[-1].id} failed for a passing cause: it is tried again by itself after {after_h:g} h",
            hint=f"`{_recover(failed[-1], perhaps)}` tries it at once.",
        )
    return failed[-1]


_NOT_OVER = {
    State.QUEUED: "it goes with the next `sendctl send-due` after it is due. Nothing was changed.",
    State.SENDING: "wait for its outcome: `sendctl show {one.id}`. Nothing was changed.",
    State.IN_DOUBT: "look for proof first: `sendctl recover --campaign {one.campaign}`. Nothing was changed.",
}


def _not_over(one: MessageRow) -> str:
    what = f"message {one.id}" + (", which was to be sent once more," if one.copy else "")
    return {
        State.QUEUED: f"{what} is queued already, due {one.next_attempt_at:%Y-%m-%d %H:%M:%SZ}",
        State.SENDING: f"{what} is on its way at this moment",
        State.IN_DOUBT: f"{what} is in doubt: {one.recipient} may have got it",
    }[one.status]


def _check_campaign(campaign: Campaign) -> None:
    if campaign.status in (CampaignStatus.CANCELLED, CampaignStatus.ARCHIVED):
        raise UsageError(f"campaign {campaign.name} is {campaign.status}: nothing of it is sent again")


def _check_person(connection: Connection, due: Due, row: MessageRow) -> None:
    """Suppressions and ends forbid it, as they do at each claim. Raises UsageError."""
    listed = suppressions.of(connection, due.recipient_key)
    if listed is not None:
        raise UsageError(
            f'{row.recipient} is suppressed since {listed.created_at:%Y-%m-%d %H:%M:%SZ}, for "{listed.reason}"',
            hint=f"`sendctl suppress --remove {row.recipient}` takes it off the list, if that is right.",
        )
    if due.enrollment_status in (EnrollmentStatus.STOPPED, EnrollmentStatus.CANCELLED):
        (place, *_) = standing.of_enrollments(connection, [due.enrollment_id])
        for_what = f" ({place.ended_for})" if place.ended_for else ""
        raise UsageError(
            f"{row.recipient} gets nothing more of campaign {row.campaign}: the enrollment is"
            f" {due.enrollment_status}{for_what}",
            hint=f"`sendctl show {row.recipient}` says what came in. Nothing was changed.",
        )


def _check_ends(
    connection: Connection, campaign: Campaign, definition: Definition, due: Due, row: MessageRow
) -> None:  # fmt: skip
    """What ends an enrollment that is under way forbids it after the last step as well. Raises UsageError."""
    end = ending.known(connection, campaign.id, definition, [due]).get(due.enrollment_id)
    if end is not None and end.of_order:
        raise UsageError(
            f"{row.recipient} gets nothing more of campaign {row.campaign} about {due.subject_key}:"
            f" {end.type} of {end.at:%Y-%m-%d %H:%M:%SZ}",
            hint="its order was ended by that. Nothing was changed.",
        )
    kind = end.type if end is not None else _bounce(connection, due)
    if kind:
        raise UsageError(
            f"{row.recipient} gets nothing more of campaign {row.campaign}: {kind}",
            hint=f"`sendctl show {row.id}` says when. Nothing was changed.",
        )


def _bounce(connection: Connection, due: Due) -> str:
    """What came back on this very way, "" for nothing. Of two ways the other may be good."""
    said = events.of_enrollments(connection, [due.enrollment_id])
    came = any(one.type == EventType.BOUNCED and one.channel in (None, due.channel) for one in said)
    return EventType.BOUNCED if came else ""


def _known(connection: Connection, campaign: str, due: Due, copy: int) -> str:
    """What journals prove of this very copy, planned and sent before the store was put back."""
    key = _key(connection, campaign, due, copy)
    proven = replay.remembered(connection, [key]).get(key)
    if proven is None:
        return ""
    how = "was accepted" if proven.accepted else "may have been accepted"
    return f"the journals know that it {how} on {proven.at:%Y-%m-%d %H:%M:%SZ}, before the store was put back"


def _key(connection: Connection, campaign: str, due: Due, copy: int) -> str:
    return provider_key(
        meta.read(connection).secret, campaign=campaign, address_key=due.address_key, subject_key=due.subject_key,
        step=campaigns.step_name(connection, due.campaign_id, due.step_index), occurrence=due.occurrence,
        channel=due.channel, copy=copy,
    )  # fmt: skip


# -- writing ------------------------------------------------------------------------------------------------------


def _write(desk: Desk, connection: Connection, campaign: Campaign, made: Resend, reason: str) -> int:
    """The message, its audit row, and a completed campaign that runs again. Returns the message's number."""
    due = claims.by_id(connection, [made.row.id])[made.row.id]
    frozen = (made.revision, desk.now) if made.frozen else None
    account = desk.current(connection, campaign.id).account
    new_id = copies.plan(
        connection, campaign.name, due, made.slot, copy=made.copy, frozen=frozen, unpaid=bool(account),
        secret=desk.secret(connection), now=desk.now,
    )  # fmt: skip
    notices.keep_for_copy(connection, made.row.id, new_id)
    campaigns.set_status(connection, campaign.id, {CampaignStatus.COMPLETED}, CampaignStatus.RUNNING, desk.now)
    detail = {"message": made.row.id, "copy": made.copy, "new_message": new_id, "to": made.row.recipient,
              "step": made.row.step, "sent_before": made.sent, "perhaps_sent": made.perhaps}  # fmt: skip
    context = desk.context
    audit.write(
        connection, login=who(context.environ), hostname=context.hostname, action="resend", campaign_id=campaign.id,
        reason=reason, detail=detail, now=desk.now,
    )  # fmt: skip
    if made.known:
        fresh = claims.by_id(connection, [new_id])[new_id]
        settle(desk, connection, fresh, replay.remembered(connection, [fresh.key])[fresh.key])
    return new_id
