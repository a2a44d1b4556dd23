"""From a [providers.NAME] section to the provider it describes.

The only place that knows every adapter. Imports an adapter when it is first asked for, never before: a pass with
nothing due must start fast. Sections were checked when they were read, by settings/provider_options.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sendctl.providers.base import Provider
from sendctl.settings import ProviderTable, resolve_secret

_Build = Callable[[ProviderTable, Mapping[str, str]], Provider]


def build_provider(table: ProviderTable, environ: Mapping[str, str]) -> Provider:
    """The provider of one section; no connection is made. `environ` is where `*_env` secrets are looked up.

    Raises BadConfig for a secret that cannot be had.
    """
    return _ADAPTERS[table.type](table, environ)


def _smtp(table: ProviderTable, environ: Mapping[str, str]) -> Provider:
    from sendctl.providers.smtp import smtp_from_table  # noqa: PLC0415  # lazy, see above

    return smtp_from_table(table.name, table.options, resolve_secret(table.options, "password", environ))


def _maildir(table: ProviderTable, _environ: Mapping[str, str]) -> Provider:
    from sendctl.providers.maildir import MaildirProvider  # noqa: PLC0415  # lazy, see above

    return MaildirProvider(table.name, Path(str(table.options["path"])), table.options.get("fsync") is not False)


_ADAPTERS: Mapping[str, _Build] = {"smtp": _smtp, "maildir": _maildir}
