"""What each type of provider takes: its keys, their forms and bounds, and which of them contradict each other.

A static table, so that every command checks a section whole without importing its adapter. Never follows a reference
to a secret: whether that can be had is asked by sending.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sendctl.settings.secret import REFERENCES
from sendctl.settings.store_url import resolve
from sendctl.tomlfile import Table
from sendctl.tomlfile.tables import printable

# Letters of any script: the resolver knows their ASCII form. An address of IPv6 stands without brackets.
_HOST = r"\w(?:[\w-]*\w)?(?:\.\w(?:[\w-]*\w)?)*\.?|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:%\w+)?"
_HOST_MAX_CHARACTERS = 253  # RFC 1035 section 2.3.4
_HOSTNAME = r"[A-Za-z0-9.:_\[\]-]+"  # goes into the EHLO line: no space, no control character


@dataclass(frozen=True, slots=True)
class Option:
    """One key of an adapter. `form` is text, file, word, whole, seconds, flag or secret.

    Numbers lie between `least` and `most`, words are among `choices`. `needed`: an example where the key must be given.
    `receives`: only webhooks are checked with it, so that a pass sends without it.
    """

    form: str
    least: float = 0
    most: float = 0
    choices: tuple[str, ...] = ()
    needed: str = ""
    receives: bool = False


_TIMEOUT = Option("seconds", 0.1, 3600)
_DAY_S = 86400.0


def _absent_after(kept_s: float) -> Option:
    """How long an index lags at most, says the operator. At `kept_s` the service may have forgotten what it had."""
    return Option("seconds", 600, kept_s / 2)


_HTTP: Mapping[str, Option] = {
    "base_url": Option("text"),
    "connections": Option("whole", 1, 100),
    "connect_timeout_s": _TIMEOUT,
    "ca_file": Option("file"),
    "pull_events": Option("flag"),
}

OPTIONS: Mapping[str, Mapping[str, Option]] = {
    "smtp": {
        "host": Option("text", needed='such as "smtp.shop.example"'),
        "port": Option("whole", 1, 65535),
        "tls": Option("word", choices=("starttls", "tls", "none")),
        "username": Option("text"),
        "password": Option("secret"),
        "connections": Option("whole", 1, 1000),
        "messages_per_connection": Option("whole", 0, 1_000_000),
        "connect_timeout_s": _TIMEOUT,
        "reply_timeout_s": _TIMEOUT,
        "pipelining": Option("flag"),
        "ca_file": Option("file"),
        "local_hostname": Option("text"),
    },
    "maildir": {
        "path": Option("file", needed='such as "/var/lib/sendctl/outbox"'),
        "fsync": Option("flag"),
    },
    "resend": {
        "api_key": Option("secret", needed="RESEND_API_KEY"),
        "webhook_secret": Option("secret", receives=True),
        **_HTTP,
    },
    "postmark": {
        "server_token": Option("secret", needed="POSTMARK_SERVER_TOKEN"),
        "message_stream": Option("text"),
        "webhook_username": Option("text"),
        "webhook_password": Option("secret", receives=True),
        "absent_after_s": _absent_after(7 * _DAY_S),
        **_HTTP,
    },
    "sendgrid": {
        "api_key": Option("secret", needed="SENDGRID_API_KEY"),
        "webhook_public_key": Option("text"),
        "absent_after_s": _absent_after(3 * _DAY_S),
        **_HTTP,
    },
    "mailgun": {
        "api_key": Option("secret", needed="MAILGUN_API_KEY"),
        "domain": Option("text", needed='such as "mg.shop.example"'),
        "webhook_signing_key": Option("secret", receives=True),
        "absent_after_s": _absent_after(_DAY_S),
        **_HTTP,
    },
    "ses": {
        "region": Option("text", needed='such as "eu-central-1"'),
        "access_key_id": Option("text", needed="the id of the key, such as AKIA..."),
        "secret_access_key": Option("secret", needed="AWS_SECRET_ACCESS_KEY"),
        "session_token": Option("secret"),
        "configuration_set": Option("text"),
        "sns_topic_arn": Option("text"),
        "sns_certificate_file": Option("file"),
        "sqs_queue_url": Option("text"),
        **_HTTP,
    },
    "twilio": {
        "account_sid": Option("text", needed="the account's SID, such as AC..."),
        "auth_token": Option("secret", needed="TWILIO_AUTH_TOKEN"),
        "messaging_service_sid": Option("text"),
        "sender": Option("text"),
        "status_callback": Option("text"),
        **_HTTP,
    },
    "file": {
        "path": Option("file", needed='such as "/var/lib/sendctl/sms.jsonl"'),
        "fsync": Option("flag"),
    },
}

# What each type carries: the adapters say the same (Capabilities.channels), but nobody imports them to ask.
CHANNELS: Mapping[str, tuple[str, ...]] = {
    kind: ("sms",) if kind in ("file", "twilio") else ("email",) for kind in OPTIONS
}


def secret_keys(kind: str, *, to_send: bool = False) -> list[str]:
    """The options of a type that are secrets; `to_send`: without those that only webhooks are checked with."""
    secrets = {key: option for key, option in OPTIONS.get(kind, {}).items() if option.form == "secret"}
    return [key for key, option in secrets.items() if not (to_send and option.receives)]


def read_options(table: Table, kind: str, folder: Path) -> dict[str, object]:
    """The options of a section of a known type; what is wrong is left in the table's findings.

    A secret is there as its one reference, `password_env` and the like. Relative file names belong to `folder`.
    """
    options: dict[str, object] = {}
    for key, option in OPTIONS[kind].items():
        if option.form == "secret":
            found = reference(table, key, folder)
            if option.needed and not found:
                table.missing(f"{key}_env", f'the name of a variable, such as "{option.needed}"')
            options |= found
        elif table.has(key):
            options[key] = _value(table, key, option, folder)
        elif option.needed:
            table.missing(key, option.needed)
    if kind == "smtp":
        _check_smtp(table, options)
    if kind == "ses":
        _check_queue(table, options)
    if "base_url" in options:
        _check_url(table, "base_url", str(options["base_url"]))
    return options


def _value(table: Table, key: str, option: Option, folder: Path) -> object:
    match option.form:
        case "whole":
            least = int(option.least)
            return table.integer(key, least, least=least, most=int(option.most))
        case "seconds":
            return table.number(key, option.least, least=option.least, most=option.most)
        case "flag":
            return table.boolean(key, False)
        case "word":
            return table.word(key, option.choices[0], option.choices)
    before = len(table.findings.problems)
    text = table.text(key)
    if not text and len(table.findings.problems) == before:
        table.wrong(key, f'"{key}" is empty')
    return str(resolve(text, folder)) if text and option.form == "file" else text


def reference(table: Table, key: str, folder: Path) -> dict[str, object]:
    """Where a secret is to be found: a variable goes before the file; a secret in a variable is a reference to it."""
    names = [f"{key}_{kind}" for kind in REFERENCES]
    given = [name for name in (key, *names) if table.has(name) and name in table.variables]
    given = given or [name for name in names if name in table.data]
    if not given:
        return {}
    if len(given) > 1:
        table.wrong(given[1], f'several references to "{key}": keep one of {", ".join(given)}')
    if given[0] == key:
        return {f"{key}_env": table.variables[key].name}
    target = table.text(given[0])
    return {given[0]: str(resolve(target, folder)) if target and given[0].endswith("_file") else target}


def _check_queue(table: Table, options: Mapping[str, object]) -> None:
    """Events of SES come through a queue, or not at all."""
    if options.get("pull_events") is True and "sqs_queue_url" not in options:
        table.missing("sqs_queue_url", 'such as "https://sqs.eu-central-1.amazonaws.com/123456789012/ses-events"')
    elif "sqs_queue_url" in options and options.get("pull_events") is not True:
        table.wrong("sqs_queue_url", '"sqs_queue_url" is read with pull_events = true alone: add it, or leave this out')
    if "sqs_queue_url" in options:
        _check_url(table, "sqs_queue_url", str(options["sqs_queue_url"]))


def _check_url(table: Table, key: str, text: str) -> None:
    """A key must not travel in clear text, but to this machine."""
    url = urlsplit(text)
    try:
        host, _ = url.hostname or "", url.port
    except ValueError:
        host = ""
    if url.scheme not in ("https", "http") or not host or url.query or url.fragment or url.username is not None:
        table.wrong(key, f'"{key}" is "{printable(text)}": want "https://HOST", perhaps with a path')
    elif url.scheme == "http" and not is_loopback(host):
        table.wrong(key, f'"{key}" is "{printable(text)}": the key would go to {host} in clear text')


def _check_smtp(table: Table, options: Mapping[str, object]) -> None:
    texts = {key: str(options.get(key, "")) for key in ("host", "username", "local_hostname")}
    references = [name for name in options if name.startswith("password_")]
    found = smtp_conflicts(**texts, tls=str(options.get("tls", "")), has_password=bool(references))
    for key, problem in found:
        given = [name for name in ("password", *references) if table.has(name)] if key == "password" else [key]
        table.wrong(given[0], problem)


def smtp_conflicts(
    *, host: str, username: str, local_hostname: str, tls: str, has_password: bool
) -> Iterator[tuple[str, str]]:
    """(key, problem) for each thing that a relay's settings must not say together."""
    if host and (len(host) > _HOST_MAX_CHARACTERS or not re.fullmatch(_HOST, host)):
        yield "host", f'"host" is "{printable(host)}", no host name and no address: want "smtp.shop.example"'
    if username and tls == "none" and host and not is_loopback(host):
        yield "tls", f'"tls" is "none" with a username: the password would go to {host} in clear text'
    if username and not has_password:
        yield "username", '"username" has no password: add password_env, password_file or password_credential'
    if has_password and not username:
        yield "password", "a password without a username: add username"
    # RFC 4616 section 2: NUL separates the fields of AUTH PLAIN.
    if "\0" in username:
        yield "username", '"username" holds a NUL character'
    if local_hostname and not re.fullmatch(_HOSTNAME, local_hostname):
        yield "local_hostname", '"local_hostname" is no host name'


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine by its name or literal address, without asking any resolver."""
    import ipaddress  # noqa: PLC0415  most sections never ask, and every pass would pay

    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
