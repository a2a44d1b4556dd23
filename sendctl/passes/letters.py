"""`enqueue --letter`: one message to one person, put into the ledger as a campaign of one step with one enrollment.

All of it is one transaction: the letter, its sealed contents, and whom to tell what became of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy.engine import Connection

from sendctl.addresses import parse_email, parse_mailbox
from sendctl.definition import Definition, LetterTerms, Step
from sendctl.errors import BadConfig, BadInput, UsageError
from sendctl.identity import new_id
from sendctl.inputs.letter_file import LetterFile, load_letter, with_terms
from sendctl.passes import enqueue, sealing
from sendctl.passes.campaign_faults import at_fault, compiled
from sendctl.passes.context import Context
from sendctl.passes.enqueue_checks import check_hours, check_open
from sendctl.passes.enqueue_report import EnqueueReport
from sendctl.passes.remembered import take_up
from sendctl.passes.row_checks import problem_of
from sendctl.sealing import CannotOpen, Keyring
from sendctl.store import campaigns, letters, loading, notices, sealed
from sendctl.store.campaigns import Campaign
from sendctl.store.letters import LetterRow
from sendctl.store.loading import Entries, Ids

MOVE = "`sendctl reschedule {name} --at WHEN` moves a letter."


def notice_campaign(name: str) -> str:
    """The campaign that tells a letter's sender. No file can have a name with a dot."""
    return f"{name}.notify"


def run(
    context: Context, path: Path, *, at: Callable[[Definition], datetime | Literal["now"]] | None = None,
    dry_run: bool = False,
) -> EnqueueReport:  # fmt: skip
    """Check a letter and plan it. `at` reads the moment of the command line, which wins over the file's.

    Raises BadInput, also for a moment that is past; UsageError, BadConfig, and what the store raises.
    """
    letter = load_letter(path)
    check_hours(context, letter.definition, letter.place("window"))
    _check_fits(letter)
    email = letter.contact.row.email
    report = EnqueueReport(letter.definition.name, dry_run, letter=email.address if email is not None else "")
    keys = sealing.keyring(context)
    known = _known(context, letter, keys)
    if known is None:
        start_at = _start(context, letter, at(letter.definition) if at is not None else None)
        _enqueue(context, letter, keys, start_at, report)
    else:
        if at is not None:
            raise UsageError(f"letter {report.campaign} is there already", hint=MOVE.format(name=report.campaign))
        report.known = 1
        enqueue.write(context, known, enqueue.People(), report, None)
    if report.enrolled and not dry_run:
        enqueue.note_remembered(report, take_up(context, report.campaign))
    enqueue.warn_of_providers(report, context, letter.definition)
    return report


def _check_fits(letter: LetterFile) -> None:
    """Raises BadInput where the letter's own contact does not fill its templates."""
    row = letter.contact.row
    problem = problem_of(row.attributes, compiled(letter.campaign))
    if problem is None:
        return
    if problem.error is not None:
        raise at_fault(letter.campaign, 0, problem.error)
    known = ", ".join(f"contact.{name}" for name in row.attributes)
    raise BadInput(
        f"the templates use {', '.join(problem.missing)}, which is not there",
        place=letter.campaign.mention(problem.missing[0], 0),
        hint=f"[letter.contact] gives a person more data; there is {known}. docs/templates.md lists the variables.",
    )


def _enqueue(
    context: Context, letter: LetterFile, keys: Keyring, start_at: datetime | None, report: EnqueueReport
) -> None:
    report.rows = 1
    definition, contact = letter.definition, letter.contact
    if letter.encrypt:
        sealing.current_key(keys)  # or an error, before anything is written
        definition, contact = with_terms(definition, contents=new_id()), contact.bare()
    spare_ids = len(notices.KINDS) if letter.definition.letter and letter.definition.letter.notify else 0
    people = enqueue.People(contact, (), start_at, spare_ids=spare_ids, also=_Beside(letter, keys))
    enqueue.write(context, definition, people, report, None)


def _start(context: Context, letter: LetterFile, at: datetime | Literal["now"] | None) -> datetime | None:
    """When it is wanted; None is now. Raises BadInput for a moment that is past, or where none is given."""
    start_at, place = letter.definition.start_at, letter.place("at")
    if at is not None:
        start_at, place = None if at == "now" else at, "--at"
    elif not letter.dated:
        raise BadInput(
            'missing key "at" in [letter]: when it is due', place=letter.campaign.key_place("letter"),
            hint='such as at = 2026-11-23T09:00:00 or at = "now"; or give --at WHEN.',
        )  # fmt: skip
    with context.store.read() as connection:
        now = context.store.now(connection)
    refuse_past(start_at, now, place)
    return start_at


def refuse_past(moment: datetime | None, now: datetime, place: str) -> None:
    """Raises BadInput for what can only be a mistake."""
    if moment is not None and moment < now:
        raise BadInput(
            f"{moment:%Y-%m-%d %H:%M:%S} UTC is past: it is {now:%Y-%m-%d %H:%M:%S} UTC", place=place,
            hint='give a later moment, or "now".',
        )  # fmt: skip


# -- a letter that is there -------------------------------------------------------------------------------------------


