"""What a configuration must have besides before this host sends: a provider, and at hand what its section refers to.

Only `send-due` asks: whoever looks or recovers need not know a secret. Never shows one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from sendctl.errors import BadConfig
from sendctl.settings.loading import bad_config, read_file
from sendctl.settings.model import ProviderTable, Settings
from sendctl.settings.provider_options import secret_keys
from sendctl.settings.secret import resolve_secret
from sendctl.tomlfile import Findings, TomlError

CA_CAP_BYTES = 4 << 20  # several times what all authorities of a system take
_CERTIFICATE = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----")  # what OpenSSL reads: PEM_read_bio(3)


def check_sending(settings: Settings, environ: Mapping[str, str]) -> None:
    """Raises BadConfig when no provider is configured, or with every file or secret that cannot be had."""
    if not settings.providers:
        raise BadConfig(
            "sending is enabled, and no provider is configured on this host",
            hint="write a section [providers.NAME]; docs/configuration.md explains them.",
        )
    lacking = {
        (table.name, key): problem
        for table in settings.providers.values()
        for key, problem in lacking_of(table, environ, to_send=True)
    }
    if not lacking:
        return
    try:
        findings = Findings(read_file(settings.path))  # again: places are looked for only when something is wrong
        for (provider, key), problem in lacking.items():
            findings.add(("providers", provider, key), problem)
        findings.check()
    except TomlError as error:
        raise bad_config(error) from None


def lacking_of(
    table: ProviderTable, environ: Mapping[str, str], *, to_send: bool = False
) -> Iterator[tuple[str, str]]:  # fmt: skip
    """(key, problem) for each file and secret of a section that cannot be had; `to_send`: that sending needs."""
    for name in secret_keys(table.type, to_send=to_send):
        yield from _lacking(table.options, name, environ)
    if "ca_file" in table.options:
        problem = _without_certificate(Path(str(table.options["ca_file"])))
        if problem:
            yield "ca_file", problem


def _without_certificate(path: Path) -> str:
    """Why there is no certificate to trust in a file, or "". Whether it is a good one, TLS says."""
    try:
        with path.open("rb") as file:
            found = _CERTIFICATE.search(file.read(CA_CAP_BYTES))
    except OSError as error:
        return f'cannot read {path} named by "ca_file": {error.strerror}'
    return "" if found else f'{path} named by "ca_file" has no certificate in PEM form'


def _lacking(options: Mapping[str, object], name: str, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    try:
        resolve_secret(options, name, environ)
    except BadConfig as error:
        key = next(key for key in options if key.startswith(f"{name}_"))
        return [(key, f"{error}; {error.hint}".rstrip("; ."))]
    return []
