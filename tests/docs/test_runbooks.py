"""Every command of a runbook, run in order in the situations that it speaks of: exit codes and output are as shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.docs import arrivals, console, sequences, situations
from tests.docs.console import Command, Query, Situation
from tests.docs.situations import World
from tests.postgres import PostgresServer

ROOT = Path(__file__).parents[2]
SITUATIONS = situations.SITUATIONS | arrivals.SITUATIONS | sequences.SITUATIONS
RUNBOOKS = ROOT / "docs/runbooks"
NEEDS_A_SERVER = "database-outage"  # stops and promotes it, so it must be its own
ON_SQLITE = sorted(path.stem for path in RUNBOOKS.glob("*.md") if path.stem != NEEDS_A_SERVER)


@contextmanager
def host(folder: Path, store_url: str, postgres: PostgresServer | None = None) -> Iterator[World]:
    """A host of its own, with nothing on it."""
    with ExitStack() as at_end:
        world = World(folder, store_url, at_end, postgres)
        at_end.callback(world.close)
        yield world


def follow(world: World, document: Path) -> None:
    """Do what the document says, from top to bottom."""
    for part in console.parts(document):
        place = f"{document.name}:{part.line}"
        match part:
            case Situation():
                SITUATIONS[part.words](world)
            case Query():
                world.sql(part.text)
            case Command():
                code, printed = world.shell(part.text)
                assert code == part.exit_code, f"{place}: {part.text}: exit {code}\n{printed}"
                absent = console.missing(part.shown, printed, world.folder)
                assert absent is None, f"{place}: {part.text}: not printed: {absent!r}\n{printed}"


@pytest.mark.parametrize("name", ON_SQLITE)
def test_runbook_is_true_on_sqlite(name: str, tmp_path: Path) -> None:
    with host(tmp_path, f"sqlite:///{tmp_path}/sendctl.db") as world:
        follow(world, RUNBOOKS / f"{name}.md")


@pytest.mark.parametrize("name", ["README.md", "docs/cron.md"])
def test_commands_of_other_documents_are_true(name: str, tmp_path: Path) -> None:
    with host(tmp_path, f"sqlite:///{tmp_path}/sendctl.db") as world:
        follow(world, ROOT / name)


def test_recovery_and_its_queries_are_true_on_postgres(tmp_path: Path, pg_database: str) -> None:
    with host(tmp_path, pg_database) as world:
        follow(world, RUNBOOKS / "failed-campaign-recovery.md")


def test_runbook_of_a_database_outage_is_true(tmp_path: Path, private_postgres: PostgresServer) -> None:
    with host(tmp_path, private_postgres.url("postgres"), private_postgres) as world:
        follow(world, RUNBOOKS / f"{NEEDS_A_SERVER}.md")


def test_recovery_query_finds_the_same_as_the_commands(tmp_path: Path, store_url: str) -> None:
    url = store_url.replace(str(tmp_path / "store.db"), f"{tmp_path}/sendctl.db")
    query = next(part for part in console.parts(RUNBOOKS / "failed-campaign-recovery.md") if isinstance(part, Query))
    with host(tmp_path, url) as world:
        for words in ("a campaign is enqueued", "half is sent", "a pass was killed"):
            SITUATIONS[words](world)
        world.expect("sendctl reconcile", code=3)
        SITUATIONS["no pass has run for long"](world)
        found = {row[1]: row[4] for row in world.sql(query.text)}
        counts = {row[0]: row[1] for row in world.sql("SELECT status, count(*) FROM messages GROUP BY status")}
    assert found["in_doubt"] == counts["in_doubt"] > 0
    assert found["queued"] == counts["queued"] > 0
    assert sum(counts.values()) == 200


@pytest.mark.parametrize("path", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
def test_runbook_has_every_section_and_shows_healthy_beside_sick(path: Path) -> None:
    text = path.read_text()
    for heading in ("Symptom", "Check", "Decide", "Act", "Verify", "Escalate"):
        assert f"\n## {heading}" in text, heading
    assert "<table>" in text
    assert len([part for part in console.parts(path) if isinstance(part, Command)]) >= 5
