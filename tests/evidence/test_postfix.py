"""What each line of a Postfix log proves about a message in doubt."""

from pathlib import Path

import pytest

from sendctl.evidence.model import Absent, Accepted, CannotTell, LastStatus
from tests.evidence.writing import (
    DOTTED_AT,
    KEY,
    active,
    client,
    cut_off,
    delivery,
    find,
    find_in,
    framed,
    named,
    postfix,
    removed,
    wanted,
    write,
)

QID, LONG_QID = "DD6B820E0E5", "4jXGqq3zjNzJHSY"


@pytest.mark.parametrize("queue_id", [QID, LONG_QID])
def test_queue_active_after_the_message_id_is_acceptance(tmp_path: Path, queue_id: str) -> None:
    found = find_in(tmp_path, [client(queue_id), named(queue_id), active(queue_id)])
    assert found == Accepted(queue_id, DOTTED_AT, LastStatus.QUEUED)


@pytest.mark.parametrize("status", ["sent", "deferred", "bounced"])
def test_the_delivery_to_the_recipient_is_the_last_status(tmp_path: Path, status: str) -> None:
    lines = [client(QID), named(QID), active(QID), delivery(QID, "deferred"), active(QID, 300), delivery(QID, status)]
    found = find_in(tmp_path, [*lines, removed(QID, 2)])
    assert isinstance(found, Accepted)
    assert found.last_status == status


def test_a_message_id_line_alone_is_no_acceptance_and_no_proof_of_absence(tmp_path: Path) -> None:
    found = find_in(tmp_path, [client(QID), named(QID)])
    assert isinstance(found, CannotTell)
    assert QID in found.reason


def test_a_connection_lost_in_the_data_proves_absence_though_the_message_id_is_logged_later(tmp_path: Path) -> None:
    assert isinstance(find_in(tmp_path, [client(QID), cut_off(), named(QID)]), Absent)
    assert isinstance(find_in(tmp_path, [client(QID), named(QID), cut_off()]), Absent)


def test_a_connection_lost_by_another_smtpd_process_proves_nothing(tmp_path: Path) -> None:
    lines = [client("AAAAAAAAAA", smtpd="smtpd[99]"), client(QID), cut_off(smtpd="smtpd[99]"), named(QID)]
    assert isinstance(find_in(tmp_path, lines), CannotTell)


def test_a_connection_lost_in_the_next_message_is_not_laid_to_the_one_before(tmp_path: Path) -> None:
    lines = [client(QID), named(QID), client("BBBBBBBBBB", 1), cut_off(1), named("BBBBBBBBBB", 1, "x@shop.example")]
    assert isinstance(find_in(tmp_path, lines), CannotTell)


def test_a_connection_lost_before_a_proxy_filter_is_not_laid_to_an_earlier_message(tmp_path: Path) -> None:
    lines = [client(QID), named(QID), postfix(1, "smtpd[10]", "NOQUEUE: client=app.example[192.0.2.1]"), cut_off(2)]
    assert isinstance(find_in(tmp_path, lines), CannotTell)


@pytest.mark.parametrize(
    ("service", "text"),
    [
        (
            "cleanup[11]",
            "{}: reject: body spam from app.example[192.0.2.1]; from=<a@b.example> to=<c@d.example>: 5.7.1 no",
        ),
        ("cleanup[11]", "{}: milter-reject: END-OF-MESSAGE from app.example[192.0.2.1]: 5.7.1 rejected"),
        ("smtpd[10]", "{}: reject: END-OF-MESSAGE from app.example[192.0.2.1]: 451 4.3.5 try later"),
        ("cleanup[11]", "warning: {}: queue file size limit exceeded"),
        ("cleanup[11]", "warning: {}: write queue file: No space left on device"),
    ],
)
def test_a_refused_message_is_absent(tmp_path: Path, service: str, text: str) -> None:
    refused = postfix(1, service, text.format(QID))
    assert isinstance(find_in(tmp_path, [client(QID), named(QID), refused]), Absent)
    assert isinstance(find_in(tmp_path, [client(QID), refused, named(QID, 1)]), Absent)


def test_one_refused_recipient_does_not_end_the_message(tmp_path: Path) -> None:
    refused = postfix(0, "smtpd[10]", f"{QID}: reject: RCPT from app.example[192.0.2.1]: 550 5.1.1 unknown")
    assert isinstance(find_in(tmp_path, [client(QID), refused, named(QID)]), CannotTell)


def test_a_discarded_message_without_a_message_id_line_forbids_absence(tmp_path: Path) -> None:
    # header_checks DISCARD before the Message-ID header: answered with 250, and no message-id line at all.
    discard = postfix(
        0, "cleanup[11]", f"{QID}: discard: header X-Test: y from app.example[192.0.2.1]; from=<a@b.example>"
    )
    assert isinstance(find_in(tmp_path, [client(QID), discard]), CannotTell)


