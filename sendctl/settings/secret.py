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

    A file's one trailing line end is not part of the secret. A credential is a file in systemd's
    $CREDENTIALS_DIRECTORY (systemd.exec(5), "Credentials"). Raises BadConfig when it cannot be had or is empty.
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
        return _from_variable(key, target, environ)
    return _from_file(key, Path(target) if given[0] == "file" else _credential_path(key, target, environ))


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
    secret = secret.removesuffix("\n").removesuffix("\r")
    if not secret or len(raw) > SIZE_CAP_BYTES:
        raise BadConfig(f'{path} named by "{key}" is empty or larger than {SIZE_CAP_BYTES} bytes')
    return secret
