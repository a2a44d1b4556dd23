"""The [providers.NAME] sections and their variables, merged and checked against what their types take.

Refuses a secret written literally in the file. A secret in a variable becomes a reference to that variable.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from sendctl.durations import Rate, parse_rate
from sendctl.prices import Prices, parse_prices
from sendctl.settings.environment import as_written, provider_names, provider_of, unquoted
from sendctl.settings.model import ProviderTable
from sendctl.settings.provider_options import CHANNELS, OPTIONS, read_options
from sendctl.settings.secret import is_secret_key, literal_hint
from sendctl.tomlfile import Findings, Table, Variable
from sendctl.tomlfile.tables import nearest, plain_name, printable

_PRICES = "price_per_segment"


def read_providers(
    root: Table, variables: Mapping[str, Variable], ordered: Sequence[str], folder: Path
) -> dict[str, ProviderTable]:
    """Every provider by name. `ordered` are the names in [send]; relative file names belong to `folder`."""
    section = root.table("providers")
    names = provider_names([*section.data, *ordered], variables)
    by_name: dict[str, dict[str, Variable]] = {name: {} for name in names}
    for key, variable in variables.items():
        owner = provider_of(key, names)
        if owner is None:
            text = f'no provider of that name; {", ".join(names) or "none"} known, and a "_TYPE" variable makes one'
            root.findings.add((), text, elsewhere=f"${variable.name}")
        else:
            by_name[owner][key.removeprefix(as_written(owner) + "_")] = unquoted(variable)
    _check_names(section, names)
    tables = {name: section.table(name, by_name[name]) for name in names if name in section.data or by_name[name]}
    # What is no table has been noted as such: more about it would only confuse.
    usable = {name: table for name, table in tables.items() if isinstance(section.data.get(name, {}), dict)}
    return {name: _read_provider(table, name, folder) for name, table in usable.items()}


def _check_names(section: Table, names: Sequence[str]) -> None:
    written = [as_written(name) for name in names]
    for name in names:
        try:
            plain_name(name)
        except ValueError as error:
            section.wrong(name, str(error))
        if written.count(as_written(name)) > 1:
            section.wrong(name, f'"{printable(name)}" has the same variables as another provider: rename one')


def check_names(table: Table, key: str, names: Sequence[str], providers: Collection[str]) -> None:
    """Note each name under `key` that no section defines."""
    for name in names:
        if name not in providers:
            advice = nearest(name, providers) or f"write a section [providers.{printable(name)}]"
            table.wrong(key, f'"{key}" names "{printable(name)}", which no section defines; {advice}')


def _read_provider(table: Table, name: str, folder: Path) -> ProviderTable:
    no_rate: Rate | None = None
    rate = table.parsed("rate", parse_rate, no_rate)
    kind = table.text("type")
    # A secret in the file is told of as such, and not once more as a key that nobody knows.
    table.known.update(_refuse_literals(table.findings, table.path, table.data))
    options: dict[str, object] = {}
    prices = _read_prices(table, kind)
    if not table.has("type"):
        table.missing("type", f"one of {', '.join(OPTIONS)}")
    elif kind in OPTIONS:
        options = read_options(table, kind, folder)
        table.finish()
    elif kind:
        known = f"known types: {', '.join(OPTIONS)}"
        table.wrong("type", f'"type" is "{printable(kind)}"; {nearest(kind, OPTIONS) or known}')
    return ProviderTable(name, kind, options, rate, prices)


def _read_prices(table: Table, kind: str) -> Prices | None:
    """One price as text, or several in a list."""
    if kind in OPTIONS and "sms" not in CHANNELS[kind]:
        return None  # a key that nobody knows, there
    if not table.has(_PRICES):
        return None
    single = isinstance(table.data.get(_PRICES), str) and _PRICES not in table.variables
    before = len(table.findings.problems)
    texts = (table.text(_PRICES),) if single else table.words(_PRICES)
    if len(table.findings.problems) > before:
        return None
    try:
        return parse_prices(texts)
    except ValueError as error:
        table.wrong(_PRICES, f'"{_PRICES}": {printable(str(error), 300)}')
        return None


def _refuse_literals(findings: Findings, path: tuple[str | int, ...], data: Mapping[str, object]) -> list[str]:
    """Note each secret that is written in the file; returns the keys of the topmost table that are one."""
    found = []
    for key, value in data.items():
        if isinstance(value, dict):
            _refuse_literals(findings, (*path, key), value)
        elif is_secret_key(key):
            findings.add((*path, key), f'"{key}" is a secret written in the file; {literal_hint(key)}')
            found.append(key)
    return found
