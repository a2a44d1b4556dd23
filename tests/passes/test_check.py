"""`check` finds out before anybody is written to; it writes nothing into the ledger and makes no file."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from sendctl.errors import BadInput, ExitCode, UsageError
from sendctl.passes import check
from sendctl.passes.check import CheckReport, Line
from sendctl.providers.checks import failed
from sendctl.settings import LettersSettings, ProviderTable
from tests.http_double import API_KEY, start_http_double
from tests.smtp_double import start_smtp_double
from tests.store.ground import Ground, campaign_file


def standings(report: CheckReport) -> dict[tuple[str, str], str]:
    return {(one.about, one.checked.what): str(one.checked.standing) for one in report.lines}


def said(report: CheckReport, what: str, about: str = "") -> str:
    (found,) = [one.checked for one in report.lines if (one.about, one.checked.what) == (about, what)]
    return found.said


def checked(ground: Ground, *providers: str, **options: Any) -> CheckReport:
    """What is told; nothing of the host's folder and no row of the store may have changed."""
    rows, files = ground.dump(), sorted(ground.folder.rglob("*"))
    report = check.run(ground.context, providers, **options)
    assert ground.dump() == rows
    kept = {path for path in set(files) ^ set(ground.folder.rglob("*")) if not path.name.endswith(("-wal", "-shm"))}
    assert kept == set()
    return report


def service(ground: Ground, name: str, kind: str, url: str, **options: str) -> None:
    key = ground.folder / "key"
    key.write_text(API_KEY)
    secret = {"resend": "api_key_file", "postmark": "server_token_file", "twilio": "auth_token_file"}[kind]
    ground.providers[name] = ProviderTable(name, kind, {secret: str(key), "base_url": url, **options})


def test_a_host_that_can_send_is_told_so(ground: Ground, tmp_path: Path) -> None:
    ground.enqueue(2)
    with (
        start_smtp_double(tmp_path, transcript=True) as relay,
        start_http_double(tmp_path, "resend") as resend,
    ):
        options = {"host": "127.0.0.1", "port": relay.port, "tls": "none"}
        ground.providers["primary"] = ProviderTable("primary", "smtp", options)
        service(ground, "fallback", "resend", resend.url)
        report = checked(ground)
        assert relay.accepted() == []
        assert not [line for line in relay.heard() if line.startswith("RCPT")]
        assert {row["method"] for row in resend.heard()} == {"GET"}
    assert standings(report) == {
        ("", "settings"): "ok", ("", "sending"): "ok", ("", "store"): "ok", ("", "journal"): "ok",
        ("primary", "connection"): "ok", ("primary", "sender news@shop.example"): "cannot tell",
        ("fallback", "key"): "ok",
    }  # fmt: skip
    assert report.exit_code is ExitCode.DONE


def test_senders_are_those_of_campaigns_that_may_send_at_the_providers_that_carry_them(
    ground: Ground, tmp_path: Path
) -> None:
    ground.set(providers=("primary", "fallback"))
    with start_http_double(tmp_path, "resend") as resend:
        service(ground, "fallback", "resend", resend.url)
        assert standings(checked(ground))["", "senders"] == "cannot tell"
        ground.enqueue(1)
        ground.enqueue(1, name="over", campaign='providers = ["primary"]')
        ground.change("UPDATE campaigns SET status = 'cancelled' WHERE name = 'over'")
        ground.enqueue(1, name="here", campaign='providers = ["fallback"]\nreply_to = "x@y.example"')
        report = checked(ground)
    assert standings(report)["fallback", "sender news@shop.example"] == "ok"
    assert [what for about, what in standings(report) if about == "primary"] == ["maildir"]


