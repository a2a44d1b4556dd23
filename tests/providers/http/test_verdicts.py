"""What each documented answer means, and each that nobody documents; by its code, not by its HTTP status alone."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sendctl.providers.base import Phase
from sendctl.providers.http.api import Reply
from sendctl.providers.http.mailgun import Mailgun
from sendctl.providers.http.postmark import Postmark
from sendctl.providers.http.resend import Resend
from sendctl.providers.http.sendgrid import SendGrid
from sendctl.providers.http.ses import Ses, Signer
from sendctl.providers.http.twilio import Twilio
from sendctl.states import AttemptOutcome as A

HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


def reply(status: int, body: Any, **headers: str) -> Reply:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, content)


def resend(status: int, name: str, message: str = "said") -> Reply:
    return reply(status, {"statusCode": status, "name": name, "message": message})


def postmark(status: int, code: int, message: str = "said") -> Reply:
    return reply(status, {"ErrorCode": code, "Message": message})


@pytest.mark.parametrize(
    ("answer", "kind", "scope", "error_class"),
    [
        (resend(401, "missing_api_key"), A.HALTED, "provider", "auth"),
        (resend(403, "invalid_api_key"), A.HALTED, "provider", "auth"),
        (resend(401, "restricted_api_key"), A.HALTED, "provider", "auth"),
        (resend(403, "validation_error", "The shop.example domain is not verified."), A.HALTED, "campaign", "sender"),
        (resend(422, "invalid_from_address"), A.HALTED, "campaign", "sender"),
        (resend(422, "validation_error", "Invalid `from` field."), A.HALTED, "campaign", "sender"),
        (resend(422, "validation_error", "Invalid `to` field."), A.REFUSED, "recipient", "address"),
        (resend(422, "validation_error", "Invalid `to` field: `from`@x.example"), A.REFUSED, "recipient", "address"),
        (resend(400, "validation_error", "Invalid `html` field."), A.REFUSED, "recipient", "data"),
        (resend(422, "missing_required_field"), A.REFUSED, "recipient", "data"),
        (resend(429, "rate_limit_exceeded"), A.DEFERRED, "provider", "throttled"),
        (resend(429, "daily_quota_exceeded"), A.HALTED, "provider", "quota"),
        (resend(429, "monthly_quota_exceeded"), A.HALTED, "provider", "quota"),
        (resend(451, "security_error"), A.HALTED, "provider", "suspended"),
        (resend(409, "concurrent_idempotent_requests"), A.UNKNOWN, "provider", "no-verdict"),
        (resend(409, "invalid_idempotent_request"), A.UNKNOWN, "provider", "no-verdict"),
        (resend(500, "internal_server_error"), A.UNKNOWN, "provider", "no-verdict"),
        (resend(500, "application_error"), A.UNKNOWN, "provider", "no-verdict"),
        (resend(500, "validation_error", "Invalid `to` field."), A.UNKNOWN, "provider", "no-verdict"),
        (resend(503, "rate_limit_exceeded"), A.UNKNOWN, "provider", "no-verdict"),
        (resend(200, "rate_limit_exceeded"), A.DEFERRED, "provider", "throttled"),  # an error inside of a 200
    ],
)
def test_resend_is_taken_at_its_word(answer: Reply, kind: A, scope: str, error_class: str) -> None:
    outcome = Resend("").outcome(answer)
    assert (outcome.kind, outcome.scope, outcome.error_class) == (kind, scope, error_class)
    assert outcome.code == answer.status


@pytest.mark.parametrize(
    ("answer", "kind", "scope", "error_class"),
    [
        (postmark(401, 10), A.HALTED, "provider", "auth"),
        (postmark(422, 400), A.HALTED, "campaign", "sender"),
        (postmark(422, 401), A.HALTED, "campaign", "sender"),
        (postmark(422, 405), A.HALTED, "provider", "quota"),
        (postmark(422, 406), A.REFUSED, "recipient", "address"),
        (postmark(422, 300, "Error parsing 'To': Illegal email address."), A.REFUSED, "recipient", "address"),
        (postmark(422, 300, "Invalid 'From' address."), A.HALTED, "campaign", "sender"),
        (postmark(422, 300, "Provide either TextBody or HtmlBody."), A.REFUSED, "recipient", "data"),
        (postmark(422, 412), A.HALTED, "provider", "suspended"),
        (postmark(422, 413), A.HALTED, "provider", "suspended"),
        (postmark(422, 1235), A.HALTED, "provider", "protocol"),
        (postmark(422, 402), A.HALTED, "provider", "protocol"),
        (postmark(429, 429), A.DEFERRED, "provider", "throttled"),
        (postmark(503, 100), A.DEFERRED, "provider", "unavailable"),
        (postmark(500, 0), A.UNKNOWN, "provider", "no-verdict"),
        (
            postmark(422, 300, "Error parsing 'To': Illegal email address ''From'@x.example'."),
            A.REFUSED,
            "recipient",
            "address",
        ),
        (postmark(422, 300, "Invalid 'From' address: 'a'To'b@x.example'."), A.HALTED, "campaign", "sender"),
        (postmark(200, 406), A.REFUSED, "recipient", "address"),  # an error inside of a 200
        (postmark(200, 0), A.UNKNOWN, "provider", "no-verdict"),  # success without an id
    ],
)
def test_postmark_is_taken_at_its_word(answer: Reply, kind: A, scope: str, error_class: str) -> None:
    outcome = Postmark("").outcome(answer)
    assert (outcome.kind, outcome.scope, outcome.error_class) == (kind, scope, error_class)


def sendgrid(status: int, field: str | None = None, **headers: str) -> Reply:
    return reply(status, {"errors": [{"message": "said", "field": field, "help": None}]}, **headers)


@pytest.mark.parametrize(
    ("answer", "kind", "scope", "error_class"),
    [
        (sendgrid(401), A.HALTED, "provider", "auth"),
        (sendgrid(403, "from"), A.HALTED, "campaign", "sender"),
        (sendgrid(400, "from.email"), A.HALTED, "campaign", "sender"),
        (sendgrid(400, "personalizations.0.to.0.email"), A.REFUSED, "recipient", "address"),
        (sendgrid(400, "content.0.value"), A.REFUSED, "recipient", "data"),
        (sendgrid(400), A.REFUSED, "recipient", "data"),
        (sendgrid(413), A.REFUSED, "recipient", "data"),
        (sendgrid(429), A.DEFERRED, "provider", "throttled"),
        (sendgrid(500), A.UNKNOWN, "provider", "no-verdict"),
        (reply(202, b""), A.UNKNOWN, "provider", "no-verdict"),  # taken, perhaps, but under which id?
    ],
)
def test_sendgrid_is_taken_at_its_word(answer: Reply, kind: A, scope: str, error_class: str) -> None:
    outcome = SendGrid("").outcome(answer)
    assert (outcome.kind, outcome.scope, outcome.error_class) == (kind, scope, error_class)


def test_sendgrid_says_when_its_limit_is_reset() -> None:
    reset = str(int(time.time()) + 30)
    for answer in (sendgrid(429, x_ratelimit_reset=reset), reply(429, HTML, x_ratelimit_reset=reset)):
        assert 0 < (SendGrid("").outcome(answer).retry_after_s or 0) <= 30


@pytest.mark.parametrize(
    ("said", "headers", "wait_s"),
    [
        ("limit exceeded, try again after 120 seconds", {}, 120.0),
        ("limit exceeded, try again after 99999999999999 seconds", {}, 86400.0),
        ("limit exceeded, try again after Mon, 25 Aug 2025 07:00:31 UTC", {}, 31.0),
        ("limit exceeded, try again after Mon, 25 Aug 2025 07:00:31 UTC", {"retry_after": "7"}, 7.0),
        ("limit exceeded, try again after Mon, 99 Aug 2025", {}, None),
        ("limit exceeded, try again after lunch", {}, None),
    ],
)
def test_mailgun_says_in_its_words_how_long_to_wait(said: str, headers: dict[str, str], wait_s: float | None) -> None:
    for status in (420, 429):
        answer = reply(status, {"message": said}, date="Mon, 25 Aug 2025 07:00:00 GMT", **headers)
        assert Mailgun("", "mg.shop.example").outcome(answer).retry_after_s == wait_s


@pytest.mark.parametrize(
    ("status", "said", "kind", "scope", "error_class"),
    [
        (400, "to parameter is not a valid address. please check documentation", A.REFUSED, "recipient", "address"),
        (400, "to parameter is not a valid address: 'from'@x.example", A.REFUSED, "recipient", "address"),
        (400, "'from' parameter is not a valid address. please check documentation", A.HALTED, "campaign", "sender"),
        (400, "Need at least one of 'text' or 'html' parameters specified", A.REFUSED, "recipient", "data"),
        (401, "Invalid private key", A.HALTED, "provider", "auth"),
        (402, "Payment required", A.HALTED, "provider", "quota"),
        (403, "Domain is not allowed to send", A.HALTED, "provider", "suspended"),
        (404, "Domain not found: mg.shop.example", A.HALTED, "provider", "auth"),
        (429, "Too many requests", A.DEFERRED, "provider", "throttled"),
        (420, "Domain is not allowed to send: recipient limit exceeded", A.DEFERRED, "provider", "throttled"),
        (500, "Internal Server Error", A.UNKNOWN, "provider", "no-verdict"),
    ],
)
def test_mailgun_is_taken_at_its_word(status: int, said: str, kind: A, scope: str, error_class: str) -> None:
    outcome = Mailgun("", "mg.shop.example").outcome(reply(status, {"message": said}))
    assert (outcome.kind, outcome.scope, outcome.error_class) == (kind, scope, error_class)


@pytest.mark.parametrize(
    ("status", "name", "said", "kind", "scope", "error_class"),
    [
        (400, "MessageRejected", "Email address is not verified.", A.HALTED, "campaign", "sender"),
        (400, "MessageRejected", "Virus found", A.REFUSED, "recipient", "data"),
        (400, "MessageRejected", "Sending paused for this account.", A.HALTED, "provider", "suspended"),
        (400, "AccountSuspendedException", "", A.HALTED, "provider", "suspended"),
        (400, "SendingPausedException", "", A.HALTED, "provider", "suspended"),
        (400, "MailFromDomainNotVerifiedException", "", A.HALTED, "campaign", "sender"),
        (404, "NotFoundException", "Configuration set <x> does not exist.", A.HALTED, "provider", "protocol"),
        (429, "TooManyRequestsException", "Maximum sending rate exceeded.", A.DEFERRED, "provider", "throttled"),
        (429, "TooManyRequestsException", "Daily message quota exceeded.", A.HALTED, "provider", "quota"),
        (403, "InvalidSignatureException", "", A.HALTED, "provider", "auth"),
        (500, "InternalFailure", "", A.UNKNOWN, "provider", "no-verdict"),
    ],
)
def test_ses_is_taken_at_its_word(status: int, name: str, said: str, kind: A, scope: str, error_class: str) -> None:
    """The name stands in a header with an address behind it, or in the body with a name space before it."""
    for answer in (
        reply(status, {"message": said}, x_amzn_errortype=f"{name}:http://internal.amazon.com/coral/"),
        reply(status, {"message": said, "__type": f"com.amazonaws.sesv2#{name}"}),
    ):
        outcome = SES.outcome(answer)
        assert (outcome.kind, outcome.scope, outcome.error_class) == (kind, scope, error_class)


@pytest.mark.parametrize(
    ("status", "code", "kind", "scope", "error_class"),
    [
        (401, 20003, A.HALTED, "provider", "auth"),
        (400, 21606, A.HALTED, "campaign", "sender"),
        (400, 21608, A.HALTED, "provider", "suspended"),
        (400, 21211, A.REFUSED, "recipient", "address"),
        (400, 21610, A.REFUSED, "recipient", "opted-out"),
        (400, 21612, A.REFUSED, "recipient", "address"),
        (400, 21614, A.REFUSED, "recipient", "address"),
        (400, 21635, A.REFUSED, "recipient", "address"),
        (400, 21408, A.REFUSED, "recipient", "policy"),
        (400, 21617, A.REFUSED, "recipient", "data"),
        (429, 20429, A.DEFERRED, "provider", "throttled"),
        (429, 63017, A.DEFERRED, "provider", "throttled"),
        (500, 20003, A.UNKNOWN, "provider", "no-verdict"),
        (400, 99999, A.HALTED, "provider", "protocol"),
    ],
)
def test_twilio_is_taken_at_its_word(status: int, code: int, kind: A, scope: str, error_class: str) -> None:
    outcome = Twilio("AC1", "token").outcome(reply(status, {"code": code, "message": "said", "status": status}))
    assert (outcome.kind, outcome.scope, outcome.error_class) == (kind, scope, error_class)


SES = Ses(Signer("AKID", "secret", "eu-central-1"), "https://x.example")
SERVICES = [Resend(""), Postmark(""), SendGrid(""), Mailgun("", "mg.shop.example"), SES, Twilio("AC1", "")]


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: type(service).__name__)
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(502, HTML), A.UNKNOWN),
        (reply(504, b""), A.UNKNOWN),
        (reply(200, b""), A.UNKNOWN),
        (reply(200, HTML), A.UNKNOWN),
        (reply(200, b'{"id": "4ef9'), A.UNKNOWN),
        (reply(200, ["ok"]), A.UNKNOWN),
        (reply(200, {"id": 7, "MessageID": 7, "ErrorCode": 0}), A.UNKNOWN),
        (reply(200, {"id": "", "MessageID": "", "ErrorCode": 0}), A.UNKNOWN),
        (reply(200, b"[" * 100_000), A.UNKNOWN),
        (reply(200, b"\xff\xfe"), A.UNKNOWN),
        (reply(303, b""), A.UNKNOWN),
        (reply(408, HTML), A.UNKNOWN),
        (reply(500, {"name": {"a": 1}, "ErrorCode": "x"}), A.UNKNOWN),
        (reply(301, b"", location="https://elsewhere.example/"), A.HALTED),
        (reply(404, HTML), A.HALTED),
        (reply(403, HTML), A.HALTED),
        (reply(429, b""), A.DEFERRED),
        (reply(429, HTML), A.DEFERRED),
    ],
)
def test_what_the_service_did_not_say_is_doubt_or_was_not_passed_on(service: Any, answer: Reply, kind: A) -> None:
    outcome = service.outcome(answer)
    assert outcome.kind is kind
    assert outcome.text.isprintable()
    assert outcome.phase is (Phase.DOTTED if kind is A.UNKNOWN else Phase.REPLIED)


def test_a_good_reply_is_acceptance_whatever_its_content_type_says() -> None:
    assert Resend("").outcome(reply(200, {"id": "4ef9"}, content_type="text/html")).provider_message_id == "4ef9"
    taken = Postmark("").outcome(reply(200, {"ErrorCode": 0, "MessageID": "0a12"}, content_type="text/html"))
    assert taken.provider_message_id == "0a12"


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:30 GMT", "date": "Sun, 22 Nov 2026 10:00:00 GMT"}, 30.0),
        ({"retry-after": "Sun, 22 Nov 2026 09:00:00 GMT", "date": "Sun, 22 Nov 2026 10:00:00 GMT"}, 0.0),
        ({"retry-after": "999999999999"}, 86400.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_understood_in_both_forms(headers: dict[str, str], wait_s: float | None) -> None:
    throttled = Resend("").outcome(Reply(429, headers, b'{"name": "rate_limit_exceeded", "message": "Too many"}'))
    assert throttled.retry_after_s == wait_s


def test_a_daily_quota_waits_for_the_next_day() -> None:
    wait_s = Resend("").outcome(resend(429, "daily_quota_exceeded")).retry_after_s
    assert wait_s is not None
    assert 0 < wait_s <= 86400


WORDS = st.sampled_from(["id", "name", "message", "ErrorCode", "Message", "MessageID", "errors", "field", "code", "sid",
                         "__type", "MessageId", "validation_error", "MessageRejected"])  # fmt: skip
HEADERS = st.sampled_from(["retry-after", "date", "x-ratelimit-reset", "x-message-id", "x-amzn-errortype"])
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | WORDS
    | st.sampled_from([300, 406]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=6),
    max_leaves=12,
)


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: type(service).__name__)
@given(status=st.integers(200, 599), body=ANYTHING, headers=st.dictionaries(HEADERS, st.text(max_size=30)))
@example(status=500, body={"ErrorCode": []}, headers={})
def test_no_answer_is_a_defect(service: Any, status: int, body: Any, headers: dict[str, str]) -> None:
    outcome = service.outcome(Reply(status, headers, json.dumps(body).encode()))
    assert outcome.text.isprintable()
    assert outcome.kind is not A.ACCEPTED or status < 300
    assert outcome.retry_after_s is None or 0 <= outcome.retry_after_s <= 86400
