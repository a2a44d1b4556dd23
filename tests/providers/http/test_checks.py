"""What a service tells of a key and of senders when it is asked, and that nobody is sent anything by it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from sendctl.providers.checks import Checked
from tests.http_double import SENDING_KEY, start_http_double
from tests.providers.http.test_requests import SIGNER, described
from tests.providers.http.world import provider

SHOP = "news@shop.example"
OK, FAILED, UNSURE = "ok", "failed", "cannot tell"


def checked(one: Any, *senders: str, seconds: float = 20.0) -> list[Checked]:
    async def asked() -> list[Checked]:
        async with asyncio.timeout(seconds):
            found = [line async for line in one.check(senders)]
        await one.close()
        return found

    return asyncio.run(asked())


def told(tmp_path: Path, service: str, *senders: str, script: Any = (), **options: Any) -> dict[str, str]:
    """What the double tells, by what was asked about."""
    with start_http_double(tmp_path, service, script=list(script)) as double:
        found = checked(provider(service, double.url, **options), *senders)
        assert double.accepted() == []
        bodies = [row["body"] for row in double.heard()]
        assert not any(bodies), "something was handed over"
    assert len({line.what for line in found}) == len(found)
    return {line.what: str(line.standing) for line in found}


def answer(to: str, status: int, body: Any, **headers: str) -> dict[str, Any]:
    return {"at": "asked", "do": "answer", "to": to, "status": status, "headers": headers, "body": body}


@pytest.mark.parametrize(
    ("service", "lines"),
    [
        ("resend", ["key"]), ("postmark", ["key"]), ("sendgrid", ["key"]), ("mailgun", ["key", "domain"]),
        ("ses", ["key", "account"]), ("twilio", ["key", "sender +15005550006"]),
    ],
)  # fmt: skip
def test_a_good_key_is_proven(tmp_path: Path, service: str, lines: list[str]) -> None:
    assert told(tmp_path, service) == dict.fromkeys(lines, OK)


@pytest.mark.parametrize("service", ["resend", "postmark", "sendgrid", "mailgun", "twilio"])
def test_a_bad_key_is_found_out_and_nothing_else_is_asked(tmp_path: Path, service: str) -> None:
    assert told(tmp_path, service, SHOP, key="wrong") == {"key": FAILED}


def test_a_bad_access_key_of_ses_is_found_out(tmp_path: Path) -> None:
    assert told(tmp_path, "ses", SHOP, access_key_id="AKOTHER") == {"key": FAILED}


def test_keys_that_may_only_send_are_known_as_such(tmp_path: Path) -> None:
    assert told(tmp_path, "resend", SHOP, key=SENDING_KEY) == {"key": OK, f"sender {SHOP}": UNSURE}
    assert told(tmp_path, "mailgun", SHOP, key=SENDING_KEY) == {"key": OK, f"sender {SHOP}": OK}
    denied = answer("account", 403, {"message": "not authorized"}, **{"x-amzn-errortype": "AccessDeniedException"})
    assert told(tmp_path, "ses", SHOP, script=[denied]) == {"key": OK, f"sender {SHOP}": OK}
    denied["to"] = ""
    assert told(tmp_path, "ses", SHOP, script=[denied]) == {"key": OK, f"sender {SHOP}": UNSURE}
    no_lists = [answer("whitelabel", 403, {"errors": [{"message": "access forbidden"}]})]
    assert told(tmp_path, "sendgrid", SHOP, script=no_lists) == {"key": OK, f"sender {SHOP}": UNSURE}
    may_not = [answer("scopes", 200, {"scopes": ["whitelabel.read"]})]
    assert told(tmp_path, "sendgrid", script=may_not) == {"key": FAILED}


@pytest.mark.parametrize(
    ("service", "sender", "standing"),
    [
        ("resend", SHOP, OK),
        ("resend", "a@second.example", OK),
        ("resend", "a@pending.example", FAILED),
        ("resend", "a@half.example", UNSURE),
        ("resend", "a@off.example", FAILED),
        ("resend", "a@other.example", FAILED),
        ("resend", "a@mail.shop.example", FAILED),  # each subdomain is a domain of its own there
        ("postmark", SHOP, UNSURE),
        ("sendgrid", SHOP, OK),
        ("sendgrid", "one@single.example", OK),
        ("sendgrid", "two@single.example", FAILED),
        ("sendgrid", "a@pending.example", FAILED),
        ("sendgrid", "a@mail.shop.example", UNSURE),
        ("mailgun", SHOP, OK),
        ("mailgun", "a@other.example", UNSURE),
        ("ses", SHOP, OK),
        ("ses", "a@mail.shop.example", OK),  # a verified domain verifies those below it
        ("ses", "one@single.example", OK),
        ("ses", "two@single.example", FAILED),
        ("ses", "a@pending.example", FAILED),
        ("twilio", "+15005550006", OK),
        ("twilio", "+15005550009", FAILED),  # it cannot send texts
        ("twilio", "+15005550001", FAILED),
        ("twilio", "Shop", UNSURE),
    ],
)
def test_a_sender_is_known_verified_or_not_as_far_as_the_service_tells(
    tmp_path: Path, service: str, sender: str, standing: str
) -> None:
    assert told(tmp_path, service, sender)[f"sender {sender}"] == standing


def test_texts_without_a_sender_go_by_the_messaging_service_or_not_at_all(tmp_path: Path) -> None:
    own = {"messaging_service_sid": "MG1", "sender": ""}
    assert told(tmp_path, "twilio", "", **own) == {"key": OK, "service MG1": OK}
    assert told(tmp_path, "twilio", "", messaging_service_sid="MG2") == {"key": OK, "service MG2": FAILED}
    assert told(tmp_path, "twilio", "", sender="") == {"key": OK, "sender": FAILED}
    broken = [answer("Services", 503, "")]
    assert told(tmp_path, "twilio", "", script=broken, **own) == {"key": OK, "service MG1": UNSURE}
    no_numbers = [answer("Incoming", 500, "")]
    assert told(tmp_path, "twilio", script=no_numbers) == {"key": OK, "sender +15005550006": UNSURE}


@pytest.mark.parametrize(
    ("service", "rule", "what"),
    [
        ("postmark", answer("server", 200, {"ID": 1, "Name": "try", "DeliveryType": "Sandbox"}), "delivery"),
        ("mailgun", answer("domains", 200, {"domain": {"state": "active", "type": "sandbox"}}), "domain"),
        ("mailgun", answer("domains", 200, {"domain": {"state": "unverified", "type": "custom"}}), "domain"),
        ("mailgun", answer("domains", 404, {"message": "Domain not found"}), "key"),
        ("ses", answer("account", 200, {"SendingEnabled": True, "ProductionAccessEnabled": False}), "account"),
        ("ses", answer("account", 200, {"SendingEnabled": False, "EnforcementStatus": "SHUTDOWN"}), "account"),
        ("twilio", answer("Accounts/AC1.json", 200, {"status": "suspended", "type": "Full"}), "account"),
        ("twilio", answer("Accounts/AC1.json", 200, {"status": "active", "type": "Trial"}), "account"),
    ],
)
def test_an_account_that_reaches_nobody_is_not_well(
    tmp_path: Path, service: str, rule: dict[str, Any], what: str
) -> None:
    assert told(tmp_path, service, script=[rule])[what] == FAILED


def test_an_account_of_ses_that_says_little_is_taken_at_its_word(tmp_path: Path) -> None:
    for body in ({"SendingEnabled": True}, {"SendQuota": {"SentLast24Hours": "many"}}):
        assert told(tmp_path, "ses", script=[answer("account", 200, body)]) == {"key": OK, "account": OK}


def test_the_stream_of_postmark_is_asked_for(tmp_path: Path) -> None:
    for name, standing in (("broadcast", OK), ("nothing", FAILED)):
        assert told(tmp_path, "postmark", message_stream=name) == {"key": OK, f"stream {name}": standing}
    for body, standing in (
        ({"MessageStreamType": "Broadcasts", "ArchivedAt": "2026-01-01T00:00:00Z"}, FAILED),
        ({"MessageStreamType": "Inbound"}, FAILED),
    ):
        rule = answer("streams", 200, body)
        assert told(tmp_path, "postmark", message_stream="x", script=[rule])["stream x"] == standing
    assert told(tmp_path, "postmark", message_stream="x", script=[answer("streams", 503, "")])["stream x"] == UNSURE


@pytest.mark.parametrize("service", ["resend", "postmark", "sendgrid", "mailgun", "ses", "twilio"])
@pytest.mark.parametrize(
    ("status", "body", "standing"),
    [(200, "<html>Log in to the network</html>", FAILED), (404, "<html>Not found</html>", FAILED), (302, "", FAILED),
     (503, "down", UNSURE), (429, "", UNSURE)],
)  # fmt: skip
def test_what_is_no_answer_of_the_service_proves_no_key(
    tmp_path: Path, service: str, status: int, body: str, standing: str
) -> None:
    found = told(tmp_path, service, SHOP, script=[answer("", status, body)])
    assert FAILED in found.values() if standing == FAILED else set(found.values()) == {UNSURE}
    assert OK not in found.values()


@pytest.mark.parametrize("fault", ["close", "reset"])
def test_a_service_that_does_not_answer_may_be_there_another_time(tmp_path: Path, fault: str) -> None:
    with start_http_double(tmp_path, "resend", script=[{"at": "connect", "do": fault}]) as double:
        (line,) = checked(provider("resend", double.url), SHOP)
    assert (line.what, line.standing, line.passing) == ("service", FAILED, True)
    assert double.url in line.said


def test_no_key_stands_in_what_is_told(tmp_path: Path) -> None:
    with start_http_double(tmp_path, "resend") as double:
        for key in ("re_topsecret", SENDING_KEY):
            assert not any(key in repr(line) for line in checked(provider("resend", double.url, key=key), SHOP))


@pytest.mark.parametrize("identity", ["shop.example", "n%C3%BC@shop.example", "news%2Bshop%40shop.example"])
def test_a_question_to_ses_is_signed_as_the_sdk_signs_it(identity: str) -> None:
    url = f"https://email.eu-central-1.amazonaws.com/v2/email/identities/{identity}"
    ours = SIGNER.signed(url, None, datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC))
    theirs = AWSRequest("GET", url)
    theirs.context["timestamp"] = theirs.headers["X-Amz-Date"] = "20261122T100000Z"
    auth = SigV4Auth(Credentials("AKID", "secret"), "ses", "eu-central-1")
    wanted = auth.signature(auth.string_to_sign(theirs, auth.canonical_request(theirs)), theirs)
    assert ours["authorization"].endswith(f"Signature={wanted}")
    assert "content-type" not in ours


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("resend/resend.json", "/domains"),
        ("mailgun/openapi.yaml", "/v4/domains/{name}"),
        ("twilio/twilio_api_v2010.json", "/2010-04-01/Accounts/{Sid}.json"),
        ("twilio/twilio_api_v2010.json", "/2010-04-01/Accounts/{AccountSid}/IncomingPhoneNumbers.json"),
    ],
)
def test_what_is_asked_for_is_described(name: str, path: str) -> None:
    assert "get" in described(name)["paths"][path]
