"""A campaign file (TOML, with the template files it names) becomes a `Definition`, or one error listing every mistake.

Compiles no template and opens no store; the keys are explained in docs/campaign-file.md.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path

from sendctl.definition import Controls, Definition, Step, Trigger, Window
from sendctl.durations import LONGEST_S, Rate, in_utc, parse_rate
from sendctl.errors import BadInput
from sendctl.inputs import campaign_checks as checks
from sendctl.inputs.campaign_places import CampaignFile
from sendctl.schedule import hours
from sendctl.tomlfile import Document, Findings, Table, TomlError, read_document, read_utf8
from sendctl.tomlfile.tables import plain_name, printable

SIZE_CAP_BYTES = 1 << 20  # of the campaign file, and of each template file

_EMAIL_PARTS = ("subject", "text", "text_file", "html", "html_file")
_SMS_PARTS = ("sms", "sms_file")
_CHANNEL = ("campaign", "channel")
_STOP_EVENTS = ("submitted", "clicked", "opened", "bounced", "complained", "unsubscribed")


def load_campaign(path: Path) -> CampaignFile:
    """Read a campaign file and its template files (relative to it, strict UTF-8, at most 1 MiB each).

    Raises BadInput with every problem, one a line; its `place` is that of the first, "file:line:column".
    """
    try:
        document = read_document(path, cap_bytes=SIZE_CAP_BYTES)
        if "letter" in document.data and "campaign" not in document.data:
            raise BadInput("this is a letter, no campaign", place=str(path), hint=f"sendctl enqueue --letter {path}")
        findings = Findings(document)
        definition = read_definition(findings)
        findings.check()
        return CampaignFile(path, definition, document)
    except TomlError as error:
        raise bad_file(error, path) from None


def load_definition(path: Path) -> Definition:
    """The same, for whom it does not matter where anything stands."""
    return load_campaign(path).definition


def bad_file(error: TomlError, path: Path, page: str = "docs/campaign-file.md") -> BadInput:
    """All that is wrong with a file, as one error; `page` explains its keys."""
    place, problem = error.found[0]
    hint = f"{page} explains every key; nothing was written."
    if len(error.found) == 1:
        return BadInput(problem, place=place, hint=hint)
    lines = [f"{len(error.found)} problems in {path}", *(f"  {where}: {text}" for where, text in error.found)]
    return BadInput("\n".join(lines), place=place, hint=hint)


def read_definition(findings: Findings) -> Definition:
    root = findings.root()
    campaign = root.table("campaign")
    channel = campaign.word("channel", "email", ("email", "sms", "both"))
    purpose = campaign.word("purpose", "marketing", ("marketing", "transactional"))
    if not campaign.has("name"):
        campaign.missing("name")
    definition = Definition(
        name=campaign.parsed("name", plain_name, ""),
        steps=_read_steps(root, findings.document, channel),
        channel=channel,
        purpose=purpose,
        sender=read_sender(campaign, channel),
        sms_sender=_read_sms_sender(campaign, channel),
        reply_to=campaign.parsed("reply_to", checks.mailbox, ""),
        owner=campaign.parsed("owner", checks.mailbox, ""),
        unsubscribe_url=read_unsubscribe_url(campaign, purpose, channel),
        link=campaign.parsed("link", checks.page, ""),
        providers=read_providers(campaign),
        start_at=_read_start(campaign),
        expires_after_s=campaign.parsed("expires_after", checks.duration_from(1, LONGEST_S), None),
        window=read_window(campaign),
        timezone=campaign.parsed("timezone", checks.zone_name, "UTC"),
        account=campaign.parsed("account", plain_name, ""),
        in_doubt=campaign.word("in_doubt", "hold", ("hold", "resend", "skip")),
        controls=_read_controls(root.table("controls")),
        stop_on=_read_stop(root.table("stop")),
        trigger=_read_trigger(root.table("trigger"), channel) if root.has("trigger") else None,
    )
    if campaign.has("encrypt"):
        campaign.wrong("encrypt", '"encrypt" is for letters: the templates of a campaign are shared by all its people')
    campaign.finish()
    root.finish()
    return definition


def read_sender(campaign: Table, channel: str) -> str:
    if channel == "sms":
        return campaign.parsed("from", checks.one_line, "")  # a number or sender id; the provider has a default
    if not campaign.has("from"):
        campaign.missing("from", 'the sender, such as "Shop <news@shop.example>"', follows=(_CHANNEL,))
    return campaign.parsed("from", checks.mailbox, "")


def _read_sms_sender(campaign: Table, channel: str) -> str:
    if channel != "both" and campaign.has("sms_from"):
        text = '"sms_from" is for channel "both"' + ('; texts alone have "from"' if channel == "sms" else "")
        campaign.wrong("sms_from", text, follows=(_CHANNEL,))
    return campaign.parsed("sms_from", checks.one_line, "")


def read_unsubscribe_url(campaign: Table, purpose: str, channel: str) -> str:
    # A text may say STOP instead, which rendering/sms.py checks.
    if purpose == "marketing" and channel != "sms" and not campaign.has("unsubscribe_url"):
        advice = 'marketing needs one, such as "https://shop.example/u/{{ token }}"'
        campaign.missing("unsubscribe_url", advice, follows=(("campaign", "purpose"),))
    return campaign.parsed("unsubscribe_url", checks.unsubscribe_page, "")


def read_providers(campaign: Table) -> tuple[str, ...]:
    names = campaign.words("providers")
    if campaign.data.get("providers") == []:
        campaign.wrong("providers", '"providers" is empty; leave it out to use those of [send]')
    for provider in names:
        try:
            plain_name(provider)
        except ValueError as error:
            campaign.wrong("providers", f'"providers": {error}')
    return names


def _read_start(campaign: Table) -> datetime | None:
    moment = campaign.moment("start_at")
    try:
        return in_utc(moment) if moment else None
    except ValueError as error:
        campaign.wrong("start_at", f'"start_at": {error}')
        return None


def read_window(campaign: Table) -> Window | None:
    return campaign.parsed("window", hours, None) if campaign.has("window") else None


def _read_controls(controls: Table) -> Controls:
    default = Controls()
    no_rate: Rate | None = None
    read = Controls(
        batch_size=controls.integer("batch_size", default.batch_size, least=1, most=10_000),
        rate=controls.parsed("rate", parse_rate, no_rate) if controls.has("rate") else None,
        cooldown_s=float(controls.parsed("cooldown", checks.duration_from(0, 7 * 86400), 0)),
        max_attempts=controls.integer("max_attempts", default.max_attempts, least=1, most=20),
        # A retry waits at most 6 h (schedule.RETRY_CAP_S): a longer base would never be kept.
        retry_base_s=float(controls.parsed("retry_base", checks.duration_from(1, 6 * 3600), 60)),
    )
    controls.finish()
    return read


def _read_stop(stop: Table) -> tuple[str, ...]:
    events = stop.words("on")
    for event in events:
        if event not in _STOP_EVENTS:
            stop.wrong("on", f'"{printable(event)}" in "on" is no event that stops; want {", ".join(_STOP_EVENTS)}')
    stop.finish()
    return events


def _read_trigger(trigger: Table, channel: str) -> Trigger:
    required = {"event": "", "key": "the subject_key, without which a replayed order would be sent again"}
    required |= {"email": "where the order has the address"} if channel != "sms" else {}
    required |= {"phone": "where the order has the number"} if channel != "email" else {}
    for key, advice in required.items():
        if not trigger.text(key).strip():
            trigger.missing(key, advice)
    read = Trigger(
        event=trigger.parsed("event", checks.event_name, ""),
        each=trigger.parsed("each", checks.event_name, ""),
        where=trigger.text("where"),
        key=trigger.text("key"),
        email=trigger.text("email"),
        phone=trigger.text("phone"),
        delay_s=trigger.parsed("delay", checks.duration_from(0, LONGEST_S), 0),
        cancel_on=_read_cancel_on(trigger),
    )
    trigger.finish()
    return read


def _read_cancel_on(trigger: Table) -> tuple[str, ...]:
    events = trigger.words("cancel_on")
    for event in events:
        try:
            checks.event_name(event)
        except ValueError as error:
            trigger.wrong("cancel_on", f'"cancel_on": {error}')
        if event == trigger.data.get("event"):
            trigger.wrong("cancel_on", f'"{event}" in "cancel_on" is the event of the trigger itself')
    return events


def _read_steps(root: Table, document: Document, channel: str) -> tuple[Step, ...]:
    tables = root.tables("steps")
    if not tables and not root.data.get("steps"):  # what is not sections has been told already
        root.missing("steps", "a campaign has at least one [[steps]] section")
    steps: list[Step] = []
    for index, table in enumerate(tables):
        step = _read_step(table, index, document, channel)
        if step.name and step.name in (earlier.name for earlier in steps):
            table.wrong("name", f'"{step.name}" is the name of an earlier step too')
        steps.append(step)
    return tuple(steps)


def _read_step(table: Table, index: int, document: Document, channel: str) -> Step:
    if not table.has("name"):
        table.missing("name")
    folder = document.path.parent if document.path else Path()
    part = partial(read_part, table, folder)
    kind, after_s = _read_kind(table, index)
    step = Step(
        name=table.parsed("name", plain_name, ""),
        kind=kind,
        after_s=after_s,
        repeat=table.integer("repeat", 1, least=1, most=50),
        subject=table.parsed("subject", checks.one_line, ""),
        text=part("text"),
        html=part("html"),
        sms=part("sms"),
    )
    if step.repeat > 1 and kind != "reminder":
        table.wrong("repeat", f'"repeat" is for a step of kind "reminder"; this one is "{kind}"')
    check_parts(table, channel)
    table.finish()
    return step


def _read_kind(table: Table, index: int) -> tuple[str, int]:
    kind = table.word("kind", "drip" if index else "initial", ("initial", "drip", "reminder"))
    after_s = table.parsed("after", checks.duration_from(0, LONGEST_S), 0)
    if index == 0 and kind != "initial":
        table.wrong("kind", f'the first step must be of kind "initial", not "{kind}"')
    if index == 0 and table.has("after"):
        table.wrong("after", 'the first step has none before it; use "start_at", or "delay" in [trigger]')
    if index > 0 and kind == "initial":
        table.wrong("kind", 'only the first step is of kind "initial"; want "drip" or "reminder"')
    if index > 0 and not table.has("after"):
        table.missing("after", 'how long after the previous step was sent, such as "3d"')
    return kind, after_s


def read_part(table: Table, folder: Path, key: str) -> str:
    """The template source under `key`, or in the file named by `key`_file."""
    file_key = f"{key}_file"
    text, file_name = table.text(key), table.text(file_key)
    if table.has(key) and table.has(file_key):
        table.wrong(file_key, f'both "{key}" and "{file_key}" are given; keep one')
        return text
    if table.has(key) and not text.strip():
        table.wrong(key, f'"{key}" is empty')
    if not file_name:
        if table.has(file_key):
            table.wrong(file_key, f'"{file_key}" is empty')
        return text
    return _read_template_file(table, file_key, folder / file_name)


def _read_template_file(table: Table, key: str, path: Path) -> str:
    try:
        source = read_utf8(path, cap_bytes=SIZE_CAP_BYTES)
    except TomlError as error:
        place, problem = error.found[0]
        if place == str(path):  # nothing inside the file to point at: point at the key that names it
            table.wrong(key, f'"{printable(str(path))}" {problem}')
        else:
            table.findings.add((*table.path, key), problem, elsewhere=place)
        return ""
    if not source.strip():
        table.wrong(key, f'"{printable(str(path))}" is empty')
    return source


def check_parts(table: Table, channel: str) -> None:
    if channel != "sms":
        if not table.has("subject"):
            table.missing("subject", follows=(_CHANNEL,))
        elif str(table.data["subject"]).isspace() or table.data["subject"] == "":
            table.wrong("subject", '"subject" is empty')
        if not any(table.has(key) for key in _EMAIL_PARTS[1:]):
            others = tuple((*table.path, key) for key in _EMAIL_PARTS[1:])
            table.missing("text", "an e-mail needs text, text_file, html or html_file", follows=(_CHANNEL, *others))
    if channel != "email" and not any(table.has(key) for key in _SMS_PARTS):
        follows = (_CHANNEL, (*table.path, "sms_file"))
        table.missing("sms", f'the channel is "{channel}": give sms or sms_file', follows=follows)
    unused = _EMAIL_PARTS if channel == "sms" else _SMS_PARTS if channel == "email" else ()
    for key in unused:
        if table.has(key):
            table.wrong(key, f'"{key}" is never sent: the channel is "{channel}"', follows=(_CHANNEL,))
