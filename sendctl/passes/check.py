"""`check`: is this host ready to send? Its settings, store and journal, and what its providers tell when asked.

Sends nothing, writes nothing into the ledger, and makes no file. Each provider has the same few seconds, side by side.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sendctl.definition import Definition
from sendctl.errors import ExitCode, SendctlError, StoreElsewhere, StoreRewound, UsageError
from sendctl.journal.owner import unusable
from sendctl.passes.context import Context
from sendctl.passes.naming import named, sender_on
from sendctl.passes.place import elsewhere, put_back
from sendctl.passes.status import forgotten
from sendctl.providers.base import Provider
from sendctl.providers.checks import Checked, Standing, cannot_tell, failed, ok, unusable_folder
from sendctl.providers.registry import build_provider
from sendctl.settings import ProviderTable, lacking_of, redact
from sendctl.states import CampaignStatus
from sendctl.store import campaigns, meta
from sendctl.store.sqlite_file import NETWORK_FILE_SYSTEMS, file_system
from sendctl.store.versions import newest_version

ANSWER_S = 20.0  # for each provider, over all its questions
LEAST_FREE_BYTES = 64 << 20
MOST_CAMPAIGNS = 100  # each letter is one
_GRAVEST_FIRST = (ExitCode.BAD_CONFIG, ExitCode.REWOUND, ExitCode.LOCKED, ExitCode.UNREACHABLE, ExitCode.DISABLED)


class Line(NamedTuple):
    """One line of the answer: about this host ("") or a provider, of that type; `code` is what it means to fail."""

    about: str
    type: str
    checked: Checked
    code: ExitCode = ExitCode.BAD_CONFIG


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All that was asked. The exit code is that of the gravest failure."""

    lines: tuple[Line, ...]

    def count(self, standing: Standing) -> int:
        return sum(line.checked.standing is standing for line in self.lines)

    @property
    def exit_code(self) -> ExitCode:
        codes = [line.code for line in self.lines if line.checked.standing is Standing.FAILED]
        return min(codes, key=_gravity, default=ExitCode.DONE)


def _gravity(code: ExitCode) -> int:
    return _GRAVEST_FIRST.index(code) if code in _GRAVEST_FIRST else len(_GRAVEST_FIRST)


def run(context: Context, providers: Sequence[str] = (), campaign: str | None = None) -> CheckReport:
    """Ask about this host, and about these providers; else those of the campaign (its file or name), else all.

    Raises UsageError for a provider or campaign that is not there, BadInput for a campaign's file.
    """
    for name in providers:
        if name not in context.settings.providers:
            known = ", ".join(context.settings.providers) or "none"
            raise UsageError(f"there is no provider {name} on this host", hint=f"configured: {known}.")
    lines = list(_host(context))
    store_is_read = all(line.checked.standing is Standing.OK for line in lines if line.checked.what == "store")
    if campaign is not None:
        definitions = [named(context, campaign).definition]
    else:
        definitions = _current(context) if store_is_read else []
    senders = _senders(context, definitions)
    chosen = list(providers) or (list(senders) if campaign is not None else list(context.settings.providers))
    lines += _absent(context, definitions if campaign is not None else [], chosen)
    if chosen and not any(senders.values()):
        said = "no running or paused campaign names one" if store_is_read else "the store cannot be read"
        lines.append(Line("", "", cannot_tell("senders", said, "--campaign FILE asks about a campaign's.")))
    tables = [context.settings.providers[name] for name in chosen]
    return CheckReport((*lines, *asyncio.run(_all_asked(context, tables, senders))))


# -- this host ----------------------------------------------------------------------------------------------------


def _host(context: Context) -> Iterator[Line]:
    settings = context.settings
    yield Line("", "", ok("settings", str(settings.path or "from the environment alone")))
    if settings.send.enabled:
        yield Line("", "", ok("sending", "enabled"))
    else:
        off = failed("sending", "not enabled on this host", "set `enabled = true` in [send] when it may send.")
        yield Line("", "", off, ExitCode.DISABLED)
    yield _store(context)
    yield Line("", "", _journal(context), ExitCode.UNREACHABLE)
    if settings.letters.keys:
        from sendctl.passes import sealing  # noqa: PLC0415  loads what seals, which few need

        trouble = sealing.keyring(context).trouble
        yield Line("", "", failed("letters", trouble) if trouble else ok("letters", "their keys can be read"))


def _store(context: Context) -> Line:
    try:
        _look_at_store(context)
    except SendctlError as error:
        return Line("", "", failed("store", str(error), error.hint), error.exit_code)
    said = f"{redact(context.settings.store.url)}, schema version {newest_version()}"
    return Line("", "", ok("store", said))


