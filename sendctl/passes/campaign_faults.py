"""What is wrong with a campaign itself, and so for everybody: said once, with the file, line and column to blame.

Looks at no single person's data, and never decides that a row may be left out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sendctl.errors import BadInput, SendctlError, UsageError
from sendctl.inputs.campaign_places import CAMPAIGN_PARTS, STEP_PARTS, CampaignFile
from sendctl.rendering.steps import Renderer, renderer_of
from sendctl.tomlfile.tables import nearest

_HINT = "docs/templates.md explains the language of templates; nothing was written."
_PART = re.compile(rf"(?:step '[^']*': )?({'|'.join((*CAMPAIGN_PARTS, *STEP_PARTS))})\b(?:, line ([0-9]+))?")
_COLUMN = re.compile(r"contact(?:\.(\w+)|\['([^']*)'\])")
_COLUMNS_SHOWN = 20
# The names that templates have besides the contact's columns: docs/templates.md, "Variables".
_CAMPAIGN_NAMES = ("name", "purpose", "from", "reply_to", "timezone")
_NAMES = ("token", "link", "unsubscribe_url", *(f"campaign.{name}" for name in _CAMPAIGN_NAMES))

Undefined = tuple[int, str]  # index of the step, name of the variable


def compiled(campaign: CampaignFile) -> list[Renderer]:
    """The renderers of all steps. Raises BadInput with the place of a template that is none."""
    renderers: list[Renderer] = []
    for index, step in enumerate(campaign.definition.steps):
        try:
            renderers.append(renderer_of(campaign.definition, step))
        except BadInput as error:
            raise at_fault(campaign, index, error) from None
    return renderers


def at_fault(campaign: CampaignFile, step_index: int, error: SendctlError, *, whose: str = "") -> BadInput:
    """A template's failure with the template's place. The failure says which part, and which line of it.

    `whose` names the person with whose data it fails, if that matters.
    """
    problem = str(error)
    found = _PART.match(problem)
    place = str(campaign.path)
    if found:
        place = campaign.part_place(found[1], step_index, int(found[2]) if found[2] else None)
    step = f"step {campaign.definition.steps[step_index].name!r}: "
    problem = problem if problem.startswith(step) else step + problem
    return BadInput(f"{problem} (for {whose})" if whose else problem, place=place, hint=_HINT)


def check_source(campaign: CampaignFile, *, contacts: bool, orders: bool) -> None:
    """People come from a contacts file, or with a [trigger] from order events. Raises UsageError."""
    name = campaign.definition.name
    if contacts and orders:
        raise UsageError("--contacts and --orders exclude each other", hint="give the one that the campaign needs.")
    if contacts and campaign.definition.trigger is not None:
        raise UsageError(
            f"campaign {name} has a [trigger]: its people come from order events",
            hint="use --orders FILE, - or FOLDER.",
        )
    if orders and campaign.definition.trigger is None:
        raise UsageError(
            f"campaign {name} has no [trigger] that says which orders concern it",
            hint="write one (docs/orders.md), or use --contacts FILE.",
        )


def column_of(name: str) -> str | None:
    """The contact's column in the name of a variable as errors say it: `plan` of `contact.plan.name`."""
    found = _COLUMN.match(name)
    return (found[1] or found[2]) if found else None


def without_source(
    missing: Iterable[str], renderer: Renderer, columns: Collection[str] | None
) -> list[str]:  # fmt: skip
    """Which of these undefined variables no row of the file can have, whatever its values are.

    `columns` are those of the file; None if rows have keys of their own (JSON Lines).
    """
    mentioned = renderer.references()
    lacking = []
    for name in missing:
        column = column_of(name)
        if (columns is not None and column not in columns) if column is not None else name in mentioned:
            lacking.append(name)
    return lacking


def undefined(
    campaign: CampaignFile, found: Collection[Undefined], source: str, columns: Collection[str], *, every_row: bool
) -> BadInput:
    """The error for variables that nobody has. `source` is the contacts file's name, `columns` what it has.

    `every_row`: the file has no header, but no record has the key.
    """
    places: Mapping[str, str] = {name: campaign.mention(name, index) for index, name in reversed(list(found))}
    names = sorted(places)
    lines = [f"the templates use {name}, {_lack(name, source, every_row=every_row)}" for name in names]
    hint = _advice(names[0], columns, "a record has" if every_row else "the columns are")
    if len(names) == 1:
        return BadInput(lines[0], place=places[names[0]], hint=hint)
    listed = [f"  {places[name]}: {line}" for name, line in zip(names, lines, strict=True)]
    heading = f"{len(names)} variables of {campaign.path} are nobody's; nothing was written"
    return BadInput("\n".join([heading, *listed]), hint=hint)


def _lack(name: str, source: str, *, every_row: bool) -> str:
    column = column_of(name)
    if column is None and name in CAMPAIGN_PARTS:
        return "which the campaign file does not give"
    if column is None:
        only_orders = name.partition(".")[0] in ("order", "item")
        return "which only a campaign with a [trigger] has" if only_orders else "which does not exist"
    return f"and no record of {source} has that" if every_row else f"and {source} has no column {column!r}"


def _advice(name: str, columns: Collection[str], heading: str) -> str:
    known = {*(f"contact.{column}" for column in columns), *_NAMES}
    advice = nearest(name, known - {name})
    if column_of(name) is None:
        return f"{advice} docs/templates.md lists the variables.".strip()
    shown = ", ".join(list(columns)[:_COLUMNS_SHOWN])
    return f'{advice} {heading}: {shown}. Guard what may be absent: {{{{ {name}|default("...") }}}}'.strip()


def plain(value: Any) -> Any:
    """A made-up value of the same shape, and as harmless as can be: what fails with it too is no row's fault."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return "1" if isinstance(value, str) else 1 if isinstance(value, int | float) else value
