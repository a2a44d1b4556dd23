"""The store's URL in its one form, and the default place of the journal that belongs to it.

Opens nothing, and shows no URL in an error but redacted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from sendctl.settings.secret import redact

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")
_SQLITE = "sqlite:///"
# As SQLAlchemy divides a URL: a password may hold what a stricter reading would take for the end of the host.
_POSTGRES_REST = re.compile(
    r"(?:[^:/]*(?::[^@]*)?@)?(?:\[[^/?\]]+\]|[^/:?]+)?(?::(?P<port>[^/?]*))?(?:/[^?]*)?(?:\?(?P<options>.*))?"
)
_PLACE_OPTIONS = ("host", "hostaddr", "port", "dbname", "service")
_WHOLE_OPTIONS = ("connect_timeout", "keepalives_idle", "keepalives_interval", "tcp_user_timeout")


def normalise(url: str, folder: Path) -> str:
    """`sqlite:////absolute/path` or `postgresql+psycopg://...` from any accepted form.

    Accepts sqlite:///relative.db and a bare path (relative to `folder`), sqlite:////absolute.db, and
    postgres://, postgresql:// and postgresql+psycopg:// URLs. Raises ValueError on anything else.
    """
    match = _SCHEME.match(url)
    scheme = match[1].lower() if match else ""
    if scheme in _POSTGRES:
        _check_postgres(url[len(scheme) + 3 :])
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


def _check_postgres(rest: str) -> None:
    """What a driver would take for a defect of the program. Never shows what stands before the "@"."""
    match = _POSTGRES_REST.fullmatch(rest)
    if match is None:
        raise ValueError("no Postgres URL: want postgresql://user@host:port/database?option=value")
    port = match["port"]
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f'the port "{port}" is no number from 1 to 65535')
    for option in (match["options"] or "").split("&"):
        name, _, value = option.partition("=")
        if name in _WHOLE_OPTIONS and not (value.isascii() and value.isdigit()):
            raise ValueError(f'"{name}" is "{value}": want whole seconds')


def resolve(name: str, folder: Path) -> Path:
    """The absolute path of a file named in the configuration; `~/` is the home folder."""
    return folder.absolute() / (Path(name).expanduser() if name.startswith("~/") else name)


def sqlite_path(url: str) -> Path | None:
    """The database file of a normalised URL; None for Postgres."""
    return Path(url[len(_SQLITE) :]) if url.startswith(_SQLITE) else None


def place_of_store(url: str) -> str:
    """Where the store of a normalised URL is, whoever asks for it: the real path of its file, or host/database."""
    database = sqlite_path(url)
    if database is not None:
        return os.path.realpath(database)
    plain, _, options = url.partition("://")[2].partition("?")
    named = sorted(option for option in options.split("&") if option.partition("=")[0] in _PLACE_OPTIONS)
    return "?".join([plain.rpartition("@")[2].replace(":5432/", "/"), *(["&".join(named)] if named else [])])


def witness_folders(url: str, journal: Path, environ: Mapping[str, str], *, user_id: int) -> tuple[Path, ...]:
    """Where it is remembered how far a store had come, unless told: the user's state folder, else under /var/tmp.

    Never inside of the folder of the store or of the journals: what is put back together must not vouch for itself.
    """
    state = environ.get("XDG_STATE_HOME") or (f"{environ['HOME']}/.local/state" if environ.get("HOME") else "")
    database = sqlite_path(url)
    kept = [journal, *([database.parent] if database else [])]
    wanted = [Path(state) / "sendctl/witness"] if state else []
    wanted.append(Path(f"/var/tmp/sendctl-{user_id}"))  # noqa: S108  not temporary: it outlives a boot (FHS 5.15)
    return tuple(path for path in wanted if not any(_inside(path, folder) for folder in kept))


def _inside(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


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
