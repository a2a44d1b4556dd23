"""What the section of any service says, with its defaults. Secrets are the services' own.

Keys, forms and bounds were checked when the section was read, by settings/provider_options.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CONNECTIONS = 4
CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """One account. `base_url` has no slash at its end; https, but for this machine.

    `connect_timeout_s` bounds DNS, TCP and TLS together. Once the body may have left, only the message's own deadline
    ends the wait: a shorter limit would only make doubt. `ca_file` is trusted besides the system's authorities.
    """

    name: str
    base_url: str
    connections: int = CONNECTIONS
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    ca_file: str = ""


def settings_from_table(name: str, options: Mapping[str, object], *, base_url: str) -> HttpSettings:
    """Settings from the checked options of `[providers.NAME]`; `base_url` is the service's own."""
    return HttpSettings(
        name=name,
        base_url=str(options.get("base_url", base_url)).rstrip("/"),
        connections=int(str(options.get("connections", CONNECTIONS))),
        connect_timeout_s=float(str(options.get("connect_timeout_s", CONNECT_TIMEOUT_S))),
        ca_file=str(options.get("ca_file", "")),
    )
