"""`sendctl init` and `sendctl migrate`."""

# ruff: noqa: PLC0415  see sendctl/cli/__init__.py
from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sendctl.cli.frame import Verb
from sendctl.cli.shell import Shell, print_json, shell_of
from sendctl.cli.wording import clean
from sendctl.errors import ExitCode

if TYPE_CHECKING:
    from sendctl.passes.setup import InitReport, MigrateReport

_JSON = typer.Option("--json", help="Print one JSON document (docs/json.md).")


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("init", cls=Verb, epilog="0 2 69 75 78")(init)
    app.command("migrate", cls=Verb, epilog="0 2 69 75 78")(migrate)


def init(ctx: typer.Context, as_json: Annotated[bool, _JSON] = False) -> int:
    """Write sendctl.toml and a sample campaign, create the store.

    Everything goes into this folder (or that of --config): sendctl.toml, campaign.toml, contacts.csv, and the
    SQLite file. Nothing is overwritten, and nothing is sent before `enabled = true` stands in sendctl.toml.
    """
    from sendctl.passes import setup

    shell = shell_of(ctx)
    config = shell.config or Path("sendctl.toml")
    written = setup.write_samples(config)
    shell.config = config
    report = setup.migrate(shell.context())
    if as_json:
        files = [str(path) for path in written.files]
        print_json({"schema": "sendctl.init/1", "files": files, "url": report.url, "schema_version": report.after})
    else:
        _say_begun(shell, config, written, report)
    if os.environ.get("SENDCTL_CONFIG"):
        shell.note("sendctl: warning: $SENDCTL_CONFIG is set: without --config, commands read that file")
    return ExitCode.DONE


def _say_begun(shell: Shell, config: Path, written: InitReport, report: MigrateReport) -> None:
    for path in written.files:
        shell.say(f"wrote {clean(str(path))}")
    _say_migrated(shell, report)
    prefix = "sendctl" if config == Path("sendctl.toml") else f"sendctl --config {clean(str(config))}"
    campaign, contacts = (clean(str(config.with_name(name))) for name in ("campaign.toml", "contacts.csv"))
    shell.say("\nNext:")
    shell.say(f"  {prefix} preview {campaign} --contacts {contacts}")
    shell.say(f"  {prefix} enqueue {campaign} --contacts {contacts}")
    shell.say("  set `enabled = true` in [send], then")
    shell.say(f"  {prefix} send-due")


def migrate(
    ctx: typer.Context,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Bind the store to this place or database: it may send from here.")
    ] = False,
    new: Annotated[
        bool, typer.Option("--new", help="Begin anew where a store was lost: it knows of nobody who was reached.")
    ] = False,
    as_json: Annotated[bool, _JSON] = False,
) -> int:
    """Create or upgrade the store.

    Safe to run again. Where this host knows a store that is gone, no new one is made: put the old one back from a
    backup, else everybody is sent to again. --new makes one nevertheless.

    With --adopt a copied or moved store is bound to this machine and file (SQLite) or to this database (Postgres),
    and the audit says so. Make sure first that the old place never sends again.
    """
    from sendctl.passes import setup

    shell = shell_of(ctx)
    report = setup.migrate(shell.context(), adopt=adopt, new=new)
    if as_json:
        print_json({
            "schema": "sendctl.migrate/1", "url": report.url, "before": report.before, "after": report.after,
            "adopted": report.adopted, "adopted_from": report.adopted_from or None, "bound_to": report.bound_to or None,
        })  # fmt: skip
    else:
        _say_migrated(shell, report)
    return report.exit_code


def _say_migrated(shell: Shell, report: MigrateReport) -> None:
    url = clean(report.url)
    if report.before is None:
        shell.say(f"created the store {url}, schema version {report.after}")
    elif report.before == report.after:
        shell.say(f"the store {url} is up to date: schema version {report.after}")
    else:
        shell.say(f"upgraded the store {url} from schema version {report.before} to {report.after}")
    if report.adopted:
        shell.say(f"adopted: bound to {clean(report.bound_to or 'nothing')}")
        shell.say(f"  before: {clean(report.adopted_from or 'nothing')}")
