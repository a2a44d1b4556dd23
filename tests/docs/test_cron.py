"""The line of docs/cron.md that pings another machine: after each pass that did its work, and after no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.situations import SITUATIONS
from tests.docs.test_runbooks import ROOT, host

PAGE = (ROOT / "docs/cron.md").read_text()
REPLIES = {
    "recipients are refused": "550 5.1.1 no such user",
    "the sender is refused": "550 5.7.1 not from you",
    "everybody is put off": "452 4.5.3 too many recipients",
}


def the_line() -> str:
    (found,) = re.findall(r"^    \* \* \* \* \* (.*ping.*)$", PAGE, re.MULTILINE)
    assert "%" not in found, "cron would make it a line break"
    assert found.count("/opt/sendctl/bin/") == 1
    return str(found).replace("/opt/sendctl/bin/", "")


@pytest.mark.parametrize(
    ("situation", "code", "pings"),
    [
        ("nothing is due", 0, 1),
        ("all is sent in one pass", 0, 1),
        ("the campaign is larger than a pass", 75, 1),
        ("recipients are refused", 3, 1),
        ("the sender is refused", 3, 1),
        ("everybody is put off", 69, 0),
        ("the relay is down", 69, 0),
        ("sending is disabled", 5, 0),
        ("the store is gone", 78, 0),
    ],
)
def test_a_pass_that_did_its_work_is_a_ping_and_no_other(situation: str, code: int, pings: int, tmp_path: Path) -> None:
    with host(tmp_path, f"sqlite:///{tmp_path}/sendctl.db") as world:
        SITUATIONS["a campaign is enqueued"](world)
        if situation == "nothing is due":
            world.expect("sendctl pause spring-sale")
        elif situation == "the campaign is larger than a pass":
            config = tmp_path / "sendctl.toml"
            config.write_text(config.read_text().replace("[send]\n", "[send]\nmax_seconds = 0.01\n"))
        elif situation in REPLIES:
            world.stop_relay()
            world.start_relay(script=[{"at": "rcpt", "do": f"reply:{REPLIES[situation]}"}])
            # All that is due fits into one window: nothing is left to be blocked.
            world.sql("UPDATE messages SET next_attempt_at = '2999-01-01 00:00:00.000000' WHERE id > 15")
        elif situation == "the store is gone":
            (tmp_path / "sendctl.db").unlink()
        elif situation in SITUATIONS:
            SITUATIONS[situation](world)
        tried, said = world.shell("sendctl() { command sendctl \"$@\"; echo $? > code; return $(cat code); }\n"
                               f"curl() {{ echo \"$@\" >> pings; }}\n{the_line()}")  # fmt: skip
        assert tried == 0, said
        assert int((tmp_path / "code").read_text()) == code
        asked = (tmp_path / "pings").read_text().splitlines() if (tmp_path / "pings").exists() else []
        assert len(asked) == pings
        assert all(line.endswith(" https://ping.shop.example/sendctl") for line in asked)
