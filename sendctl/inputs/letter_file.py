"""A letter file (TOML): a campaign of one step with the one contact it goes to, or one error listing every mistake.

Reads what every campaign file has with the same code. Opens no store; the keys are explained in docs/letters.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, tzinfo
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from zoneinfo import ZoneInfo

from sendctl.addresses import parse_mailbox
from sendctl.definition import Definition, LetterTerms, Step
from sendctl.durations import LONGEST_S, in_utc, parse_when
from sendctl.errors import BadInput
from sendctl.inputs import campaign_checks as checks
from sendctl.inputs import campaign_file as shared
from sendctl.inputs.campaign_places import CampaignFile
from sendctl.inputs.contact_rows import SPECIAL_COLUMNS, ContactRow, ValueProblem, contact_row
from sendctl.inputs.contacts import ContactFile
from sendctl.tomlfile import Findings, Table, TomlError, read_document
from sendctl.tomlfile.tables import plain_name

STEP = "letter"  # the name of its only step
NAME_MAX_CHARACTERS = 57  # ".notify" is added for the campaign that tells the sender
NOBODY = "nobody@invalid.example"  # in the place of an address that was refused
_KEYS = {"email": "to"}  # of the contact, where the file calls it otherwise


class OneContact(ContactFile):
    """The contact of a letter, in the place of a contacts file."""

    WHOLE, ONE = "the letter file", "letter"

    def __init__(self, campaign: CampaignFile, row: ContactRow) -> None:
        self._campaign, self._row = campaign, row
        self.name, self.size_bytes, self.columns, self.delimiter = str(campaign.path), 0, None, None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""

    def __enter__(self) -> Self:
        return self

    @property
    def row(self) -> ContactRow:
        """The contact itself."""
        return self._row

    def bare(self) -> OneContact:
        """The same person without anything that an encrypted letter keeps to itself."""
        return OneContact(self._campaign, self._row._replace(phone=None, attributes={}))

    def parts(self) -> Iterator[ContactRow]:
        yield self._row

    def refuse_change(self) -> None:
        """It was read once."""

    def position_bytes(self) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class LetterFile:
    """What a letter file says. `definition.start_at` is its moment; None is now, or that none is given (`dated`)."""

    campaign: CampaignFile
    contact: OneContact
    encrypt: bool
    dated: bool

    @property
    def definition(self) -> Definition:
        return self.campaign.definition

    def place(self, key: str) -> str:
        """Where a key stands, as "file:line:column"."""
        return self.campaign.key_place("letter", key)


def load_letter(path: Path) -> LetterFile:
    """Read a letter file and the files it names (as `load_campaign` does).

    Raises BadInput with every problem, one a line; its `place` is that of the first, "file:line:column".
    """
    try:
        document = read_document(path, cap_bytes=shared.SIZE_CAP_BYTES)
        if "letter" not in document.data:
            hint = f"docs/letters.md explains it; a campaign is `sendctl enqueue {path}`."
            raise BadInput("a letter file has one section, [letter]", place=f"{path}:1:1", hint=hint)
        findings = Findings(document)
        root = findings.root()
        letter = root.table("letter")
        definition = _definition(letter, path.parent)
        row = _contact(letter)
        encrypt = letter.boolean("encrypt", False)
        letter.finish()
        root.finish()
        findings.check()
    except TomlError as error:
        raise shared.bad_file(error, path, "docs/letters.md") from None
    campaign = CampaignFile(path, definition, document, is_letter=True)
    return LetterFile(campaign, OneContact(campaign, row), encrypt, "at" in document.data["letter"])


def is_letter(path: Path) -> bool:
    """Whether a file is a letter rather than a campaign; whatever else it may be, reading it will say."""
    try:
        return "letter" in read_document(path, cap_bytes=shared.SIZE_CAP_BYTES).data
    except TomlError:
        return False


def _definition(letter: Table, folder: Path) -> Definition:
    purpose = letter.word("purpose", "transactional", ("marketing", "transactional"))
    if not letter.has("name"):
        letter.missing("name")
    zone = letter.parsed("timezone", checks.zone_name, "UTC")
    return Definition(
        name=letter.parsed("name", _name, ""),
        steps=(_step(letter, folder),),
        purpose=purpose,
        sender=shared.read_sender(letter, "email"),
        reply_to=letter.parsed("reply_to", checks.mailbox, ""),
        unsubscribe_url=shared.read_unsubscribe_url(letter, purpose, "email"),
        link=letter.parsed("link", checks.page, ""),
        providers=shared.read_providers(letter),
        start_at=_moment(letter, ZoneInfo(zone)),
        expires_after_s=letter.parsed("expires_after", checks.duration_from(1, LONGEST_S), None),
        window=shared.read_window(letter),
        timezone=zone,
        in_doubt=letter.word("in_doubt", "hold", ("hold", "resend", "skip")),
        letter=LetterTerms(notify=letter.parsed("notify", checks.mailbox, "")),
    )


def _name(text: str) -> str:
    if len(plain_name(text)) > NAME_MAX_CHARACTERS:
        raise ValueError(f"a letter's name has {NAME_MAX_CHARACTERS} characters at most")
    return text


def _step(letter: Table, folder: Path) -> Step:
    part = partial(shared.read_part, letter, folder)
    step = Step(STEP, subject=letter.parsed("subject", checks.one_line, ""), text=part("text"), html=part("html"))
    shared.check_parts(letter, "email")
    return step


def _moment(letter: Table, zone: tzinfo) -> datetime | None:
    """When it is due, in UTC. A time without an offset is one in the letter's time zone."""
    letter.has("at")
    value = letter.data.get("at")
    if value is None or value == "now":
        return None
    if isinstance(value, datetime) and value.tzinfo is not None:
        return _in_utc(letter, value)
    if not isinstance(value, str | date) or (isinstance(value, str) and value.startswith("+")):
        wanted = 'a moment, such as 2026-11-23T09:00:00 or "2026-11-23 09:00", or "now"'
        letter.wrong("at", f'"at" is not a moment: want {wanted}; `--at +2h` counts from now')
        return None
    text = value if isinstance(value, str) else str(value)
    try:
        return parse_when(text, now=datetime.now(UTC), zone=zone)
    except ValueError as error:
        letter.wrong("at", f'"at": {error}')
        return None


