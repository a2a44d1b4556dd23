"""Finding sendctl.toml, and reading it together with the SENDCTL_ variables into `Settings`.

A variable wins over the file. Never reads the process's own environment: the caller hands it over.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

from sendctl.errors import BadConfig
from sendctl.settings import store_url
from sendctl.settings.environment import section_variables
from sendctl.settings.limit_tables import read_accounts, read_limits
from sendctl.settings.model import (
    MOST_WORKERS,
    EventsSettings,
    JournalSettings,
    LettersSettings,
    ReconcileSettings,
    SendSettings,
    Settings,
    StoreSettings,
)
from sendctl.settings.provider_options import reference
from sendctl.settings.provider_tables import check_names, read_providers
from sendctl.settings.secret import REFERENCES, has_password, literal_hint, resolve_secret
from sendctl.tomlfile import Document, Findings, Table, TomlError, read_document

SIZE_CAP_BYTES = 1 << 20

_URL_KEYS = ("url", *(f"url_{kind}" for kind in REFERENCES))
_YEAR_S = 366 * 86400.0


def load_settings(explicit: Path | None, environ: Mapping[str, str], cwd: Path) -> Settings:
    """The settings of this host; `explicit` is the --config option, `environ` usually os.environ.

    Relative file names belong to the configuration's folder, or to `cwd` without one. Raises BadConfig with every
    problem and its "file:line:column" or "$VARIABLE", and when no store is named anywhere.
    """
    path = find_config(explicit, environ, cwd)
    try:
        findings = Findings(read_file(path))
        settings = read_settings(findings, environ, path.parent if path else cwd)
        findings.check()
        return settings
    except TomlError as error:
        raise bad_config(error) from None


def read_file(path: Path | None) -> Document:
    """The parsed file; an empty document where there is none. Raises TomlError."""
    return read_document(path, cap_bytes=SIZE_CAP_BYTES) if path else Document(None, "", {})


def find_config(explicit: Path | None, environ: Mapping[str, str], cwd: Path) -> Path | None:
    """The file to read: a named one even if it does not exist, else the first of the usual places that does."""
    if explicit or environ.get("SENDCTL_CONFIG"):
        return cwd / (explicit or environ["SENDCTL_CONFIG"])
    return next((path for path in usual_places(environ, cwd) if os.path.lexists(path)), None)


def usual_places(environ: Mapping[str, str], cwd: Path) -> list[Path]:
    """Where a configuration is looked for when none is named, in order."""
    home = [Path(environ["HOME"], ".config")] if environ.get("HOME") else []
    users = [Path(environ["XDG_CONFIG_HOME"])] if environ.get("XDG_CONFIG_HOME") else home
    return [
        cwd / "sendctl.toml",
        *(folder / "sendctl" / "sendctl.toml" for folder in users),
        Path("/etc/sendctl/sendctl.toml"),
    ]


def bad_config(error: TomlError) -> BadConfig:
    """All that is wrong with a configuration, as one error."""
    lines = [f"{place}: {text}" for place, text in error.found]
    if len(lines) > 1:
        lines = [f"{len(lines)} problems in the configuration", *(f"  {line}" for line in lines)]
    return BadConfig("\n".join(lines), hint="docs/configuration.md explains every key.")


def read_settings(findings: Findings, environ: Mapping[str, str], folder: Path) -> Settings:
    """Read all sections; what is wrong is left in `findings`."""
    root = findings.root()
    variables = section_variables(environ, _referenced(findings.document.data))
    store = _read_store(root.table("store", variables["store"]), environ, folder)
    send_table = root.table("send", variables["send"])
    send = _read_send(send_table)
    providers = read_providers(root, variables["providers"], send.providers, folder)
    check_names(send_table, "providers", send.providers, providers)
    settings = Settings(
        path=findings.document.path,
        store=store,
        send=send,
        providers=providers,
        journal=_read_journal(root.table("journal", variables["journal"]), store, environ, folder),
        reconcile=_read_reconcile(root.table("reconcile", variables["reconcile"]), folder, providers),
        events=_read_events(root.table("events", variables["events"]), folder),
        limits=read_limits(root.table("limits", variables["limits"])),
        accounts=read_accounts(root, variables["accounts"]),
        letters=_read_letters(root.table("letters", variables["letters"]), folder),
    )
    root.finish()
    return settings


def _referenced(data: object) -> set[str]:
    """The variables that `*_env` keys anywhere in the file name."""
    if not isinstance(data, dict):
        return set()
    found = {value for key, value in data.items() if key.endswith("_env") and isinstance(value, str)}
    return found.union(*(_referenced(value) for value in data.values()))


def _read_store(store: Table, environ: Mapping[str, str], folder: Path) -> StoreSettings:
    present = [key for key in _URL_KEYS if store.has(key)]
    given = [key for key in present if key in store.variables] or present
    store.finish()
    if not given:
        _no_store(store, environ)
    elif len(given) > 1:
        store.wrong(given[1], f"several places for the URL: keep one of {', '.join(given)}")
    elif given == ["url"]:
        url = store.parsed("url", partial(store_url.normalise, folder=folder), "")
        _check_mode(store, url)
        return StoreSettings(url)
    else:
        return StoreSettings(_referenced_url(store, given[0], environ, folder))
    return StoreSettings("")


def _no_store(store: Table, environ: Mapping[str, str]) -> None:
    if store.findings.document.path is None and not store.findings.problems:
        raise BadConfig(
            "no configuration: found no sendctl.toml here, in the user's configuration folder or in /etc/sendctl",
            hint="run `sendctl init` to write one, name one with --config, or set SENDCTL_STORE_URL.",
        )
    store.missing("url", 'such as "sqlite:///sendctl.db" or "postgresql://user@host/database"')


def _referenced_url(store: Table, key: str, environ: Mapping[str, str], folder: Path) -> str:
    target = store.text(key)
    if key == "url_file" and target:
        target = str(store_url.resolve(target, folder))
    try:
        return store_url.normalise(resolve_secret({key: target}, "url", environ) or "", folder)
    except (BadConfig, ValueError) as error:
        store.wrong(key, str(error))
        return ""


def _check_mode(store: Table, url: str) -> None:
    path = store.findings.document.path
    if path is None or "url" in store.variables or not has_password(url):
        return
    if path.stat().st_mode & 0o077:
        store.wrong(
            "url", f'"url" has a password and others may read {path}: chmod 600 it, or use url_file or PGPASSFILE'
        )


def _read_send(send: Table) -> SendSettings:
    default = SendSettings()
    read = SendSettings(
        enabled=send.boolean("enabled", default.enabled),
        providers=send.words("providers"),
        max_seconds=send.number("max_seconds", default.max_seconds or 0, least=0, most=_YEAR_S) or None,
        workers=send.integer("workers", default.workers, least=1, most=MOST_WORKERS),
        deadline_s=send.number("deadline_s", default.deadline_s, least=1, most=3600),
        claim_s=send.number("claim_s", default.claim_s, least=2, most=86400),
    )
    if read.claim_s < 2 * read.deadline_s:
        key = "claim_s" if send.has("claim_s") else "deadline_s"
        send.wrong(key, f"claim_s ({read.claim_s:g}) must be at least twice deadline_s ({read.deadline_s:g})")
    send.finish()
    return read


def _read_journal(journal: Table, store: StoreSettings, environ: Mapping[str, str], folder: Path) -> JournalSettings:
    given, witness = journal.text("path"), journal.text("witness")
    path: Path | None
    if given:
        path = store_url.resolve(given, folder)
    else:
        path = store_url.default_journal(store.url, environ, is_root=os.geteuid() == 0)
    journal.finish()
    if path is None:
        journal.missing("path", "the environment has no HOME to put the journal under")
    path = path or folder
    if witness:
        return JournalSettings(path, (store_url.resolve(witness, folder),))
    return JournalSettings(path, store_url.witness_folders(store.url, path, environ, user_id=os.geteuid()))


def _read_reconcile(reconcile: Table, folder: Path, providers: Collection[str]) -> ReconcileSettings:
    default = ReconcileSettings()
    read = ReconcileSettings(
        overdue_grace_s=reconcile.number("overdue_grace_s", default.overdue_grace_s, least=0, most=_YEAR_S),
        retry_failed_after_s=reconcile.number(
            "retry_failed_after_s", default.retry_failed_after_s, least=60, most=_YEAR_S
        ),
        max_total_attempts=reconcile.integer("max_total_attempts", default.max_total_attempts, least=1, most=100),
        mta=reconcile.word("mta", default.mta, ("postfix", "exim")),
        mta_logs=tuple(str(store_url.resolve(pattern, folder)) for pattern in reconcile.words("mta_logs")),
        mta_providers=reconcile.words("mta_providers"),
    )
    if reconcile.has("mta") != reconcile.has("mta_logs"):
        present, absent = ("mta", "mta_logs") if reconcile.has("mta") else ("mta_logs", "mta")
        reconcile.wrong(present, f'"{present}" needs "{absent}" beside it')
    if reconcile.has("mta_providers") and not reconcile.has("mta"):
        reconcile.wrong("mta_providers", '"mta_providers" needs "mta" beside it')
    check_names(reconcile, "mta_providers", read.mta_providers, providers)
    reconcile.finish()
    return read


def _read_events(events: Table, folder: Path) -> EventsSettings:
    default = EventsSettings()
    given = events.text("spool")
    wait_s = events.number("wait_s", default.wait_s, least=0, most=_YEAR_S)
    events.finish()
    return EventsSettings(store_url.resolve(given, folder) if given else None, wait_s)


def _read_letters(letters: Table, folder: Path) -> LettersSettings:
    keys: dict[str, object] = {}
    for name in ("key", "previous_key"):
        keys |= reference(letters, name, folder)
        if name in letters.data:
            letters.wrong(name, f'"{name}" is a secret written in the file; {literal_hint(name)}')
    if any(name.startswith("previous_key") for name in keys) and not any(name.startswith("key_") for name in keys):
        letters.wrong("previous_key_file", "a previous key opens letters and seals none: a key is wanted beside it")
    letters.finish()
    return LettersSettings(keys)
