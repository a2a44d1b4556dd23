"""The statements that commands really run on a store, and the plans the database has for them.

SQLite: each statement is traced (spy/) and then explained. Postgres: auto_explain logs the plan that was really used.
"""

from __future__ import annotations

import json
import re
import sqlite3
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.measuring import BenchmarkFailed, run
from benchmarks.shop import Shop
from benchmarks.stores import Databases

SPY = Path(__file__).with_name("spy")
LEDGER = re.compile(r"\b(messages|attempts|enrollments|contacts)\b")
WIDTH = 150
_TOLD_CHARACTERS = 300

Explained = tuple[str, list[str]]  # a statement, and the lines of its plan


def plans_of(databases: Databases, place: Shop, arguments: Sequence[str]) -> str:
    """Run one command; each statement of it that touches the ledger's large tables, with its plan, once."""
    if place.store_url.startswith("sqlite:///"):
        found = _sqlite_plans(place, arguments)
    else:
        found = _postgres_plans(databases, place, arguments)
    told: dict[str, list[str]] = {}
    for statement, plan in found:
        told.setdefault(_shape(statement), plan)
    return "\n".join(
        textwrap.fill(shape, WIDTH, subsequent_indent="    ") + "\n" + "\n".join(f"        -> {line}" for line in plan)
        for shape, plan in told.items() if LEDGER.search(" ".join(plan))
    )  # fmt: skip


def _shape(statement: str) -> str:
    """The statement without its values, its list of columns and its line breaks."""
    text = re.sub(r"'(?:[^']|'')*'(::\w+( \w+)*)?", "?", statement)
    text = re.sub(r"\$\d+(::[A-Z]+( WITH TIME ZONE)?)?", "?", text)
    text = re.sub(r"\s+", " ", re.sub(r"(?<![\w.])-?\d+(\.\d+)?\b", "?", text)).strip()
    text = re.sub(r"^SELECT (?!.{0,60} FROM ).*? FROM ", "SELECT ... FROM ", text)
    text = re.sub(r"\bSET .*? (FROM|WHERE) ", r"SET ... \1 ", text)
    text = re.sub(r"(\?, )+\?", "?, ...", text)
    return text if len(text) <= _TOLD_CHARACTERS else text[:_TOLD_CHARACTERS] + " ..."


def _sqlite_plans(place: Shop, arguments: Sequence[str]) -> list[Explained]:
    log = place.folder / "statements.jsonl"
    environ = place.environ | {"PYTHONPATH": str(SPY), "BENCH_STATEMENTS": str(log)}
    run(place.command(*arguments), environ=environ, folder=place.folder, codes=(0, 3))
    statements = [json.loads(line) for line in log.read_text().splitlines()]
    log.unlink()
    asked = [one for one in statements if re.match(r"\s*(SELECT|WITH|UPDATE|INSERT|DELETE)\b", one, re.IGNORECASE)]
    with closing(sqlite3.connect(place.store_url.removeprefix("sqlite:///"))) as connection:
        return [(one, [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {one}")]) for one in asked]


def _postgres_plans(databases: Databases, place: Shop, arguments: Sequence[str]) -> list[Explained]:
    log = Path(databases.server.place.folder, "log")
    before_bytes = log.stat().st_size
    with _explained(place.store_url):
        place.run(*arguments, codes=(0, 3))
    with log.open("rb") as file:
        file.seek(before_bytes)
        text = file.read().decode(errors="replace")
    found = re.findall(r"  plan:\n((?:\t.*\n)+)", text)
    if not found:
        raise BenchmarkFailed("auto_explain logged no plan: is it in the server's library folder?")
    logged = [json.loads("".join(line[1:] for line in block.splitlines(keepends=True))) for block in found]
    return [(one["Query Text"], list(_nodes(one["Plan"]))) for one in logged]


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """auto_explain for every new session of a database. Settings of a database win over the server's command line."""
    settings = {
        "session_preload_libraries": "auto_explain", "auto_explain.log_min_duration": "0",
        "auto_explain.log_format": "json", "log_min_messages": "log",
    }  # fmt: skip
    with psycopg.connect(url, autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        for key, value in settings.items():
            command = sql.SQL("ALTER DATABASE {} SET {} = {}")
            connection.execute(command.format(name, sql.SQL(key), sql.Literal(value)))
        yield
        connection.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(name))


def _nodes(plan: dict[str, Any]) -> Iterator[str]:
    """The nodes that read a table, and how."""
    table = plan.get("Relation Name") or (plan.get("Index Name") and "an index")
    if table:
        index = f" using {plan['Index Name']}" if "Index Name" in plan else ""
        condition = plan.get("Index Cond") or plan.get("Recheck Cond") or ""
        rest = f", filter {plan['Filter']}" if "Filter" in plan else ""
        yield f"{plan['Node Type']} on {table}{index} {_plain(condition + rest)}".rstrip()
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _plain(condition: str) -> str:
    condition = re.sub(r"::[a-z]+( with(out)? time zone)?(\[\])?", "", condition)
    return re.sub(r"'\{?[^']*\}?'", "?", condition)