def _known(context: Context, letter: LetterFile, keys: Keyring) -> Definition | None:
    """What a letter that is there would say from now on; None for a new one. Raises BadInput, UsageError."""
    definition = letter.definition
    with context.store.read() as connection:
        found = campaigns.find(connection, definition.name)
        if found is None:
            return None
        check_open(found)
        before = campaigns.definition_of(connection, found.id, found.revision)
        row = letters.of_campaign(connection, found.id)
        contents = sealed.of(connection, [row.id]) if row is not None else {}
    if not before.is_letter or row is None:
        raise UsageError(f"{definition.name} is a campaign, and no letter", hint="give the letter another name.")
    _refuse_others(context, letter, before, row)
    if not before.is_sealed:
        return definition
    _refuse_changed(letter, keys, row, contents)
    assert before.letter is not None
    return with_terms(definition, contents=before.letter.contents)


def _refuse_others(context: Context, letter: LetterFile, before: Definition, row: LetterRow) -> None:
    """What cannot change: to whom it goes, who is told, whether it is encrypted; and when, which has its own verb."""
    name, person = letter.definition.name, letter.contact.row
    hint = f"cancel it (`sendctl cancel {name}`) and enqueue another under a new name."
    terms, terms_before = letter.definition.letter, before.letter
    assert terms is not None
    assert terms_before is not None
    if person.email is not None and person.email.key != row.address_key:
        raise BadInput(f"letter {name} goes to {row.recipient} already", place=letter.place("to"), hint=hint)
    start_at = letter.definition.start_at
    # To which it may have been moved, and from there into its hours.
    moved = start_at is not None and context.calendar(before).slot(start_at, row.timezone).due_at == row.due_at
    if start_at not in (before.start_at, row.due_at) and not moved:
        raise BadInput(f"letter {name} is there already, for another moment", place=letter.place("at"),
                       hint=MOVE.format(name=name))  # fmt: skip
    if person.timezone != row.timezone:
        raise BadInput(f"letter {name} is there already, in another time zone", place=letter.place("timezone"),
                       hint=hint)  # fmt: skip
    if terms.notify != terms_before.notify:
        raise BadInput(f"letter {name} tells somebody else already", place=letter.place("notify"), hint=hint)
    if letter.encrypt != before.is_sealed:
        how = "encrypted" if before.is_sealed else "in the clear"
        raise BadInput(f"letter {name} is there already, {how}", place=letter.place("encrypt"), hint=hint)
    if not before.is_sealed and json.loads(row.snapshot) != person.attributes:
        raise BadInput(f"letter {name} is there already, with other data of its contact",
                       place=letter.place("contact"), hint=hint)  # fmt: skip


def _refuse_changed(letter: LetterFile, keys: Keyring, row: LetterRow, contents: Any) -> None:
    """Sealed contents are what they were: there is one of them for a message."""
    name = letter.definition.name
    try:
        before = sealing.opened(keys, contents, row.id)
    except CannotOpen as problem:
        raise BadConfig(f"letter {name} is there already, and whether it says the same cannot be told: {problem}",
                        hint="name its key in [letters] of sendctl.toml.") from None  # fmt: skip
    if before != sealing.contents_of(letter.definition.steps[0], letter.contact.row.attributes):
        raise BadInput(
            f"letter {name} is encrypted and there already, with other contents", place=letter.place("subject"),
            hint=f"cancel it (`sendctl cancel {name}`) and enqueue another under a new name.",
        )  # fmt: skip


# -- in the transaction -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Beside:
    """What is written with a new letter: its sealed contents, and whom to tell."""

    letter: LetterFile
    keys: Keyring

    def __call__(self, connection: Connection, campaign: Campaign, ids: Ids, now: datetime) -> None:
        message_id = letters.message_of(connection, campaign.id)
        if self.letter.encrypt:
            contents = sealing.contents_of(self.letter.definition.steps[0], self.letter.contact.row.attributes)
            sealing.keep(connection, self.keys, message_id, contents, now)
        terms = self.letter.definition.letter
        if terms is not None and terms.notify:
            kinds = len(notices.KINDS)
            teller = campaigns.create(connection, notice_definition(self.letter.definition), now)
            notices.keep(
                connection, message_id, teller.id, _contact(connection, terms.notify, ids, now),
                enrollment_ids=ids.enrollments.take(kinds), message_ids=ids.messages.take(kinds),
            )  # fmt: skip


def notice_definition(letter: Definition) -> Definition:
    """The campaign that tells a letter's sender: its words stand in the data of each notice."""
    step = Step("notice", subject="{{ contact.subject }}", text="{{ contact.text }}\n")
    return Definition(
        name=notice_campaign(letter.name), steps=(step,), purpose="transactional", sender=letter.sender,
        reply_to=letter.reply_to, providers=letter.providers, letter=LetterTerms(about=letter.name),
    )  # fmt: skip


def _contact(connection: Connection, mailbox: str, ids: Ids, now: datetime) -> int:
    """The contact of the person who is told."""
    email = parse_email(parse_mailbox(mailbox).address)
    found = loading.known_people(connection, [email.key])
    if found:
        return found[email.key][0]
    entry = Entries([1], [email.key], [email.address], [None], [None], [None], [loading.UNSAID], [""], [""],
                    [None], [now], [None])  # fmt: skip
    return loading.add_contacts(connection, entry, ids, now)[email.key]
