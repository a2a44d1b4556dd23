"""`status`, `messages`, `show`: what they print for people and programs, on both databases."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.cli.messages import harmless
from sendctl.cli.wording import clean, span
from sendctl.errors import ExitCode
from sendctl.settings.store_url import normalise
from sendctl.states import State
from sendctl.store import doubts, listing, reports
from sendctl.store.engine import Store, open_store
from sendctl.store.listing import Selection
from tests.cli.world import CAMPAIGN, World

PINNED_STATUS = {
    "schema", "campaign", "status", "planned", "counts", "in_doubt_oldest_s", "overdue", "next_due_at", "last_run",
}  # fmt: skip
PINNED_ROW = {
    "id", "campaign", "to", "channel", "step", "status", "attempts", "due_at", "sent_at", "provider",
    "provider_message_id", "message_id", "last_error",
}  # fmt: skip


def test_status_as_json_has_the_pinned_keys_and_every_state(any_world: World) -> None:
    any_world.ready()
    assert any_world.run("send-due", "--limit", "5").code == 0
    status = any_world.run("status", "--campaign", "spring", "--json").json
    assert set(status) >= PINNED_STATUS
    assert status["schema"] == "sendctl.status/1"
    assert (status["campaign"], status["status"], status["planned"]) == ("spring", "running", 20)
    assert list(status["counts"]) == [str(state) for state in State]
    assert status["counts"] == dict.fromkeys(map(str, State), 0) | {"queued": 15, "sent": 5}
    assert status["in_doubt_oldest_s"] is None
    assert status["last_run"]["command"] == "send-due"
    assert status["last_run"]["result"] == "done"
    assert status["sent_per_s"] > 0
    assert status["next_due_at"].endswith("Z")


def test_overview_counts_each_campaign(any_world: World) -> None:
    any_world.ready()
    overview = any_world.run("status", "--json").json
    (campaign,) = overview["campaigns"]
    assert overview["schema"] == "sendctl.overview/1"
    assert campaign["planned"] == sum(campaign["counts"].values()) == 20


def test_screen_fits_80_columns_and_adds_up(world: World) -> None:
    world.crash()
    for arguments in ([], ["--campaign", "spring"]):
        ran = world.run("status", *arguments)
        assert ran.code == 0
        assert max(map(len, ran.out.splitlines())) <= 80
        assert "\x1b" not in ran.out
    assert "planned 20 = queued" in ran.out
    assert "died" in ran.out
    assert "sendctl reconcile" in ran.out


def test_status_says_in_doubt_since_when_and_what_to_do(world: World) -> None:
    world.crash()
    assert world.run("reconcile").code == ExitCode.NEEDS_PERSON
    ran = world.run("status", "--campaign", "spring")
    assert "in_doubt 1" in ran.out
    assert "sendctl recover --campaign spring" in ran.out
    assert world.run("status", "--campaign", "spring", "--json").json["in_doubt_oldest_s"] >= 0


def test_looking_creates_no_journal_folder(world: World) -> None:
    world.ready()
    passing = (".", "sendctl.db-")  # parts of the open store are there or not, as its last user ended
    before = sorted(path.name for path in world.folder.iterdir() if not path.name.startswith(passing))
    assert world.run("status", "--campaign", "spring").code == 0
    after = sorted(path.name for path in world.folder.iterdir() if not path.name.startswith(passing))
    assert after == before


def test_status_of_a_store_with_archived_campaigns_alone_names_them(world: World) -> None:
    world.ready()
    assert world.run("cancel", "spring", "--yes").code == 0
    assert world.run("archive", "spring").code == 0
    said = world.run("status").out
    assert "no campaign but archived ones: spring\n`sendctl status --campaign NAME` shows one" in said
    assert world.run("status", "--campaign", "spring").code == 0


def test_status_of_an_unknown_campaign_is_wrong_usage(world: World) -> None:
    world.ready()
    ran = world.run("status", "--campaign", "sprung")
    assert ran.code == ExitCode.USAGE
    assert ran.err == "sendctl: error: there is no campaign sprung\n  hint: `sendctl status` lists them.\n"


def test_check_is_ok_then_critical_with_performance_data(world: World) -> None:
    world.ready()
    ran = world.run("status", "--check")
    assert ran.code == 0
    assert ran.out.startswith("SENDCTL OK - 20 messages")
    assert " | queued=20 sending=0 in_doubt=0 sent=0 failed=0 overdue=0 " in ran.out
    assert ran.out.count("\n") == 1
    world.crash_again()
    assert world.run("status", "--check").code == 1  # a dead run: the next pass takes it up
    world.run("reconcile")
    ran = world.run("status", "--check")
    assert ran.code == 2
    assert "1 message is in doubt" in ran.out
    assert "in_doubt=1" in ran.out


@pytest.mark.parametrize(
    ("statement", "code", "words"),
    [
        ("UPDATE messages SET next_attempt_at = '2026-01-01 00:00:00.000000'", 2, "no send-due has started"),
        ("INSERT INTO provider_state VALUES ('outbox', 'open', 3, 1, NULL, 'bad | credentials', '2026-01-01')", 2,
         "bad / credentials"),
        ("UPDATE messages SET status = 'failed', failed_at = CURRENT_TIMESTAMP || '.000000' WHERE id = 1", 1,
         "1 message failed for good"),
        ("INSERT INTO hosts VALUES ('h', 'other-host', 'old', '2026-01-01 00:00:00.000000', NULL)", 2, "other-host"),
        ("UPDATE store SET bound_to = 'm:/else/where.db'", 1, "belongs to another"),
    ],
)  # fmt: skip
def test_check_sees_trouble(world: World, statement: str, code: int, words: str) -> None:
    world.ready()
    world.execute(statement)
    ran = world.run("status", "--check")
    assert (ran.code, words in ran.out) == (code, True), ran.out


def test_check_is_unknown_where_the_store_cannot_be_read(bare_world: World) -> None:
    bare_world.configure("postgresql://127.0.0.1:1/none?connect_timeout=2")
    ran = bare_world.run("status", "--check")
    assert ran.code == 3
    assert ran.out.startswith("SENDCTL UNKNOWN - ")


def test_messages_as_json_is_an_array_of_rows_with_the_pinned_keys(any_world: World) -> None:
    any_world.ready()
    assert any_world.run("send-due").code == 0
    rows = any_world.run("messages", "--campaign", "spring", "--json").json
    assert [row["id"] for row in rows] == list(range(1, 21))
    for row in rows:
        assert set(row) >= PINNED_ROW
        assert (row["campaign"], row["channel"], row["step"], row["status"]) == ("spring", "email", "offer", "sent")
        assert row["message_id"].endswith("@shop.example>")
        assert row["sent_at"].endswith("Z")
    mails = "".join(path.read_text() for path in (any_world.folder / "Maildir/new").iterdir())
    assert all(f"Message-ID: {row['message_id']}" in mails for row in rows)


def test_messages_of_several_steps_are_told_apart(world: World) -> None:
    world.ready()
    assert "STEP" not in world.run("messages").out
    second = '[[steps]]\nname = "reminder"\nafter = "3d"\nsubject = "Still spring"\ntext = "Still."\n'
    world.write("summer.toml", CAMPAIGN.replace('"spring"', '"summer"') + second)
    assert world.run("enqueue", "summer.toml", "--contacts", "people.csv").code == 0
    assert world.run("send-due").code == 0
    heading, *lines = world.run("messages", "--campaign", "summer").out.splitlines()
    assert "STEP" in heading
    assert sum(" reminder " in line for line in lines) == sum(" offer " in line for line in lines) == 20


def test_messages_are_filtered_and_paged(any_world: World) -> None:
    any_world.ready()
    any_world.run("send-due", "--limit", "7")
    lines = any_world.run("messages", "--status", "sent", "--limit", "3", "--jsonl").out.splitlines()
    first = [json.loads(line)["id"] for line in lines]
    rest = any_world.run("messages", "--campaign", "spring", "--status", "sent", "--after", first[-1], "--json").json
    assert len(first) == 3
    assert len({*first, *(row["id"] for row in rest)}) == 7
    (row,) = any_world.run("messages", "--to", "PERSON3@Recipient.example", "--json").json
    assert row["to"] == "person3@recipient.example"
    assert any_world.run("messages", "--status", "bounced", "--json").json == []
    assert any_world.run("messages", "--to", "nobody@recipient.example", "--json").json == []
    assert any_world.run("messages", "--to", "nobody").code == ExitCode.USAGE
    assert any_world.run("messages", "--campaign", "other").code == ExitCode.USAGE


def test_table_of_messages_is_whole_in_a_pipe(world: World) -> None:
    world.ready(people=60)
    ran = world.run("messages")
    assert "person50@recipient.example" in ran.out
    assert "person51@recipient.example" not in ran.out
    assert ran.err == "50 shown; more: --after 50, or --json, --csv for all\n"


def test_a_long_error_is_cut_in_a_table_and_whole_for_programs(world: World) -> None:
    world.ready(people=2)
    reply = "550 5.7.1 " + "the reason is long " * 20
    world.execute(f"UPDATE messages SET last_error = '{reply}' WHERE id = 1")
    ran = world.run("messages")
    assert max(map(len, ran.out.splitlines())) < 140
    assert "550 5.7.1 the reason is long" in ran.out
    assert ran.out.splitlines()[1].endswith("...")
    assert reply in world.run("messages", "--csv").out


def test_replies_from_outside_reach_no_terminal_and_no_spreadsheet(world: World) -> None:
    world.ready(people=2)
    world.execute(
        "UPDATE messages SET status = 'failed', failed_at = CURRENT_TIMESTAMP || '.000000',"
        " last_error = '=HYPERLINK(\"x\")' || char(27) || '[2J' || char(8238) || char(10) || 'forged line'",
    )
    for arguments in (["messages"], ["messages", "--csv"], ["show", "1"], ["status", "--campaign", "spring"],
                      ["status", "--check"], ["messages", "--jsonl"]):  # fmt: skip
        out = world.run(*arguments).out
        assert not {"\x1b", "\u202e"} & set(out), arguments
        assert "\nforged line" not in out, arguments
    header, first, _ = csv.reader(io.StringIO(world.run("messages", "--csv").out))
    assert dict(zip(header, first, strict=True))["last_error"].startswith("'=HYPERLINK")


def test_show_tells_the_story_of_a_message_in_doubt(any_world: World) -> None:
    any_world.crash()
    any_world.run("reconcile")
    (row,) = any_world.run("messages", "--status", "in_doubt", "--json").json
    by_id = any_world.run("show", row["id"])
    assert by_id.code == 0
    assert "nobody knows whether it was accepted" in by_id.out
    assert "attempt 1 begun through outbox" in by_id.out
    assert "known from the run's journal" in by_id.out
    assert any_world.run("show", row["message_id"]).out == by_id.out
    story = any_world.run("show", row["to"], "--json").json
    assert story["contact"]["email"] == row["to"]
    assert story["messages"][0]["attempts_made"][0]["outcome"] == "unknown"


@pytest.mark.parametrize("wanted", ["999", "nobody@recipient.example", "0" * 32, "what"])
def test_show_of_what_is_not_there_is_wrong_usage(world: World, wanted: str) -> None:
    world.ready()
    ran = world.run("show", wanted)
    assert ran.code == ExitCode.USAGE
    assert ran.out == ""


def plans_of(store: Store, connection: Connection, read: Callable[[], object]) -> list[str]:
    """How SQLite goes about the statements that `read` executes."""
    plans: list[str] = []

    def explain(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        cursor = _connection.connection.cursor()
        plans.extend(row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))

    sa.event.listen(store.engine, "before_cursor_execute", explain)
    read()
    sa.event.remove(store.engine, "before_cursor_execute", explain)
    return [plan for plan in plans if "messages" in plan]


def test_counts_and_dues_are_read_from_the_index_alone(world: World) -> None:
    world.ready()
    with closing(open_store(normalise("sqlite:///sendctl.db", world.folder))) as store, store.read() as connection:
        now = store.now(connection)
        covered = [
            lambda: reports.counts(connection),
            lambda: reports.counts(connection, 1),
            lambda: reports.next_due(connection, 1),
            lambda: reports.due_before(connection, 1, now),
            lambda: reports.in_flight(connection, 1),
        ]
        for read in covered:
            plans = plans_of(store, connection, read)
            assert plans
            assert all("USING COVERING INDEX messages_by_state" in plan for plan in plans), plans
        sought = [
            lambda: reports.claims_expired(connection, 1, now),
            lambda: reports.sent_per_s(connection, 1, now),
            lambda: reports.oldest_in_doubt(connection, 1),
            lambda: reports.failed_since(connection, 1, now),
            lambda: doubts.failures(connection, 1),
            lambda: next(listing.select(connection, Selection(1, State.IN_DOUBT)), None),
        ]
        for read in sought:
            plans = plans_of(store, connection, read)
            assert plans
            assert "USING INDEX messages_by_state" in plans[0], plans
            assert all("SEARCH later USING INDEX" in plan for plan in plans[1:]), plans  # copies of what failed
        (walk,) = plans_of(store, connection, lambda: next(listing.select(connection, Selection(1, State.SENT)), None))
        assert "USING INTEGER PRIMARY KEY" in walk or "sqlite_autoindex_messages_1" in walk


def test_values_are_worded_for_people() -> None:
    assert [span(seconds) for seconds in (0, 59, 125, 725, 3 * 3600 + 300, 100_000)] == [
        "0 s", "59 s", "2 min 5 s", "12 min", "3 h 5 min", "1 d 3 h",
    ]  # fmt: skip
    assert clean("a\x1b[31m\u202eb\u200bc\x9b") == "a\\x1b[31m\\u202eb\\u200bc\\x9b"
    assert [harmless(value) for value in ("=1+1", "+49", "-2", "@x", "plain", None)] == [
        "'=1+1", "'+49", "'-2", "'@x", "plain", "",
    ]  # fmt: skip
