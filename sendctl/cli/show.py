"""`sendctl show`: the whole story of one message, or of all messages to one person."""

# ruff: noqa: PLC0415  see sendctl/cli/__init__.py
from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sendctl.cli.frame import Verb
from sendctl.cli.messages import message_json
from sendctl.cli.shell import print_json, shell_of
from sendctl.cli.standing import stands
from sendctl.cli.wording import ago, clean, hanging, iso, letter_words, some, span, step_of, utc, when
from sendctl.states import State

if TYPE_CHECKING:
    from datetime import datetime

    from sendctl.passes.listing import Shown, Story
    from sendctl.store.listing import ContactRow, MessageRow
    from sendctl.store.standing import Place


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("show", cls=Verb, epilog="0 2 69 75 78")(show)


def show(
    ctx: typer.Context,
    wanted: Annotated[
        str,
        typer.Argument(metavar="ID|ADDRESS|MESSAGE-ID", help="A message's id or Message-ID, or a person's address."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document (docs/json.md).")] = False,
) -> int:
    """Show everything known of one message or one person.

    Says what happened in order of time, how that is known, and what can be said now.
    """
    from sendctl.errors import ExitCode
    from sendctl.passes import listing

    shown = listing.show(shell_of(ctx).context(), wanted)
    if as_json:
        print_json(_json(shown))
    else:
        print("\n".join(_lines(shown)))
    return ExitCode.DONE


def _lines(shown: Shown) -> Iterator[str]:
    if shown.contact is not None:
        yield from _person(shown.contact, len(shown.stories), shown.now)
        yield from _standing(shown)
    for number, story in enumerate(shown.stories):
        if number or shown.contact is not None:
            yield ""
        yield from _story(story, shown)


def _standing(shown: Shown) -> Iterator[str]:
    """Where a person stands in each campaign, and why they go no further."""
    for _, places in groupby(shown.places, lambda place: place.enrollment_id):
        every = list(places)
        place = every[0]
        about = f", about {clean(place.subject_key)}" if place.subject_key else ""
        named = f"{place.campaign}{about}" if shown.contact is not None else "enrollment"
        waits = dict.fromkeys(stands(one, shown.now) for one in every)  # of two channels both, where they differ
        words = f"{named} {place.status}, step {step_of(place.step, place.occurrence)}: {'; '.join(waits)}"
        yield from hanging(words, " " * 14, first="  stands      ")


def _person(contact: ContactRow, messages: int, now: datetime) -> Iterator[str]:
    yield f"{clean(contact.email or contact.phone or contact.address_key)}: {some(messages, 'message')}"
    if contact.email and contact.phone:
        yield f"  phone       {contact.phone}"
    if contact.external_id:
        yield f"  id          {clean(contact.external_id)}"
    if contact.timezone:
        yield f"  time zone   {contact.timezone}"
    yield f"  known since {utc(contact.created_at)}"
    if contact.suppressed_at is not None:
        reason = f": {clean(contact.suppressed_for)}" if contact.suppressed_for else ""
        yield f"  suppressed  {when(contact.suppressed_at, now)}{reason}"


def _story(story: Story, shown: Shown) -> Iterator[str]:
    row = story.listed.row
    yield f"message {row.id}: {row.status}"
    yield from hanging(_verdict(row, shown), "  ")
    yield f"  to          {clean(row.recipient)} ({row.channel})"
    yield f"  campaign    {row.campaign}, step {step_of(row.step, row.occurrence, row.copy)}, revision {row.revision}"
    if story.listed.letter is not None:
        yield f"              {letter_words(story.listed.letter)}"
    if shown.contact is None:
        yield from _standing(shown)
    if story.listed.message_id:
        yield f"  Message-ID  {story.listed.message_id}"
    if row.provider_message_id:
        yield f"  provider's  {clean(row.provider_message_id)}"
    yield ""
    for moment in story.moments:
        yield from hanging(clean(moment.what), " " * 24, first=f"  {utc(moment.at)}  ")
        if moment.detail:
            yield from hanging(clean(moment.detail), " " * 24)


def _verdict(row: MessageRow, shown: Shown) -> str:
    """What can be said of it now."""
    now = shown.now
    tried = f", tried {some(row.attempts, 'time')}" if row.attempts else ""
    again = (
        f"tried again by itself after {span(shown.retry_failed_after_s)}"
        if row.transient
        else "not tried again by itself"
    )
    return {
        State.SENT: f"the provider accepted it {ago(row.sent_at or now, now)}",
        State.IN_DOUBT: f"in doubt since {utc(row.in_doubt_at or now)}: nobody knows whether it was accepted",
        State.FAILED: f"not sent, {again}: {clean(row.last_error or 'no reason recorded')}",
        State.SENDING: "on its way at this moment",
        State.QUEUED: f"not sent yet{tried}; next attempt {ago(row.next_attempt_at, now)}{_held(row)}",
        State.BOUNCED: "accepted by the provider, then returned by the receiving side",
        State.SUPPRESSED: "not sent: the address must not be contacted",
        State.CANCELLED: "not sent: its step was removed, or its campaign or enrollment has ended",
        State.EXPIRED: f"not sent: it would have been later than {utc(row.expires_at or row.due_at)}",
    }[row.status]


def _held(row: MessageRow) -> str:
    """Why it waits, if not for its time alone."""
    return f": {clean(row.last_error)}" if row.held is not None and row.last_error else ""


def _json(shown: Shown) -> dict[str, Any]:
    return {
        "schema": "sendctl.show/1",
        "contact": _contact_json(shown.contact) if shown.contact is not None else None,
        "enrollments": [_place_json(place, shown.now) for place in shown.places],
        "messages": [_story_json(story) for story in shown.stories],
    }


def _contact_json(contact: ContactRow) -> dict[str, Any]:
    return {
        "email": contact.email, "phone": contact.phone, "id": contact.external_id, "timezone": contact.timezone,
        "created_at": iso(contact.created_at), "suppressed_at": iso(contact.suppressed_at),
        "suppressed_for": contact.suppressed_for,
    }  # fmt: skip


def _place_json(place: Place, now: datetime) -> dict[str, Any]:
    return {
        "campaign": place.campaign, "campaign_status": place.campaign_status, "subject_key": place.subject_key,
        "status": place.status, "step": place.step, "occurrence": place.occurrence, "due_at": iso(place.due_at),
        "ended_for": place.ended_for, "message": place.message_id, "message_status": place.message_status,
        "why": stands(place, now),
    }  # fmt: skip


def _story_json(story: Story) -> dict[str, Any]:
    names = ("number", "provider", "outcome", "phase", "evidence", "code", "enhanced", "error_class", "reply",
             "provider_message_id")  # fmt: skip
    attempts = [
        {name: getattr(attempt, name) for name in names}
        | {"run": attempt.run_id, "started_at": iso(attempt.started_at), "finished_at": iso(attempt.finished_at)}
        | {"again_at": iso(attempt.again_at)}
        for attempt in story.attempts
    ]
    timeline = [{"at": iso(one.at), "what": one.what, "detail": one.detail or None} for one in story.moments]
    return message_json(story.listed) | {"attempts_made": attempts, "timeline": timeline}
