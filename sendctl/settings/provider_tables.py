"""The [providers.NAME] sections and their variables, merged; options are left for the adapter to check.

Refuses a secret written literally in the file. A secret in a variable becomes a reference to that variable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sendctl.definition import Rate
from sendctl.durations import parse_rate
from sendctl.settings.environment import as_written, plain_value, provider_names, provider_of
from sendctl.settings.model import ProviderTable
from sendctl.settings.secret import REFERENCES, is_secret_key, literal_hint
from sendctl.settings.store_url import resolve
from sendctl.tomlfile import Findings, Table, Variable
from sendctl.tomlfile.tables import nearest, plain_name, printable

_OWN_KEYS = ("type", "rate")


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
            by_name[owner][key.removeprefix(as_written(owner) + "_")] = variable
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


def check_ordered(send: Table, ordered: Sequence[str], providers: Mapping[str, ProviderTable]) -> None:
    """Note each name in [send] that no section defines."""
    for name in ordered:
        if name not in providers:
            advice = nearest(name, providers) or f"write a section [providers.{printable(name)}]"
            send.wrong("providers", f'"providers" names "{printable(name)}", which no section defines; {advice}')


def _read_provider(table: Table, name: str, folder: Path) -> ProviderTable:
    if not table.has("type"):
        table.missing("type", 'such as "smtp" or "maildir"')
    no_rate: Rate | None = None
    return ProviderTable(
        name=name,
        type=table.text("type"),
        options=_options(table, folder),
        rate=table.parsed("rate", parse_rate, no_rate),
        place=table.findings.place(table.path) if table.data else "environment",
    )


def _options(table: Table, folder: Path) -> dict[str, object]:
    _refuse_literals(table.findings, table.path, table.data)
    from_variables = {key: variable for key, variable in table.variables.items() if key not in _OWN_KEYS}
    replaced = {base for key in from_variables if (base := _secret_of(key))}
    options = {
        key: value for key, value in table.data.items() if key not in _OWN_KEYS and _secret_of(key) not in replaced
    }
    for key, variable in from_variables.items():
        if is_secret_key(key):
            options[f"{key}_env"] = variable.name
        else:
            options[key] = plain_value(variable.text)
    return {key: _absolute(key, value, folder) for key, value in options.items()}


def _secret_of(key: str) -> str:
    """The secret that `key` is or refers to: `password` for `password_file`; empty for other keys."""
    base, _, kind = key.rpartition("_")
    if kind in REFERENCES and is_secret_key(base):
        return base
    return key if is_secret_key(key) else ""


def _refuse_literals(findings: Findings, path: tuple[str | int, ...], data: Mapping[str, object]) -> None:
    for key, value in data.items():
        if isinstance(value, dict):
            _refuse_literals(findings, (*path, key), value)
        elif is_secret_key(key):
            findings.add((*path, key), f'"{key}" is a secret written in the file; {literal_hint(key)}')


def _absolute(key: str, value: object, folder: Path) -> object:
    names_file = key == "path" or key.endswith(("_file", "_path"))
    return str(resolve(value, folder)) if names_file and isinstance(value, str) and value else value
