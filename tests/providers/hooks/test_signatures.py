"""Envelopes of each service: a good one is opened, and none that was changed, is old, or was signed by another."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sendctl.providers.hooks.envelope import Envelope, Opened, Refused
from sendctl.providers.hooks.opening import Opener
from sendctl.providers.hooks.section import CertificateAway, SecretMissing
from tests.providers.events import (
    test_mailgun,
    test_postmark,
    test_resend,
    test_sendgrid,
    test_ses,
    test_twilio,
)
from tests.providers.hooks import signing
from tests.providers.hooks.signing import NOW, SECRETS, URL, Posted, certificate, sections

GOOD: dict[str, Callable[[], Posted]] = {
    "resend": lambda: signing.resend(test_resend.event("email.delivered", subject="Grüße")),
    "mailgun": lambda: signing.mailgun(test_mailgun.event("delivered")),
    "sendgrid": lambda: signing.sendgrid([test_sendgrid.event("delivered")]),
    "postmark": lambda: signing.postmark(test_postmark.event("Delivery", DeliveredAt=test_postmark.AT)),
    "twilio": lambda: signing.twilio(test_twilio.callback("delivered", Body2="Grüße")),
    "ses": lambda: signing.sns(test_ses.event("Delivery", delivery={"timestamp": test_ses.AT})),
    "ses, version 2": lambda: signing.sns(
        test_ses.event("Delivery", delivery={"timestamp": test_ses.AT}), version="2", subject="Grüße"
    ),
}


def opener(
    fetched: Mapping[str, bytes] | None = None, environ: Mapping[str, str] = SECRETS, **more: Any
) -> Opener:  # fmt: skip
    known = {signing.CERTIFICATE_URL: certificate()} if fetched is None else fetched
    return Opener(sections(**more), environ, known.__getitem__)


def opened(posted: Posted | Envelope, **more: Any) -> Opened:
    return opener(**more).open(posted.envelope() if isinstance(posted, Posted) else posted)


def refused(posted: Posted | Envelope, **more: Any) -> str:
    with pytest.raises(ValueError) as caught:
        opened(posted, **more)
    said = str(caught.value)
    assert not [secret for secret in SECRETS.values() if secret in said]
    return said


@pytest.mark.parametrize("service", GOOD)
def test_what_a_service_has_signed_is_opened(service: str) -> None:
    [line] = opened(GOOD[service]()).lines

    assert line["type"] == "delivered"


SIGNED_WHOLE = [service for service in GOOD if service not in ("mailgun", "postmark")]


@pytest.mark.parametrize("service", SIGNED_WHOLE)
def test_a_body_with_one_other_byte_is_refused(service: str) -> None:
    posted = GOOD[service]()
    for place in range(0, len(posted.body), 7):
        flipped = bytes([posted.body[place] ^ 1])
        changed = replace(posted, body=posted.body[:place] + flipped + posted.body[place + 1 :])
        if service.startswith("ses") and changed.envelope().body.find(b'"SigningCertURL"') <= place:
            continue  # where the signature and its certificate are named, and nothing is told
        refused(changed, fetched={signing.CERTIFICATE_URL: certificate()})


@pytest.mark.parametrize("service", ["resend", "sendgrid"])
def test_space_around_a_body_is_signed_as_well(service: str) -> None:
    posted = GOOD[service]()

    for body in (posted.body + b" ", b" " + posted.body, posted.body.strip() + b"\n"):
        refused(replace(posted, body=body))


@pytest.mark.parametrize(
    ("service", "header"),
    [
        ("resend", "Svix-Id"),
        ("resend", "Svix-Timestamp"),
        ("resend", "Svix-Signature"),
        ("sendgrid", "X-Twilio-Email-Event-Webhook-Signature"),
        ("sendgrid", "X-Twilio-Email-Event-Webhook-Timestamp"),
        ("postmark", "Authorization"),
        ("twilio", "X-Twilio-Signature"),
    ],
)
def test_a_header_that_is_missing_or_another_is_refused(service: str, header: str) -> None:
    assert f"the header {header.lower()} is missing" in refused(GOOD[service]().without(header))
    assert f"the header {header.lower()} is missing" in refused(GOOD[service]().having(header, ""))
    refused(GOOD[service]().having(header, "Basic bm90IHRoaXM="))
    refused(GOOD[service]().having(header, "1795424401"))
    refused(GOOD[service]().having(header, "Basic ?"))


@pytest.mark.parametrize(
    ("posted", "said"),
    [
        (signing.resend({}, secret="whsec_bm90IHRoaXMgb25l"), "svix-signature is not that of webhook_secret"),
        (signing.mailgun({}, secret="another"), "signature is not that of webhook_signing_key"),
        (signing.sendgrid([], key=ec.generate_private_key(ec.SECP256R1())), "is not that of webhook_public_key"),
        (signing.postmark({}, password="another"), "authorization is not webhook_username with webhook_password"),
        (signing.postmark({}, username="another"), "authorization is not webhook_username with webhook_password"),
        (signing.twilio({"MessageSid": "SM1"}, token="another"), "x-twilio-signature is not that of auth_token"),
        (signing.sns({}, Signature="x", topic=signing.TOPIC + "2"), "of another topic than sns_topic_arn"),
    ],
)
def test_another_secret_is_refused(posted: Posted, said: str) -> None:
    assert said in refused(posted)


@pytest.mark.parametrize(
    ("make", "within"),
    [
        (lambda at: signing.resend(test_resend.event("email.sent"), at=at), timedelta(minutes=5)),
        (lambda at: signing.mailgun(test_mailgun.event("accepted"), at=at), timedelta(hours=9)),
        (lambda at: signing.sendgrid([], at=at), timedelta(hours=25)),
        (lambda at: signing.sns(test_ses.event("Send"), at=at), timedelta(minutes=64)),
    ],
)
def test_a_signature_is_good_near_the_time_of_receiving_and_not_of_reading(
    make: Callable[[Any], Posted], within: timedelta
) -> None:
    opened(make(NOW - within))
    assert " apart" in refused(make(NOW - within - timedelta(minutes=2)))
    assert " apart" in refused(make(NOW + within + timedelta(minutes=2)))


@pytest.mark.parametrize("at", ["soon", "9" * 30, "-" + "9" * 30])
def test_a_signed_time_that_is_none_is_refused(at: str) -> None:
    signature = hmac.digest(SECRETS["MAILGUN"].encode(), f"{at}token".encode(), "sha256").hex()
    signed = {"timestamp": at, "token": "token", "signature": signature}
    posted = Posted("guns", {}, signing.body_of({"signature": signed, "event-data": test_mailgun.event("accepted")}))

    assert "is no time of a signature" in refused(posted)


def test_one_of_several_signatures_is_enough_while_a_secret_is_changed() -> None:
    good = GOOD["resend"]()
    signature = good.headers["Svix-Signature"]

    assert opened(good.having("Svix-Signature", f"v1,bm90IHRoaXM= {signature}")).lines
    refused(good.having("Svix-Signature", signature.replace("v1,", "v1a,")))


def test_mailgun_signs_a_time_and_a_token_and_not_the_event() -> None:
    posted = signing.mailgun(test_mailgun.event("delivered"))

    assert opened(replace(posted, body=posted.body.replace(b'"delivered"', b'"complained"'))).lines  # TLS must do it
    refused(replace(posted, body=posted.body.replace(b"tttt", b"uuuu", 1)))
    refused(replace(posted, body=posted.body.replace(b'"timestamp":"17', b'"timestamp":"16', 1)))


def test_sendgrids_key_may_be_in_pem_form() -> None:
    pem = signing.curve_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    assert opened(GOOD["sendgrid"](), grid={"webhook_public_key": pem}).lines


def test_good_events_of_a_list_count_beside_one_that_is_none() -> None:
    events = [test_sendgrid.event("delivered"), {"event": 3}, test_sendgrid.event("open"), 5,
              test_sendgrid.event("group_resubscribe")]  # fmt: skip
    found = opened(signing.sendgrid(events))

    assert [line["type"] for line in found.lines] == ["delivered", "opened"]
    assert (found.ignored, found.flaw) == (1, 'event 2 of 5: no text "event" in it')


@pytest.mark.parametrize(
    ("signed", "written"),
    [
        (URL, "https://hooks.shop.example:443/sendctl/texts"),
        ("https://hooks.shop.example:443/sendctl/texts", URL),
        ("https://hooks.shop.example:8443/texts?a=b%20c", "https://hooks.shop.example:8443/texts?a=b%20c"),
    ],
)
def test_twilio_signs_its_address_with_or_without_the_port(signed: str, written: str) -> None:
    posted = replace(signing.twilio(test_twilio.callback("delivered"), url=signed), url=written)

    assert opened(posted).lines
    refused(replace(posted, url=written.replace("shop", "shoq")))
    refused(replace(posted, url=written.replace("https", "http")))
    assert "url is missing" in refused(replace(posted, url=""))
    refused(replace(posted, url="https://hooks.shop.example:port/"))


def test_a_get_of_twilio_has_its_parameters_in_the_address() -> None:
    url = f"{URL}?MessageSid={test_twilio.SID}&MessageStatus=delivered"
    signed = signing.twilio({}, url=url).envelope()

    [line] = opened(replace(signed, method="GET")).lines

    assert (line["type"], line["provider_message_id"]) == ("delivered", test_twilio.SID)


def test_twilios_events_may_be_about_messages_of_others_only_later() -> None:
    assert opened(GOOD["twilio"]()).of_others == "later"
    assert {opened(GOOD[service]()).of_others for service in GOOD if service != "twilio"} == {"now"}


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-central-1.amazonaws.com/a.pem",
        "https://sns.eu-central-1.amazonaws.com.evil.example/a.pem",
        "https://sns.eu-central-1.amazonaws.com@evil.example/a.pem",
        "https://evil.example/sns.eu-central-1.amazonaws.com/a.pem",
        "https://sns.us-east-1.amazonaws.com/a.pem",
        "https://sns.eu-central-1.amazonaws.com:444/a.pem",
        "https://sns.eu-central-1.amazonaws.com/a.txt",
        "https://sns.eu-central-1.amazonaws.com/?a.pem",
        "https://sns.eu-central-1.amazonaws.com/a.pem?b",
        "https://s3.eu-central-1.amazonaws.com/a.pem",
    ],
)
def test_no_certificate_is_taken_from_anybody_but_sns_in_the_topics_region(url: str) -> None:
    posted = signing.sns(test_ses.event("Send"), url=url)

    assert "SigningCertURL is no certificate" in refused(posted, fetched={url: certificate()})


def test_the_chinese_regions_have_another_domain() -> None:
    topic, url = "arn:aws-cn:sns:cn-north-1:1:t", "https://sns.cn-north-1.amazonaws.com.cn/a.pem"
    posted = signing.sns(test_ses.event("Send"), topic=topic, url=url)

    assert opened(posted, fetched={url: certificate()}, amazon={"sns_topic_arn": topic}).lines


def test_a_certificate_may_be_kept_in_a_file_and_nothing_is_fetched(tmp_path: Path) -> None:
    path = tmp_path / "sns.pem"
    path.write_bytes(certificate())
    kept = {"sns_certificate_file": str(path)}

    assert opened(GOOD["ses"](), fetched={}, amazon=kept).lines
    path.write_bytes(certificate(days=0))
    late = signing.sns(test_ses.event("Send"), at=NOW)
    assert "was not valid at the time" in refused(late, fetched={}, amazon=kept)
    path.write_text("no certificate")
    with pytest.raises(SecretMissing, match="names no certificate in PEM form"):
        opened(GOOD["ses"](), fetched={}, amazon=kept)
    path.unlink()
    with pytest.raises(SecretMissing, match=r"cannot read .*sns\.pem"):
        opened(GOOD["ses"](), fetched={}, amazon=kept)


def test_a_certificate_is_fetched_once_for_all_envelopes() -> None:
    asked = list[str]()

    def fetch(url: str) -> bytes:
        asked.append(url)
        return certificate()

    one = Opener(sections(), SECRETS, fetch)
    for _ in range(3):
        one.open(GOOD["ses"]().envelope())
    assert asked == [signing.CERTIFICATE_URL]


def test_a_secret_is_followed_once_for_all_envelopes() -> None:
    environ = dict(SECRETS)
    one = Opener(sections(), environ)
    assert one.open(GOOD["resend"]().envelope()).lines
    del environ["RESEND"]
    assert one.open(GOOD["resend"]().envelope()).lines


def test_a_certificate_that_cannot_be_fetched_is_no_refusal() -> None:
    def fetch(url: str) -> bytes:
        raise CertificateAway(f"{url} cannot be fetched: HTTP 503")

    with pytest.raises(CertificateAway):
        Opener(sections(), SECRETS, fetch).open(GOOD["ses"]().envelope())


def test_what_is_there_and_is_no_certificate_is_refused() -> None:
    assert "no certificate at" in refused(GOOD["ses"](), fetched={signing.CERTIFICATE_URL: b"<html>"})


@pytest.mark.parametrize("version", ["3", "", "0"])
def test_an_unknown_version_of_signatures_is_refused(version: str) -> None:
    refused(signing.sns(test_ses.event("Send"), version=version))


def test_a_subscription_is_told_of_and_never_confirmed_by_itself() -> None:
    asked = signing.sns(
        "You have chosen to subscribe", kind="SubscriptionConfirmation", Token="2336",
        SubscribeURL="https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription",
    )  # fmt: skip
    found = opened(asked)

    assert (found.lines, found.ignored) == ([], 1)
    assert found.notice == (
        f"SNS asks to confirm the subscription to {signing.TOPIC}: open"
        " https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription"
    )
    refused(replace(asked, body=asked.body.replace(b"Action=Confirm", b"Action=Other")))


def test_the_end_of_a_subscription_and_a_first_greeting_are_no_events() -> None:
    ended = signing.sns("gone", kind="UnsubscribeConfirmation", Token="2336", SubscribeURL="https://x.example/")
    greeting = signing.sns("Successfully validated SNS topic for Amazon SES event publishing.")

    assert "has ended" in opened(ended).notice
    assert (opened(greeting).lines, opened(greeting).ignored) == ([], 1)


def test_raw_delivery_has_no_signature_and_is_refused() -> None:
    told = Posted("amazon", {"x-amz-sns-rawdelivery": "true"}, signing.body_of(test_ses.event("Send")))

    assert "raw message delivery" in refused(told)


@pytest.mark.parametrize("provider", ["letters", "guns", "grid", "marks", "amazon"])
def test_nothing_is_opened_without_a_secret_and_the_option_is_named(provider: str) -> None:
    tables = sections()
    tables[provider] = replace(tables[provider], options={})
    kind = tables[provider].type
    with pytest.raises(Refused, match=rf"nothing unsigned is read: set .* in \[providers\.{provider}\]"):
        Opener(tables, SECRETS).open(GOOD[kind]().envelope())


def test_a_provider_that_is_not_here_or_has_no_webhooks_is_named() -> None:
    assert "there is no section [providers.nobody] here, but letters, guns" in refused(
        replace(GOOD["resend"](), provider="nobody")
    )
    assert "is of type smtp, which has no webhooks" in refused(replace(GOOD["resend"](), provider="relay"))


BAD_SECRETS = {"EMPTY": "whsec_", "NO_BASE64": "whsec_a-b", "NO_ASCII": "whsec_Grüße"}


def _shown(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


OF_ANOTHER_CURVE = base64.b64encode(_shown(ec.generate_private_key(ec.SECP384R1()))).decode()
# 1.2.840.10045.3.1.7 is P-256; .6 is prime239v3, which the library does not have.
OF_NO_KNOWN_CURVE = base64.b64encode(
    _shown(ec.generate_private_key(ec.SECP256R1())).replace(
        bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a8648ce3d030106")
    )
).decode()


@pytest.mark.parametrize(
    ("provider", "options", "said"),
    [
        ("letters", {"webhook_secret_env": "NOT_THERE"}, r"\[providers\.letters\].*NOT_THERE"),
        ("letters", {"webhook_secret_env": "EMPTY"}, "is no signing secret of a webhook"),
        ("letters", {"webhook_secret_env": "NO_BASE64"}, "is no signing secret of a webhook"),
        ("letters", {"webhook_secret_env": "NO_ASCII"}, "a character beyond ASCII"),
        ("grid", {"webhook_public_key": OF_ANOTHER_CURVE}, "is no verification key"),
        ("grid", {"webhook_public_key": OF_NO_KNOWN_CURVE}, "is no verification key"),
        ("grid", {"webhook_public_key": "bm8ga2V5"}, "is no verification key"),
        ("grid", {"webhook_public_key": "-----BEGIN PUBLIC KEY-----"}, "is no verification key"),
        ("grid", {"webhook_public_key": "?"}, "is no verification key"),
    ],
)
def test_a_secret_that_cannot_be_had_is_the_configurations_fault(
    provider: str, options: dict[str, str], said: str
) -> None:
    tables = sections()
    tables[provider] = replace(tables[provider], options=options)
    with pytest.raises(SecretMissing, match=said) as caught:
        Opener(tables, BAD_SECRETS).open(GOOD[tables[provider].type]().envelope())
    assert not [text for text in BAD_SECRETS.values() if text != "whsec_" and text in str(caught.value)]


@pytest.mark.parametrize(
    ("posted", "said"),
    [
        (replace(GOOD["mailgun"](), body=b""), "the body is empty: its receiver has not written it down"),
        (replace(GOOD["mailgun"](), body=b"signature=x"), "the body is not JSON"),
        (replace(GOOD["mailgun"](), body=b"[]"), "the body is not a JSON object"),
        (replace(GOOD["mailgun"](), body=b'{"signature": 1e999}'), "the body is not JSON"),
        (replace(GOOD["mailgun"](), body=b"[" * 100_000), "the body is not JSON"),
        (signing.postmark([]), "the body is not a JSON object"),
        (signing.postmark({"RecordType": 1}), 'no text "RecordType" in it'),
        (signing.sendgrid({}), "the body is not a list of events"),
        (signing.twilio({"To": "x"}), "no MessageSid in it"),
        (signing.sns({}, kind="Odd"), "'Odd' is no type of message"),
        (signing.sns("", Timestamp="soon"), "'soon' is no time"),
    ],
)
def test_what_is_not_of_a_services_form_says_so(posted: Posted, said: str) -> None:
    assert said in refused(posted)