def test_a_campaign_is_asked_about_by_its_file_or_by_its_name(ground: Ground, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(campaign_file(campaign='providers = ["fallback", "elsewhere"]').replace("shop.", "pending."))
    with start_http_double(tmp_path, "resend") as resend:
        service(ground, "fallback", "resend", resend.url)
        ground.enqueue(1)
        by_file = checked(ground, campaign=str(other))
        assert standings(by_file)["fallback", "sender news@pending.example"] == "failed"
        assert by_file.exit_code is ExitCode.BAD_CONFIG
        assert standings(by_file)["", "provider elsewhere"] == "cannot tell"
        assert {about for about, _ in standings(by_file)} == {"", "fallback"}, "its own providers alone"
        by_name = checked(ground, "fallback", campaign="sale")
        assert ("fallback", "sender news@shop.example") not in standings(by_name), "it does not send through that one"
    (tmp_path / "nothing").touch()
    with pytest.raises(UsageError, match="there is no campaign nobody"):
        check.run(ground.context, (), "nobody")
    with pytest.raises(UsageError, match="there is no provider nobody on this host"):
        check.run(ground.context, ("nobody",))
    with pytest.raises(BadInput, match=r"none\.toml"):
        check.run(ground.context, (), str(tmp_path / "none.toml"))


def test_texts_are_asked_about_at_providers_of_texts(ground: Ground, tmp_path: Path) -> None:
    steps = ['name = "a"\nsubject = "S"\ntext = "T"\nsms = "hello"\n']
    both = 'channel = "both"\nsms_from = "+15005550006"\nproviders = ["primary", "texts"]'
    (tmp_path / "both.toml").write_text(campaign_file(campaign=both, steps=steps))
    report = checked(ground, campaign=str(tmp_path / "both.toml"))
    assert "no provider on this host carries its texts" in said(report, "campaign sale")
    with start_http_double(tmp_path, "twilio") as twilio:
        service(ground, "texts", "twilio", twilio.url, account_sid="AC1")
        report = checked(ground, campaign=str(tmp_path / "both.toml"))
        assert standings(report)["texts", "sender +15005550006"] == "ok"
        assert report.exit_code is ExitCode.DONE


def test_a_letter_has_a_sender_too(ground: Ground, tmp_path: Path) -> None:
    ground.letter()
    ground.set(providers=("fallback",))
    with start_http_double(tmp_path, "resend") as resend:
        service(ground, "fallback", "resend", resend.url)
        assert standings(checked(ground, campaign="note"))["fallback", "sender me@shop.example"] == "ok"
        assert standings(checked(ground, campaign=str(tmp_path / "note.toml")))["fallback", "key"] == "ok"


def test_what_is_missing_on_this_host_is_said_and_nothing_is_connected_to(ground: Ground, tmp_path: Path) -> None:
    ground.enqueue(1)
    with start_http_double(tmp_path, "resend") as resend:
        service(ground, "primary", "resend", resend.url, ca_file=str(tmp_path / "none.pem"))
        (tmp_path / "key").unlink()
        report = checked(ground, "primary")
        assert resend.heard() == []
    assert [one.checked.to_do for one in report.lines if one.about] == ["mend api_key_file.", "mend ca_file."]
    assert report.exit_code is ExitCode.BAD_CONFIG


def test_a_host_that_may_not_send_is_told_so(ground: Ground) -> None:
    ground.set(enabled=False)
    report = checked(ground)
    assert (standings(report)["", "sending"], report.exit_code) == ("failed", ExitCode.DISABLED)
    ground.providers.clear()
    ground.close()
    report = checked(ground)
    assert (standings(report)["", "providers"], report.exit_code) == ("failed", ExitCode.BAD_CONFIG)


def test_a_service_that_never_answers_is_not_waited_for_for_ever(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "ANSWER_S", 0.2)
    with start_http_double(tmp_path, "resend", script=[{"at": "asked", "do": "silence"}]) as resend:
        service(ground, "primary", "resend", resend.url)
        report = checked(ground)
    assert said(report, "service", "primary") == "no answer within 0.2 s"
    assert standings(report)["fallback", "maildir"] == "ok"
    assert report.exit_code is ExitCode.UNREACHABLE


def test_providers_are_asked_side_by_side(sqlite_ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of two services lets go before both are asked: one after the other, the first would use up its time."""
    monkeypatch.setattr(check, "ANSWER_S", 10.0)
    both = threading.Barrier(2)

    def lets_go(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            both.wait(30)

    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    threads = [threading.Thread(target=lets_go, args=[listener]) for listener in listeners]
    for thread in threads:
        thread.start()
    for name, kind, listener in zip(("primary", "fallback"), ("resend", "postmark"), listeners, strict=True):
        service(sqlite_ground, name, kind, f"http://127.0.0.1:{listener.getsockname()[1]}")
    report = checked(sqlite_ground)
    for thread, listener in zip(threads, listeners, strict=True):
        thread.join()
        listener.close()
    assert not any("no answer within" in said(report, "service", name) for name in ("primary", "fallback"))


def test_a_store_that_no_pass_would_use_is_failed(ground: Ground) -> None:
    if ground.url.startswith("sqlite"):
        ground.change("UPDATE store SET bound_to = 'another machine:/x'")
        report = checked(ground)
        assert (said(report, "store"), report.exit_code) == (
            "the store belongs to another machine", ExitCode.DISABLED,
        )  # fmt: skip
        return
    ground.change("UPDATE store SET database_id = '1/1/1/1'")
    assert "made in another Postgres database" in said(checked(ground), "store")


def test_a_store_that_was_put_back_is_noticed(ground: Ground) -> None:
    ground.enqueue(3)
    ground.send_due(limit=1)
    before = ground.backup()
    ground.send_due()
    ground.put_back(before)
    report = checked(ground)
    assert "the store was rewound: this host has seen pass 2" in said(report, "store")
    assert report.exit_code is ExitCode.REWOUND


def test_hosts_that_are_behind_are_named(ground: Ground) -> None:
    ground.enqueue(1)
    ground.send_due(limit=1)
    ground.change("UPDATE hosts SET epoch = 'older'")
    assert "journals are not replayed yet on" in said(checked(ground), "store")


def test_a_store_without_a_schema_and_one_that_is_away_are_failed_and_the_rest_is_asked(sqlite_ground: Ground) -> None:
    sqlite_ground.provable = False
    sqlite_ground.close()
    (sqlite_ground.folder / "store.db").unlink()
    report = check.run(sqlite_ground.context)
    assert standings(report) == {
        ("", "settings"): "ok", ("", "sending"): "ok", ("", "store"): "failed", ("", "journal"): "ok",
        ("", "senders"): "cannot tell", ("primary", "maildir"): "ok", ("fallback", "maildir"): "ok",
    }  # fmt: skip
    assert said(report, "senders") == "the store cannot be read"
    assert report.exit_code is ExitCode.BAD_CONFIG


def test_the_journal_folder_is_looked_at_and_not_made(sqlite_ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(checked(sqlite_ground), "journal").endswith("not made yet")
    (sqlite_ground.folder / "journal").touch()
    report = checked(sqlite_ground)
    assert (standings(report)["", "journal"], report.exit_code) == ("failed", ExitCode.UNREACHABLE)
    (sqlite_ground.folder / "journal").unlink()
    monkeypatch.setattr(check, "LEAST_FREE_BYTES", 1 << 62)
    assert "MiB are free" in said(checked(sqlite_ground), "journal")
    monkeypatch.setattr(check, "NETWORK_FILE_SYSTEMS", {check.file_system(sqlite_ground.folder)})
    assert "lies on a network file system" in said(checked(sqlite_ground), "journal")


def test_the_keys_of_letters_are_looked_for(sqlite_ground: Ground) -> None:
    key = sqlite_ground.folder / "letters-key"
    sqlite_ground.letters = LettersSettings({"key_file": str(key)})
    assert standings(checked(sqlite_ground))["", "letters"] == "failed"
    key.write_text(os.urandom(32).hex())
    assert standings(checked(sqlite_ground))["", "letters"] == "ok"


def test_the_gravest_failure_gives_the_exit_code() -> None:
    def code(*codes: ExitCode) -> ExitCode:
        return CheckReport(tuple(Line("", "", failed("x", "y"), one) for one in codes)).exit_code

    assert code(ExitCode.DISABLED, ExitCode.UNREACHABLE) is ExitCode.UNREACHABLE
    assert code(ExitCode.UNREACHABLE, ExitCode.BAD_CONFIG, ExitCode.REWOUND) is ExitCode.BAD_CONFIG
    assert code(ExitCode.STOPPED_EARLY, ExitCode.DISABLED) is ExitCode.DISABLED
    assert code(ExitCode.STOPPED_EARLY) is ExitCode.STOPPED_EARLY
    assert CheckReport(()).exit_code is ExitCode.DONE
