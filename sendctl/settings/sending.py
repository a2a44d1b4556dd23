"""What a configuration must have besides before this host sends: a provider, and each provider's secrets at hand.

Only `send-due` asks: whoever looks or recovers need not know a secret. Never shows one.
"""

from __future__ import annotations

from collections.abc import Mapping

from sendctl.errors import BadConfig
from sendctl.settings.loading import bad_config, read_file
from sendctl.settings.model import Settings
from sendctl.settings.provider_options import secret_keys
from sendctl.settings.secret import resolve_secret
from sendctl.tomlfile import Findings, TomlError


def check_sending(settings: Settings, environ: Mapping[str, str]) -> None:
    """Raises BadConfig when no provider is configured, or with every secret that cannot be had and its place."""
    if not settings.providers:
        raise BadConfig(
            "sending is enabled, and no provider is configured on this host",
            hint="write a section [providers.NAME]; docs/configuration.md explains them.",
        )
    lacking = {
        (table.name, key): problem
        for table in settings.providers.values()
        for name in secret_keys(table.type)
        for key, problem in _lacking(table.options, name, environ)
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


def _lacking(options: Mapping[str, object], name: str, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    try:
        resolve_secret(options, name, environ)
    except BadConfig as error:
        key = next(key for key in options if key.startswith(f"{name}_"))
        return [(key, f"{error}; {error.hint}".rstrip("; ."))]
    return []
