"""What `[providers.NAME] type = "smtp"` may say, checked. It never reads a secret: the password arrives resolved."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from sendctl.errors import BadConfig

# RFC 6409 (submission), RFC 8314 section 7.3 (implicit TLS), RFC 5321 section 4.5.4.2 (relay).
DEFAULT_PORTS: dict[str, int] = {"starttls": 587, "tls": 465, "none": 25}
_SECRET_KEYS = ("password_env", "password_file", "password_credential")
_TEXT_KEYS = ("host", "tls", "username", "ca_file", "local_hostname")
_COUNT_KEYS = ("port", "connections", "messages_per_connection")
_DURATION_KEYS = ("connect_timeout_s", "reply_timeout_s")
KNOWN_KEYS: tuple[str, ...] = ("type", *_TEXT_KEYS, *_COUNT_KEYS, *_DURATION_KEYS, *_SECRET_KEYS)
_HOSTNAME = re.compile(r"[A-Za-z0-9.:_\[\]-]+")  # goes into the EHLO line: no space, no control character


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

    def __post_init__(self) -> None:
        place = f"[providers.{self.name}]"
        if self.tls not in DEFAULT_PORTS:
            raise BadConfig(f"{place} tls is {self.tls!r}", hint='write tls = "starttls", "tls" or "none".')
        if self.username and self.tls == "none" and not is_loopback(self.host):
            raise BadConfig(
                f'{place} would send a password to {self.host} in clear text: tls = "none" with a username',
                hint='use tls = "starttls" or "tls", or leave out username.',
            )
        if bool(self.username) != bool(self.password):
            missing = "no password" if self.username else "a password but no username"
            raise BadConfig(f"{place} has {missing}", hint="set username and one of " + ", ".join(_SECRET_KEYS) + ".")
        # RFC 4616 section 2: NUL separates the fields of AUTH PLAIN.
        if "\0" in self.username + self.password:
            raise BadConfig(f"{place} username or password holds a NUL character", hint="remove it.")
        if self.local_hostname and not _HOSTNAME.fullmatch(self.local_hostname):
            raise BadConfig(f"{place} local_hostname is {self.local_hostname!r}", hint="write a host name.")
        self._check_ranges(place)

    def _check_ranges(self, place: str) -> None:
        if not 1 <= self.port <= 65535:
            raise BadConfig(f"{place} port is {self.port}", hint="write a port from 1 to 65535.")
        if self.connections < 1 or self.messages_per_connection < 0:
            raise BadConfig(f"{place} connections or messages_per_connection is negative or too small")
        if self.connect_timeout_s <= 0 or self.reply_timeout_s <= 0:
            raise BadConfig(f"{place} a time-out is not above 0 seconds", hint="leave it out for the default.")


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine by its name or literal address, without asking any resolver."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def settings_from_table(name: str, options: Mapping[str, object], password: str | None) -> SmtpSettings:
    """Settings from the table `[providers.NAME]`; `password` is the secret its reference resolved to, if any.

    Raises BadConfig for an unknown key (naming the nearest), a wrong type, a missing host or a contradiction.
    """
    place = f"[providers.{name}]"
    _refuse_unknown(place, options)
    texts = {key: _text(place, key, options[key]) for key in _TEXT_KEYS if key in options}
    counts = {key: _count(place, key, options[key]) for key in _COUNT_KEYS if key in options}
    durations = {key: _duration_s(place, key, options[key]) for key in _DURATION_KEYS if key in options}
    if not texts.get("host"):
        raise BadConfig(f"{place} has no host", hint='add host = "mail.example.com".')
    tls = texts.pop("tls", "starttls")
    return SmtpSettings(
        name=name,
        host=texts.pop("host"),
        port=counts.pop("port", DEFAULT_PORTS.get(tls, 25)),
        tls=tls,
        username=texts.pop("username", ""),
        password=password or "",
        connections=counts.pop("connections", 4),
        messages_per_connection=counts.pop("messages_per_connection", 0),
        ca_file=texts.pop("ca_file", ""),
        local_hostname=texts.pop("local_hostname", ""),
        **durations,
    )


def _refuse_unknown(place: str, options: Mapping[str, object]) -> None:
    for key in options:
        if key not in KNOWN_KEYS:
            nearest = difflib.get_close_matches(key, KNOWN_KEYS, n=1, cutoff=0.0)[0]
            raise BadConfig(f"{place} has an unknown key {key!r}", hint=f"did you mean {nearest!r}?")


def _text(place: str, key: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise BadConfig(f"{place} {key} is {value!r}, not a text", hint=f'write {key} = "...".')
    return value


def _count(place: str, key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadConfig(f"{place} {key} is {value!r}, not a whole number", hint=f"write {key} = NUMBER.")
    return value


def _duration_s(place: str, key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadConfig(f"{place} {key} is {value!r}, not a number of seconds", hint=f"write {key} = SECONDS.")
    return float(value)