def _in_utc(letter: Table, value: datetime) -> datetime | None:
    try:
        return in_utc(value)
    except ValueError as error:
        letter.wrong("at", f'"at": {error}')
        return None


def _contact(letter: Table) -> ContactRow:
    """The person: `to`, `phone`, `timezone`, and the further data of [letter.contact]."""
    if not letter.has("to"):
        letter.missing("to", 'the address it goes to, such as "ann@recipient.example"')
    address = letter.parsed("to", _address, "") or NOBODY
    phone, zone = letter.text("phone"), letter.text("timezone")
    given = {"email": address, "phone": phone, "timezone": zone}
    attributes = {key: value for key, value in given.items() if value} | _more(letter.table("contact"))
    try:
        row = contact_row(1, (address, phone, None, None), attributes)
    except ValueProblem as problem:
        letter.wrong("phone", f'"phone": {problem}')
        row = contact_row(1, (address, None, None, None), attributes)
    return row._replace(timezone=zone or None)  # that it is one has been asked already


def _address(text: str) -> str:
    return parse_mailbox(checks.mailbox(text)).address


def _more(table: Table) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.data.items():
        table.has(key)
        if key in SPECIAL_COLUMNS:
            table.wrong(key, f'"{key}" belongs in [letter], as "{_KEYS.get(key, key)}"')
        elif isinstance(value, str | int | float | bool):
            found[key] = value
        else:
            table.wrong(key, f'"{key}" must be text, a number, true or false')
    return found


def with_terms(definition: Definition, *, contents: str) -> Definition:
    """The definition as the store gets it: of an encrypted letter without its contents, which have a name instead."""
    if not contents:
        return definition
    assert definition.letter is not None
    bare = tuple(replace(step, subject="", text="", html="", sms="") for step in definition.steps)
    return replace(definition, steps=bare, letter=replace(definition.letter, contents=contents))
