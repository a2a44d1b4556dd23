"""What a relay's section says, with its defaults. It never reads a secret: the password arrives resolved.

Keys, forms and bounds were checked when the section was read, by settings/provider_options.py; what would betray a
password is refused here once more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sendctl.errors import BadConfig
from sendctl.settings.provider_options import smtp_conflicts

# RFC 6409 (submission), RFC 8314 section 7.3 (implicit TLS), RFC 5321 section 4.5.4.2 (relay).
DEFAULT_PORTS: dict[str, int] = {"starttls": 587, "tls": 465, "none": 25}


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """One relay. `connect_timeout_s` bounds the whole set-up (DNS to AUTH), `reply_timeout_s` one reply before the dot.

    After the dot only the message's own deadline ends the wait: a shorter limit would only make doubt.
    `messages_per_connection` 0 means no limit; `ca_file` is trusted besides the system's authorities.
    """

    name: str
    host: str
    port: int
    tls: str = "starttls"  # starttls | tls | none
    username: str = ""
    password: str = field(default="", repr=False)
    connections: int = 4
    connect_timeout_s: float = 15.0
    reply_timeout_s: float = 60.0
    ca_file: str = ""
    local_hostname: str = ""  # empty: the address literal of our end of the connection
    messages_per_connection: int = 0
    pipelining: bool = True  # where the server offers it

    def __post_init__(self) -> None:
        found = smtp_conflicts(
            host=self.host, username=self.username, local_hostname=self.local_hostname, tls=self.tls,
            has_password=bool(self.password),
        )  # fmt: skip
        problems = [problem for _, problem in found]
        if "\0" in self.password:  # RFC 4616 section 2, as in a username
            problems.append("the password holds a NUL character")
        if problems:
            raise BadConfig(f"[providers.{self.name}] {'; '.join(problems)}")


def settings_from_table(name: str, options: Mapping[str, object], password: str | None) -> SmtpSettings:
    """Settings from the checked options of `[providers.NAME]`; `password` is what its reference resolved to, if any.

    Raises BadConfig for a password that must not be sent like this.
    """
    given: dict[str, Any] = {key: value for key, value in options.items() if not key.startswith("password_")}
    given.setdefault("port", DEFAULT_PORTS[given.get("tls", "starttls")])
    return SmtpSettings(name=name, password=password or "", **given)