def test_a_message_left_to_a_filter_before_the_queue_forbids_absence(tmp_path: Path) -> None:
    accept = postfix(0, "smtpd[10]", "proxy-accept: END-OF-MESSAGE: 250 2.0.0 Ok; from=<a@b.example> to=<c@d.example>")
    assert isinstance(find_in(tmp_path, [accept]), CannotTell)


def test_lines_dropped_by_the_log_daemon_forbid_absence(tmp_path: Path) -> None:
    daemon = postfix(300, "x", "imjournal: 1234 messages lost due to rate-limiting").replace("postfix/x", "rsyslogd")
    assert isinstance(find_in(tmp_path, [daemon]), CannotTell)


def test_a_message_on_hold_cannot_be_told_until_it_is_released(tmp_path: Path) -> None:
    hold = postfix(0, "cleanup[11]", f"{QID}: hold: header X-Test: y from app.example[192.0.2.1]; from=<a@b.example>")
    assert isinstance(find_in(tmp_path, [client(QID), hold, named(QID)]), CannotTell)
    assert isinstance(find_in(tmp_path, [client(QID), hold, named(QID), active(QID, 900)]), Accepted)


def test_a_requeued_message_is_followed_under_its_new_queue_id(tmp_path: Path) -> None:
    again = [postfix(5, "pickup[5]", f"EE00: uid=9 from=<news@shop.example> orig_id={QID}"), named("EE00", 5)]
    found = find_in(tmp_path, [client(QID), named(QID), *again, active("EE00", 5), delivery("EE00", "sent", 6)])
    assert isinstance(found, Accepted)
    assert (found.queue_id, found.last_status) == ("EE00", LastStatus.SENT)


def test_a_used_again_queue_id_is_not_taken_for_the_message_before(tmp_path: Path) -> None:
    other = [client(QID, 5), named(QID, 5, "other@shop.example"), active(QID, 5), delivery(QID, "sent", 6)]
    found = find_in(tmp_path, [client(QID), cut_off(), named(QID), *other])
    assert isinstance(found, Absent)
    bounced = [named(QID, 5, "20261122.1@mx.example"), active(QID, 5)]  # a bounce has no client= line
    assert isinstance(find_in(tmp_path, [client(QID), named(QID), *bounced]), CannotTell)


def test_after_removed_the_queue_id_belongs_to_nobody(tmp_path: Path) -> None:
    lines = [client(QID), named(QID), active(QID), delivery(QID, "sent"), removed(QID, 2), delivery(QID, "bounced", 3)]
    found = find_in(tmp_path, lines)
    assert isinstance(found, Accepted)
    assert found.last_status is LastStatus.SENT


def test_a_queue_id_of_another_host_or_instance_is_another_message(tmp_path: Path) -> None:
    elsewhere = [active(QID).replace(" mx ", " mx2 "), active(QID).replace("postfix/", "postfix-out/")]
    log = framed([client(QID), named(QID), *elsewhere]) + framed([], host="mx2")
    assert isinstance(find(write(tmp_path / "mail.log", log)), CannotTell)


def test_services_named_after_a_port_belong_to_their_instance(tmp_path: Path) -> None:
    submission = client(QID, smtpd="submission/smtpd[10]"), cut_off(smtpd="submission/smtpd[10]")
    assert isinstance(find_in(tmp_path, [*submission, named(QID)]), Absent)
    relay = delivery(QID, "sent").replace("postfix/smtp[", "postfix/relay/smtp[")
    found = find_in(tmp_path, [client(QID), named(QID), active(QID), relay])
    assert isinstance(found, Accepted)
    assert found.last_status is LastStatus.SENT


def test_deliveries_to_others_do_not_change_the_status(tmp_path: Path) -> None:
    archive = delivery(QID, "sent", to="to=<archive@shop.example>")
    found = find_in(tmp_path, [client(QID), named(QID), active(QID), archive, delivery(QID, "deferred")])
    assert isinstance(found, Accepted)
    assert found.last_status is LastStatus.DEFERRED


def test_an_aliased_recipient_is_known_by_the_original_address(tmp_path: Path) -> None:
    alias = delivery(QID, "sent", to="to=<a.b@inside.example>, orig_to=<Ann@Client.example>")
    found = find_in(tmp_path, [client(QID), named(QID), active(QID), alias])
    assert isinstance(found, Accepted)
    assert found.last_status is LastStatus.SENT


def test_a_status_quoted_by_the_remote_server_is_not_the_status(tmp_path: Path) -> None:
    quoted = delivery(QID, "deferred").replace("250 2.0.0 ok", "said: 450 to=<ann@client.example>, status=sent")
    found = find_in(tmp_path, [client(QID), named(QID), active(QID), quoted])
    assert isinstance(found, Accepted)
    assert found.last_status is LastStatus.DEFERRED


