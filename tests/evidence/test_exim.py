"""What each line of an Exim main log proves about a message in doubt."""

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from sendctl.evidence.model import Absent, Accepted, CannotTell, Finding, LastStatus
from sendctl.evidence.search import search
from tests.evidence.writing import DOTTED_AT, KEY, NOW, RECIPIENT, exim, exim_framed, find, wanted, write

SHORT, LONG = "1xUzXX-0002An-2L", "1qRBGM-0000000G7Bv-2Qlc"
ARRIVAL = f"<= news@shop.example H=(app.example) [192.0.2.1] P=esmtp S=347 id={KEY}"
ROUTED = 'R=dnslookup T=remote_smtp H=mx.client.example [192.0.2.9] C="250 OK"'


def find_in(folder: Path, *texts: str) -> Finding:
    return find(write(folder / "mainlog", exim_framed(exim(1, text) for text in texts)), mta="exim")


@pytest.mark.parametrize("exim_id", [SHORT, LONG])
@pytest.mark.parametrize("pid", ["", "[812] "])
def test_an_arrival_line_is_acceptance(tmp_path: Path, exim_id: str, pid: str) -> None:
    found = find_in(tmp_path, f'{pid}{exim_id} {ARRIVAL} T="x" for {RECIPIENT}')
    assert isinstance(found, Accepted)
    assert (found.queue_id, found.last_status) == (exim_id, LastStatus.QUEUED)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (f"=> {RECIPIENT} {ROUTED}", "sent"),
        (f"-> {RECIPIENT} F=<news@shop.example> {ROUTED}", "sent"),
        (f"=> ann <Ann@Client.example> {ROUTED}", "sent"),
        (f"== {RECIPIENT} R=dnslookup T=remote_smtp defer (-44): 450 later", "deferred"),
        (f"** {RECIPIENT} R=dnslookup T=remote_smtp: 550 unknown", "bounced"),
        (f"** {RECIPIENT}: Unrouteable address", "bounced"),
        (f"=> archive@shop.example {ROUTED} for {RECIPIENT}", "queued"),
    ],
)
def test_a_delivery_line_for_the_recipient_is_the_last_status(tmp_path: Path, line: str, status: str) -> None:
    found = find_in(tmp_path, f"{SHORT} {ARRIVAL}", f"{SHORT} {line}")
    assert isinstance(found, Accepted)
    assert found.last_status == status


def test_completed_says_less_than_a_delivery(tmp_path: Path) -> None:
    sent = find_in(tmp_path, f"{SHORT} {ARRIVAL}", f"{SHORT} => {RECIPIENT} {ROUTED}", f"{SHORT} Completed")
    discarded = find_in(tmp_path, f"{SHORT} {ARRIVAL}", f"{SHORT} => blackhole (DATA ACL)", f"{SHORT} Completed")
    assert isinstance(sent, Accepted)
    assert isinstance(discarded, Accepted)
    assert (sent.last_status, discarded.last_status) == (LastStatus.SENT, LastStatus.REMOVED)


def test_a_connection_lost_after_the_final_dot_is_not_acceptance(tmp_path: Path) -> None:
    lost = f"{SHORT} SMTP connection lost after final dot H=(app.example) [192.0.2.1] P=esmtp"
    assert isinstance(find_in(tmp_path, lost), Absent)
    assert isinstance(find_in(tmp_path, "SMTP connection from [192.0.2.1] lost while reading message data"), Absent)


def test_an_id_used_again_is_another_message(tmp_path: Path) -> None:
    other = f"{SHORT} <= b@c.example P=esmtp S=1 id=other@shop.example", f"{SHORT} ** {RECIPIENT}: no"
    found = find_in(tmp_path, f"{SHORT} {ARRIVAL}", *other)
    assert isinstance(found, Accepted)
    assert found.last_status is LastStatus.QUEUED


def test_arrivals_without_a_message_id_forbid_absence(tmp_path: Path) -> None:
    # log_selector = -msg_id leaves the field out of every line.
    assert isinstance(find_in(tmp_path, f"{SHORT} <= news@shop.example H=(a) [192.0.2.1] P=esmtps S=347"), CannotTell)
    assert isinstance(find_in(tmp_path, f"{SHORT} <= <> R=1xUzXX-0002Az-2L U=exim P=local S=9"), Absent)


def test_a_subject_that_looks_like_a_field_is_not_the_message_id(tmp_path: Path) -> None:
    subject = f'{SHORT} <= a@b.example P=esmtp S=9 id=other@shop.example T="re: id={KEY} x"'
    assert isinstance(find_in(tmp_path, subject), Absent)


def test_a_log_without_zones_is_read_in_the_given_zone(tmp_path: Path) -> None:
    text = exim_framed([exim(0, f"{SHORT} {ARRIVAL}")]).replace(" +0000", "")
    log = write(tmp_path / "mainlog", text.replace("2026-11-22 04:00:00", "2026-11-22 05:00:00.123"))
    found = search([log], "exim", [wanted()], now=NOW, zone=ZoneInfo("Europe/Berlin"))[KEY]
    assert found == Accepted(SHORT, DOTTED_AT, LastStatus.QUEUED)


def test_an_arrival_at_no_readable_time_forbids_absence(tmp_path: Path) -> None:
    line = exim(1, f"{SHORT} {ARRIVAL}")
    found = find(write(tmp_path / "mainlog", exim_framed(["2026-13-45" + line[10:]])), mta="exim")
    assert isinstance(found, CannotTell)
    assert f"the line of {SHORT} has no readable time" in found.reason
