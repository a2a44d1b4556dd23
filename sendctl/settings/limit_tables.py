"""The sections [limits] and [accounts.NAME]: what protects people, and what may be used up.

Forms and bounds only; what they mean for a message is asked at its claim and at an enqueue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sendctl.durations import Rate, parse_duration_s, parse_share
from sendctl.settings.environment import as_written
from sendctl.settings.model import AccountTable, LimitsSettings
from sendctl.tomlfile import Table, Variable
from sendctl.tomlfile.tables import plain_name

if TYPE_CHECKING:
    from sendctl.definition import Window

PERIODS = ("month", "day", "week", "year")
LONGEST_DISTANCE_S = 366 * 86400
_SPANS_S = {"week": 7 * 86400, "hour": 3600, "day": 86400, "month": 30 * 86400}
_ALLOWANCE = "_allowance"


def read_limits(limits: Table) -> LimitsSettings:
    """The section [limits]; what is wrong is left in its findings."""
    no_rate: Rate | None = None
    no_hours: Window | None = None
    read = LimitsSettings(
        per_person=limits.parsed("per_person", _cap, no_rate),
        distance_s=limits.parsed("distance", _distance_s, 0),
        quiet=limits.parsed("quiet", _hours, no_hours) if limits.has("quiet") else None,
    )
    limits.finish()
    return read


def _cap(text: str) -> Rate:
    count, span = parse_share(text, _SPANS_S)
    return Rate(count, _SPANS_S[span])


def _distance_s(text: str) -> int:
    seconds = parse_duration_s(text)
    if not 1 <= seconds <= LONGEST_DISTANCE_S:
        raise ValueError(f'"{text}" is outside 1s to 366d; leave the key out for no distance')
    return seconds


def _hours(text: str) -> Window:
    from sendctl.schedule import hours  # noqa: PLC0415  time zones: an idle pass without quiet hours needs none

    return hours(text)


def read_accounts(root: Table, variables: Mapping[str, Variable]) -> dict[str, AccountTable]:
    """Every account by name; one that only SENDCTL_ACCOUNTS_<NAME>_ALLOWANCE defines is named as that is written."""
    section = root.table("accounts")
    written = {as_written(name): name for name in section.data}
    given: dict[str, Variable] = {}
    for key, variable in variables.items():
        name = key.removesuffix(_ALLOWANCE)
        if name == key or not name:
            text = 'want SENDCTL_ACCOUNTS_<NAME>_ALLOWANCE, such as "10000/month"'
            root.findings.add((), text, elsewhere=f"${variable.name}")
        else:
            given[written.get(name, name.replace("_", "-"))] = variable
    return {name: _read_account(section, name, given.get(name)) for name in dict.fromkeys([*section.data, *given])}


def _read_account(section: Table, name: str, variable: Variable | None) -> AccountTable:
    try:
        plain_name(name)
    except ValueError as error:
        section.wrong(name, str(error))
    table = section.table(name, {} if variable is None else {"allowance": variable})
    none: tuple[int | None, str] = (None, "")
    allowance, period = table.parsed("allowance", _allowance, none)
    table.finish()
    return AccountTable(name, allowance, period)


def _allowance(text: str) -> tuple[int | None, str]:
    return parse_share(text, PERIODS)