def test_a_resent_message_id_names_another_message(tmp_path: Path) -> None:
    resent = named(QID).replace("message-id=", "resent-message-id=")
    lines = [client(QID), resent, named(QID, 0, "other@shop.example"), active(QID)]
    assert isinstance(find_in(tmp_path, lines), Absent)


def test_a_longer_message_id_that_contains_ours_is_another(tmp_path: Path) -> None:
    lines = [
        client(QID),
        named(QID, 0, "x" + KEY),
        client("AA", 1),
        named("AA", 1, KEY + ".x"),
        active(QID),
        active("AA"),
    ]
    assert isinstance(find_in(tmp_path, lines), Absent)


def test_expired_mail_has_bounced(tmp_path: Path) -> None:
    expired = postfix(9, "qmgr[12]", f"{QID}: from=<news@shop.example>, status=expired, returned to sender")
    found = find_in(tmp_path, [client(QID), named(QID), active(QID), expired, removed(QID, 9)])
    assert isinstance(found, Accepted)
    assert found.last_status is LastStatus.BOUNCED


def test_a_content_filter_gives_the_message_a_second_queue_id(tmp_path: Path) -> None:
    lines = [client(QID), named(QID), active(QID), delivery(QID, "sent"), removed(QID, 1)]
    second = [
        client("CC00", 1),
        named("CC00", 1),
        active("CC00", 1),
        delivery("CC00", "bounced", 2),
        removed("CC00", 3),
    ]
    found = find_in(tmp_path, [*lines, *second])
    assert found == Accepted(QID, wanted().dotted_at, LastStatus.BOUNCED)


NEVER = "2026-13-45T04:00:00.000000+00:00"  # no calendar has that date


def without_a_time(line: str) -> str:
    return f"{NEVER}{line[line.index(' ') :]}"


def test_a_message_id_at_no_readable_time_forbids_absence(tmp_path: Path) -> None:
    found = find_in(tmp_path, [without_a_time(named(QID))])
    assert isinstance(found, CannotTell)
    assert f"a line that names {KEY} has no readable time" in found.reason


def test_an_empty_message_id_forbids_absence(tmp_path: Path) -> None:
    found = find_in(tmp_path, [client(QID), named(QID, key="")])
    assert isinstance(found, CannotTell)
    assert found.kind == "blind"


def test_lost_lines_at_no_readable_time_blind_no_minute(tmp_path: Path) -> None:
    daemon = postfix(300, "x", "imjournal: 1234 messages lost due to rate-limiting").replace("postfix/x", "rsyslogd")
    assert isinstance(find_in(tmp_path, [without_a_time(daemon)]), Absent)


@pytest.mark.parametrize(
    "line",
    [
        postfix(0, "x", "daemon started").replace("postfix/x", "postfix"),
        postfix(0, "cleanup[11]", "warning: ABC123: cannot find my own name"),
    ],
    ids=["of no service", "another warning"],
)
def test_lines_about_nothing_that_is_asked_leave_absence_proven(tmp_path: Path, line: str) -> None:
    assert isinstance(find_in(tmp_path, [line]), Absent)


@pytest.mark.parametrize(
    "line",
    [
        postfix(1, "smtp[13]", f"{QID}: to=<ann@client.example>, relay=none, status=undecided (?)"),
        postfix(1, "bounce[14]", f"{QID}: sender non-delivery notification: 5B2F21"),
        postfix(1, "qmgr[12]", f"{QID}: skipped, still being delivered"),
    ],
    ids=["no known status", "another service", "another word of qmgr"],
)
def test_lines_that_tell_no_delivery_do_not_accept(tmp_path: Path, line: str) -> None:
    found = find_in(tmp_path, [client(QID), named(QID), line])
    assert not isinstance(found, Accepted)


def test_a_connection_that_begins_anew_is_not_laid_to_the_message_before(tmp_path: Path) -> None:
    anew = postfix(1, "smtpd[10]", "connect from app.example[192.0.2.1]")
    before = [client(QID), named(QID)]
    assert isinstance(find_in(tmp_path, [*before, anew, cut_off(2)]), CannotTell)
    assert isinstance(find_in(tmp_path, [*before, cut_off(2)]), Absent)


def test_of_more_sessions_than_are_kept_the_oldest_is_forgotten_and_proves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sendctl.evidence.postfix._REMEMBERED", 2)
    ours = [client(QID), named(QID)]
    others = [client(f"C0FFEE{number}", smtpd=f"smtpd[2{number}]") for number in range(2)]
    assert isinstance(find_in(tmp_path, [*ours, *others[:1], cut_off(2)]), Absent)
    assert isinstance(find_in(tmp_path, [*ours, *others, cut_off(2)]), CannotTell)
