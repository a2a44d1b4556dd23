"""The store's URL in its one form, and the default place of the journal that belongs to it.

Opens nothing, and shows no URL in an error but redacted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from sendctl.settings.secret import redact

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")
_SQLITE = "sqlite:///"


def normalise(url: str, folder: Path) -> str:
    """`sqlite:////absolute/path` or `postgresql+psycopg://...` from any accepted form.

    Accepts sqlite:///relative.db and a bare path (relative to `folder`), sqlite:////absolute.db, and
    postgres://, postgresql:// and postgresql+psycopg:// URLs. Raises ValueError on anything else.
    """
    match = _SCHEME.match(url)
    scheme = match[1].lower() if match else ""
    if scheme in _POSTGRES:
        return "postgresql+psycopg://" + url[len(scheme) + 3 :]
    if scheme not in ("", "sqlite"):
        raise ValueError(f'"{redact(url)}" is no store: want sqlite:///file.db or postgresql://user@host/database')
    if scheme and not url.lower().startswith(_SQLITE):
        raise ValueError(f'"{url}" is no SQLite URL: want sqlite:///file.db, or sqlite:////path/to/file.db')
    if not scheme and (":" in url or "@" in url):  # a URL that lost its scheme, perhaps with a password: not shown
        raise ValueError("no scheme: want sqlite:///file.db or postgresql://user@host/database")
    name = url[len(_SQLITE) :] if scheme else url
    if not name or name.endswith("/") or ":memory:" in name or name.startswith("file:"):
        raise ValueError(f'"{url}" names no file: a store must outlive the command')
    if "?" in name or "#" in name or not name.isprintable():
        raise ValueError(f'"{redact(url)}": a SQLite URL takes a file name and no options')
    return _SQLITE + str(resolve(name, folder))


def resolve(name: str, folder: Path) -> Path:
    """The absolute path of a file named in the configuration; `~/` is the home folder."""
    return folder.absolute() / (Path(name).expanduser() if name.startswith("~/") else name)


def sqlite_path(url: str) -> Path | None:
    """The database file of a normalised URL; None for Postgres."""
    return Path(url[len(_SQLITE) :]) if url.startswith(_SQLITE) else None


def witness_folder(environ: Mapping[str, str]) -> Path | None:
    """Where this user's hosts remember how far a store had come; None when the environment has no home folder."""
    state = environ.get("XDG_STATE_HOME") or (f"{environ['HOME']}/.local/state" if environ.get("HOME") else "")
    return Path(state) / "sendctl" / "witness" if state else None


def default_journal(url: str, environ: Mapping[str, str], *, is_root: bool) -> Path | None:
    """Where journals go unless told: beside a SQLite file, else in the user's state folder.

    $XDG_STATE_HOME, else /var/lib for root, else ~/.local/state (XDG Base Directory Specification 0.8). None when
    the environment has no home folder.
    """
    database = sqlite_path(url)
    if database:
        return database.parent / "sendctl-journal"
    if environ.get("XDG_STATE_HOME"):
        return Path(environ["XDG_STATE_HOME"]) / "sendctl" / "journal"
    if is_root:
        return Path("/var/lib/sendctl/journal")
    return Path(environ["HOME"]) / ".local/state/sendctl/journal" if environ.get("HOME") else None
