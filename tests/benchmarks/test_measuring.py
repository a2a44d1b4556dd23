"""What the figures rest on: programs that fail are noticed, filled and copied stores are whole, servers count."""

from __future__ import annotations

import json
import os
import smtplib
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from benchmarks import bare_load, hosts, shop
from benchmarks.copying import multiply
from benchmarks.latency import slow_server
from benchmarks.measuring import ROOT, BenchmarkFailed, free_port, run
from benchmarks.report import Report
from benchmarks.shop import Shop
from benchmarks.sinks import Sink
from tests.postgres import create_database, drop_database

PEOPLE = 3


@pytest.fixture
def place(tmp_path: Path, store_url: str) -> Shop:
    """A store with a letter to three people, none of them sent."""
    made = Shop(tmp_path / "shop", store_url)
    made.create()
    made.enqueue(shop.write_contacts(tmp_path / "contacts.csv", PEOPLE))
    return made


@pytest.fixture
def empty_url(store_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A second store of the same kind."""
    if store_url.startswith("sqlite:///"):
        yield f"sqlite:///{tmp_path}/empty.db"
        return
    server_url: str = request.getfixturevalue("postgres_url")
    url = create_database(server_url)
    yield url
    drop_database(server_url, url)


def rows(url: str, table: str) -> list[tuple[object, ...]]:
    query = f"SELECT * FROM {table} ORDER BY id"
    if url.startswith("sqlite:///"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            return connection.execute(query).fetchall()
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def test_a_program_that_fails_is_noticed_with_what_it_said(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('half done'); sys.exit(3)"]
    with pytest.raises(BenchmarkFailed, match="ended with 3: half done"):
        run(command, environ={}, folder=tmp_path)
    assert run(command, environ={}, folder=tmp_path, codes=(3,)).said == "half done\n"


def test_cpu_of_a_program_includes_that_of_its_workers(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    assert run([sys.executable, "-c", code], environ={}, folder=tmp_path).cpu_s >= 0.2


def test_the_letter_has_the_size_and_the_headers_of_the_comparison(tmp_path: Path) -> None:
    place = Shop(tmp_path, f"sqlite:///{tmp_path}/store.db")
    contacts = shop.write_contacts(tmp_path / "contacts.csv", 1)
    said = json.loads(place.run("preview", tmp_path / "campaign.toml", "--contacts", contacts, "--json").said)
    assert 4096 <= said["size_bytes"] <= 4700
    assert {"List-Unsubscribe", "List-Unsubscribe-Post"} <= {
        line.partition(":")[0] for line in said["headers"].splitlines()
    }


def test_the_slow_server_counts_who_got_what_how_often() -> None:
    port = free_port()
    with slow_server(port, 1.0) as said:
        for names in (["ann"], ["bob", "ann"]):
            with smtplib.SMTP("127.0.0.1", port) as client:
                for name in names:
                    client.sendmail("shop@shop.example", [f"{name}@customer.example"], "Subject: x\r\n\r\n..\r\nx\r\n")
    assert (said["accepted"], said["repeated"]) == (3, 1)


def test_a_filled_store_is_whole_and_takes_new_people(place: Shop, tmp_path: Path) -> None:
    multiply(place.store_url, 4)
    place.enqueue(shop.write_contacts(tmp_path / "more.csv", 2, first=100))
    counts = place.counts()
    assert counts["queued"] == counts["planned"] == 5 * PEOPLE + 2
    if place.store_url.startswith("sqlite:///"):
        with closing(sqlite3.connect(place.store_url.removeprefix("sqlite:///"))) as connection:
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_hosts_that_send_twice_or_miss_somebody_are_noticed(place: Shop) -> None:
    report = Report("hosts")
    twice = hosts.judge(
        report, 2, PEOPLE, Sink(0, None, recipients=["a@x.example", "b@x.example", "a@x.example"]), place
    )
    assert twice == 1
    assert [failure.split(": ")[1].split(",")[0] for failure in report.failures] == [
        "1 messages were accepted twice", "2 people got the message", "the store says {'queued'",
    ]  # fmt: skip


def test_the_bare_driver_writes_the_same_rows(place: Shop, empty_url: str, tmp_path: Path) -> None:
    Shop(tmp_path / "bare", empty_url).create()
    environ = {"PATH": os.defpath, "BENCH_SOURCE": place.store_url, "BENCH_TARGET": empty_url}
    said = json.loads(run([sys.executable, "-m", "benchmarks.bare_load"], environ=environ, folder=ROOT).said)
    assert said["rows"] == {"campaigns": 1, "contacts": PEOPLE, "enrollments": PEOPLE, "messages": PEOPLE}
    assert all(rows(place.store_url, table) == rows(empty_url, table) for table in bare_load.TABLES)


def test_memory_of_a_program_is_that_of_its_largest_process_and_not_ours(tmp_path: Path) -> None:
    ours = bytearray(200 * 1024**2)  # ru_maxrss of whatever we start would begin with this
    code = "import time; kept = bytearray({size}); time.sleep(1)"  # long enough to be looked at
    small = run([sys.executable, "-c", code.format(size=0)], environ={}, folder=tmp_path)
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code.format(size=100 * 1024**2)!r}])"
    large = run([sys.executable, "-c", nested], environ={}, folder=tmp_path)
    assert small.peak_bytes < 50 * 1024**2 < 100 * 1024**2 < large.peak_bytes < len(ours)
