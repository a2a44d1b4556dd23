"""Secrets by reference: which keys hold one, how a reference is followed, and how text is shown without one.

Never stores, logs or repeats a secret in an error message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from sendctl.errors import BadConfig

REFERENCES = ("env", "file", "credential")
SIZE_CAP_BYTES = 65536

_SECRET_KEY = re.compile(
    r"(?:.*_)?(?:password|passphrase|token|secret|api_?key|(?:private|access|signing)_key)", re.IGNORECASE
)
# What a service makes a key of. Most keys stand in a header as they are (RFC 9110 section 5.5; RFC 6750 section 2.1).
_KEY = re.compile(r"[\x21-\x7e]+")
# What people make up themselves: blanks and letters beyond ASCII may be meant, control characters may not stand in it
# (RFC 4013 section 2.3), and a half of a surrogate pair is how Python shows what is no UTF-8.
_MADE_UP = ("password", "webhook_password", "url")
_NOT_IN_TEXT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
# Greedy up to the last "@": a password may hold one, and hiding too much is the safe mistake.
_URL_PASSWORD = re.compile(r"(://[^\s:/?#@]*:)\S*@")
_QUERY_PASSWORD = re.compile(r"([?&](?:ssl)?password=)[^\s&]*", re.IGNORECASE)


def is_secret_key(key: str) -> bool:
    """Whether a key of this name would hold a secret itself: `password`, `api_key`, `webhook_secret`."""
    return _SECRET_KEY.fullmatch(key) is not None


def redact(text: str) -> str:
    """`text` with the passwords of any URLs in it replaced by `***`."""
    return _QUERY_PASSWORD.sub(r"\1***", _URL_PASSWORD.sub(r"\1***@", text))


def has_password(url: str) -> bool:
    """Whether the URL contains a password."""
    return redact(url) != url


def resolve_secret(options: Mapping[str, object], name: str, environ: Mapping[str, str]) -> str | None:
    """The secret that `<name>_env`, `<name>_file` or `<name>_credential` in `options` refers to; None without one.

    White space around a key is not part of it; of a password or URL, the line ends at the end of its file are not. A
    credential is a file in systemd's $CREDENTIALS_DIRECTORY (systemd.exec(5), "Credentials"). Raises BadConfig when it
    cannot be had, is empty, or has characters that no such secret has.
    """
    if name in options:
        raise BadConfig(f'"{name}" is given literally', hint=literal_hint(name))
    given = [kind for kind in REFERENCES if f"{name}_{kind}" in options]
    if not given:
        return None
    if len(given) > 1:
        raise BadConfig(f'"{name}" has several references: keep one of {", ".join(f"{name}_{kind}" for kind in given)}')
    key = f"{name}_{given[0]}"
    target = options[key]
    if not isinstance(target, str) or not target:
        raise BadConfig(f'"{key}" must be text in quotes')
    if given[0] == "env":
        place = f'the environment variable ${target} named by "{key}"'
        return _checked(name, _from_variable(key, target, environ), place)
    path = Path(target) if given[0] == "file" else _credential_path(key, target, environ)
    return _checked(name, _from_file(key, path).rstrip("\r\n"), f'{path} named by "{key}"')


def literal_hint(name: str) -> str:
    """What to write instead of a literal secret."""
    return (
        f'keep the secret out of the file: {name}_env = "VARIABLE", {name}_file = "/path/to/file", '
        f'or {name}_credential = "NAME" (systemd LoadCredential=).'
    )


def _from_variable(key: str, variable: str, environ: Mapping[str, str]) -> str:
    if not environ.get(variable):
        raise BadConfig(f'the environment variable ${variable} named by "{key}" is not set or empty')
    return environ[variable]


def _credential_path(key: str, name: str, environ: Mapping[str, str]) -> Path:
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise BadConfig(
            f'"{key}" needs $CREDENTIALS_DIRECTORY, which is not set',
            hint=f"only systemd units have it: add LoadCredential={name}:/path/to/file to the unit.",
        )
    if "/" in name or name in (".", ".."):
        raise BadConfig(f'"{key}" must be the name of a credential, not a path')
    return Path(folder) / name


def _from_file(key: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(SIZE_CAP_BYTES + 1)
        secret = raw.decode("utf-8")
    except OSError as error:
        raise BadConfig(f'cannot read {path} named by "{key}": {error.strerror}') from None
    except UnicodeDecodeError:
        raise BadConfig(f'{path} named by "{key}" is not UTF-8 text') from None
    if len(raw) > SIZE_CAP_BYTES:
        raise BadConfig(f'{path} named by "{key}" is larger than {SIZE_CAP_BYTES} bytes')
    return secret


def _checked(name: str, secret: str, place: str) -> str:
    """The secret without what is not part of it. Raises BadConfig, naming its place, for what cannot be one."""
    text = secret if name in _MADE_UP else secret.strip()
    if not text:
        raise BadConfig(f"{place} is empty")
    if name in _MADE_UP and _NOT_IN_TEXT.search(text):
        raise BadConfig(f"{place} has a line end, another control character or what is no UTF-8 text in it")
    if name not in _MADE_UP and not _KEY.fullmatch(text):
        raise BadConfig(
            f"{place} has a blank, a line end or a character beyond ASCII in it",
            hint="no service makes such a key: copy it anew, alone.",
        )
    return text
