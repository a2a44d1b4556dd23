"""What the servers that fork for each command import once, so that no command has to: it costs each 0.7 s of CPU.

A command that needs something else imports it itself, as always.
"""

from __future__ import annotations

import importlib

_IMPORTED = (
    "sendctl.cli.app", "sendctl.cli.screen", "sendctl.cli.status_screen", "sendctl.passes.control",
    "sendctl.passes.enqueue", "sendctl.passes.ingest", "sendctl.passes.listing", "sendctl.passes.ordering",
    "sendctl.passes.planning", "sendctl.passes.preview", "sendctl.passes.reconcile", "sendctl.passes.recover",
    "sendctl.passes.send_due", "sendctl.passes.setup", "sendctl.passes.status", "sendctl.passes.suppress",
    "sendctl.providers.maildir", "sendctl.providers.smtp", "psycopg", "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite", "uvloop",
)  # fmt: skip


def preload() -> None:
    """Import it all, and build the command line."""
    for name in _IMPORTED:
        importlib.import_module(name)
    from sendctl.cli.app import program  # noqa: PLC0415  only a server of commands needs it

    program()
