"""From a [providers.NAME] section to the provider it describes.

The only place that knows every adapter. Imports an adapter when it is first asked for, never before: a pass with
nothing due must start fast.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path

from sendctl.errors import BadConfig
from sendctl.providers.base import Provider
from sendctl.settings import ProviderTable, resolve_secret

_Build = Callable[[ProviderTable, Mapping[str, str]], Provider]


def build_provider(table: ProviderTable, environ: Mapping[str, str]) -> Provider:
    """The provider of one section; no connection is made. `environ` is where `*_env` secrets are looked up.

    Raises BadConfig for an unknown type and for whatever the adapter finds wrong with its options.
    """
    build = _ADAPTERS.get(table.type)
    if build is None:
        nearest = difflib.get_close_matches(table.type, _ADAPTERS, n=1)
        meant = f'did you mean "{nearest[0]}"? ' if nearest else ""
        raise BadConfig(
            f"{_place(table)} has unknown type {table.type!r}", hint=f"{meant}known types: {', '.join(_ADAPTERS)}."
        )
    return build(table, environ)


def _smtp(table: ProviderTable, environ: Mapping[str, str]) -> Provider:
    from sendctl.providers.smtp import smtp_from_table  # noqa: PLC0415  # lazy, see above

    return smtp_from_table(table.name, table.options, resolve_secret(table.options, "password", environ))


def _maildir(table: ProviderTable, _environ: Mapping[str, str]) -> Provider:
    from sendctl.providers.maildir import MaildirProvider  # noqa: PLC0415  # lazy, see above

    unknown = sorted(set(table.options) - {"path", "fsync"})
    if unknown:
        raise BadConfig(
            f'{_place(table)} has unknown key "{unknown[0]}"', hint="a maildir has the keys path and fsync."
        )
    path, fsync = table.options.get("path"), table.options.get("fsync", True)
    if not isinstance(path, str) or not path:
        raise BadConfig(f"{_place(table)} has no path", hint='add path = "/path/to/maildir".')
    if not isinstance(fsync, bool):
        raise BadConfig(f'{_place(table)}: "fsync" must be true or false')
    return MaildirProvider(table.name, Path(path), fsync)


def _place(table: ProviderTable) -> str:
    section = f"[providers.{table.name}]"
    return f"{table.place}: {section}" if table.place else section


_ADAPTERS: Mapping[str, _Build] = {"smtp": _smtp, "maildir": _maildir}