def _look_at_store(context: Context) -> None:
    """Raises what a pass would: Unreachable, SchemaMissing, SchemaMismatch, StoreElsewhere, StoreRewound."""
    with context.store.read() as connection:
        row, identity = meta.read(connection), meta.database_identity(connection)
        behind = meta.hosts_behind(connection, row.epoch)
    reason = elsewhere(context, row, identity)
    if reason:
        raise StoreElsewhere(reason)
    lost = put_back(row, identity) or forgotten(context)
    lost = lost or (behind and f"journals are not replayed yet on {', '.join(behind)}") or ""
    if lost:
        raise StoreRewound(f"the store was rewound: {lost}")


def _journal(context: Context) -> Checked:
    path = context.settings.journal.path
    place = next(one for one in (path, *path.parents) if one.exists())
    problem = unusable(path) or unusable_folder(place)
    if problem:
        return failed("journal", problem, "mend [journal] path, or the folder's owner, mode or disk.")
    kind = file_system(place)
    if kind in NETWORK_FILE_SYSTEMS:
        said = f"{path} lies on a network file system ({kind}), which does not hold locks and forgets what it synced"
        return failed("journal", said, "name a folder on a local disk in [journal] path.")
    free_bytes = shutil.disk_usage(place).free
    if free_bytes < LEAST_FREE_BYTES:
        said = f"{free_bytes >> 20} MiB are free at {path}, and passes want {LEAST_FREE_BYTES >> 20}"
        return failed("journal", said, "free disk space.")
    return ok(
        "journal", f"{path}, {free_bytes / (1 << 30):,.1f} GiB free" + ("" if place == path else ", not made yet")
    )


# -- senders ------------------------------------------------------------------------------------------------------


def _current(context: Context) -> list[Definition]:
    """What the newest campaigns say that may send."""
    with context.store.read() as connection:
        live = (CampaignStatus.RUNNING, CampaignStatus.PAUSED)
        rows = [row for row in campaigns.every(connection) if row.status in live]
        newest = sorted(rows, key=lambda row: row.created_at, reverse=True)[:MOST_CAMPAIGNS]
        return [campaigns.definition_of(connection, row.id, row.revision) for row in newest]


def _senders(context: Context, definitions: Sequence[Definition]) -> dict[str, list[str]]:
    """By provider, in order of fail-over, whom campaigns send as through it."""
    found: dict[str, list[str]] = {}
    for definition in definitions:
        for channel in definition.channels:
            sender = sender_on(definition, channel)
            for name in context.settings.carriers(definition.providers, channel):
                senders = found.setdefault(name, [])
                senders += [] if sender in senders else [sender]
    return found


def _absent(context: Context, definitions: Sequence[Definition], chosen: Sequence[str]) -> Iterator[Line]:
    """What cannot be asked about because it is not here."""
    settings = context.settings
    if not settings.providers:
        yield Line("", "", failed("providers", "none is configured", "write a section [providers.NAME]."))
        return
    for definition in definitions:
        for name in settings.providers_of(definition.providers):
            if name not in settings.providers:
                said = f"{name} is not configured on this host: another one may have it"
                yield Line("", "", cannot_tell(f"provider {name}", said))
        for channel in definition.channels:
            if not settings.carriers(definition.providers, channel):
                said = f"no provider on this host carries its {'texts' if channel == 'sms' else 'e-mails'}"
                yield Line("", "", failed(f"campaign {definition.name}", said, "write a section [providers.NAME]."))


# -- providers ----------------------------------------------------------------------------------------------------


async def _all_asked(
    context: Context, tables: Sequence[ProviderTable], senders: Mapping[str, Sequence[str]]
) -> list[Line]:  # fmt: skip
    answers = await asyncio.gather(*(_asked(context, table, senders.get(table.name, ())) for table in tables))
    return [line for answer in answers for line in answer]


async def _asked(context: Context, table: ProviderTable, senders: Sequence[str]) -> list[Line]:
    """What one provider tells within its time; nothing is connected to where a secret that sending needs is missing."""
    found = [failed("secret", problem, f"mend {key}.") for key, problem in lacking_of(table, context.environ)]
    try:
        if not any(lacking_of(table, context.environ, to_send=True)):
            await _questioned(build_provider(table, context.environ), senders, found)
    except SendctlError as error:  # a secret that the section's type cannot use
        found.append(failed("section", str(error), error.hint))
    return [
        Line(table.name, table.type, one, ExitCode.UNREACHABLE if one.passing else ExitCode.BAD_CONFIG) for one in found
    ]


async def _questioned(provider: Provider, senders: Sequence[str], found: list[Checked]) -> None:
    try:
        async with asyncio.timeout(ANSWER_S):
            async for one in provider.check(senders):
                found.append(one)
    except TimeoutError:
        found.append(failed("service", f"no answer within {ANSWER_S:g} s", "is it up, and reached?", passing=True))
    finally:
        await provider.close()
