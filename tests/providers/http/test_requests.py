"""What a service is sent for a message: all of its parts, decoded, and the same bytes each time."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import yaml
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.session import get_session
from botocore.validate import ParamValidator
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest

from sendctl.providers.http.mailgun import Mailgun
from sendctl.providers.http.postmark import Postmark
from sendctl.providers.http.resend import Resend
from sendctl.providers.http.sendgrid import SendGrid
from sendctl.providers.http.ses import Ses, Signer
from sendctl.providers.http.twilio import Twilio
from tests.providers.http.world import CONTENT, outgoing, text

SIGNER = Signer("AKID", "secret", "eu-central-1")

UNSUBSCRIBE = {
    "List-Unsubscribe": "<https://shop.example/u/abc>",
    "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
}


def test_resend_gets_the_key_the_parts_and_the_way_to_unsubscribe() -> None:
    request = Resend("key").request(outgoing())
    assert request.path == "/emails"
    assert request.headers == {"idempotency-key": "k1"}
    assert json.loads(request.content) == {
        "from": "Café Rosé <news@shop.example>", "to": ["b@x.example"], "subject": "Grüße",
        "reply_to": "help@shop.example", "text": "Grüße, you.", "html": "<p>Grüße</p>", "headers": UNSUBSCRIBE,
        "tags": [{"name": "sendctl_key", "value": "k1"}],
    }  # fmt: skip


def test_postmark_gets_the_key_as_metadata_and_keeps_our_message_id() -> None:
    request = Postmark("token", "broadcasts").request(outgoing())
    assert request.path == "/email"
    body = json.loads(request.content)
    headers = {item["Name"]: item["Value"] for item in body.pop("Headers")}
    assert headers == UNSUBSCRIBE | {"Message-ID": "<k1@shop.example>", "X-PM-KeepID": "true"}
    assert body == {
        "From": "Café Rosé <news@shop.example>", "To": "b@x.example", "Subject": "Grüße",
        "ReplyTo": "help@shop.example", "TextBody": "Grüße, you.", "HtmlBody": "<p>Grüße</p>",
        "MessageStream": "broadcasts", "Metadata": {"sendctl": "k1"},
    }  # fmt: skip


def test_each_attempt_is_sent_the_same_bytes() -> None:
    services = (
        Resend(""),
        Postmark(""),
        SendGrid(""),
        Mailgun("", "mg.shop.example"),
        Ses(SIGNER, "https://x.example"),
    )
    for service in services:
        assert service.request(outgoing(attempt=1)).content == service.request(outgoing(attempt=7)).content


def test_sendgrid_gets_the_parts_and_the_key_as_a_custom_argument() -> None:
    request = SendGrid("key").request(outgoing())
    assert request.path == "/v3/mail/send"
    assert json.loads(request.content) == {
        "personalizations": [{"to": [{"email": "b@x.example"}], "custom_args": {"sendctl": "k1"}}],
        "from": {"email": "news@shop.example", "name": "Café Rosé"}, "reply_to": {"email": "help@shop.example"},
        "subject": "Grüße", "headers": UNSUBSCRIBE,
        "content": [{"type": "text/plain", "value": "Grüße, you."}, {"type": "text/html", "value": "<p>Grüße</p>"}],
    }  # fmt: skip


def test_mailgun_and_ses_get_the_message_as_it_is() -> None:
    form = Mailgun("key", "mg.shop.example").request(outgoing())
    assert form.path == "/v3/mg.shop.example/messages.mime"
    assert CONTENT in form.content
    assert form.headers == {"content-type": "multipart/form-data; boundary=sendctl-k1"}
    body = json.loads(Ses(SIGNER, "https://x.example", "ours").request(outgoing()).content)
    assert base64.b64decode(body.pop("Content")["Raw"]["Data"]) == CONTENT
    assert body == {
        "Destination": {"ToAddresses": ["b@x.example"]}, "EmailTags": [{"Name": "sendctl", "Value": "k1"}],
        "ConfigurationSetName": "ours",
    }  # fmt: skip


@pytest.mark.parametrize("token", ["", "a-session/token+="])
def test_a_request_to_ses_is_signed_as_the_sdk_signs_it(token: str) -> None:
    content, now = b'{"Content": "x"}', datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)
    url = "https://email.eu-central-1.amazonaws.com/v2/email/outbound-emails"
    ours = Signer("AKID", "secret", "eu-central-1", token).signed(url, content, now)
    theirs = AWSRequest("POST", url, data=content, headers={"Content-Type": "application/json"})
    theirs.context["timestamp"] = "20261122T100000Z"
    auth = SigV4Auth(Credentials("AKID", "secret", token or None), "ses", "eu-central-1")
    theirs.headers["X-Amz-Date"] = "20261122T100000Z"
    if token:
        theirs.headers["X-Amz-Security-Token"] = token
    wanted = auth.signature(auth.string_to_sign(theirs, auth.canonical_request(theirs)), theirs)
    assert ours["authorization"].endswith(f"Signature={wanted}")


def described(name: str) -> dict[str, Any]:
    """An official description, where it lies beside the project."""
    path = Path(__file__).parents[4] / "shared" / "specs" / name
    if not path.exists():
        pytest.skip(f"the official description is not at hand: {path}")
    found: dict[str, Any] = yaml.safe_load(path.read_text()) if path.suffix == ".yaml" else json.loads(path.read_text())
    return found


def test_twilio_gets_a_form_from_the_campaigns_sender_or_from_its_own() -> None:
    fields = {"To": ["+4915112345678"], "Body": ["Grüße, {you}"]}

    def form(service: Twilio, sender: str = "") -> dict[str, list[str]]:
        request = service.request(text()._replace(sender=sender))
        assert request.path == "/2010-04-01/Accounts/AC1/Messages.json"
        assert request == service.request(text(attempt=7)._replace(sender=sender))
        return parse_qs(request.content.decode())

    one, both = Twilio("AC1", "t", sender="+15005550006"), Twilio("AC1", "t", sender="+1", messaging_service_sid="MG1")
    assert form(one) == fields | {"From": ["+15005550006"]}
    assert form(both) == fields | {"MessagingServiceSid": ["MG1"]}
    assert form(both, "Shop") == fields | {"From": ["Shop"]}
    told = Twilio("AC1", "t", sender="+15005550006", status_callback="https://hooks.shop.example/t?a=b")
    assert form(told) == form(one) | {"StatusCallback": ["https://hooks.shop.example/t?a=b"]}


def test_what_twilio_is_sent_is_what_it_describes() -> None:
    description = described("twilio/twilio_api_v2010.json")
    path = "/2010-04-01/Accounts/{AccountSid}/Messages.json"
    schema = body_schema(description, path, "application/x-www-form-urlencoded")
    service = Twilio("AC1", "token", sender="+15005550006", status_callback="https://hooks.shop.example/t")
    sent = parse_qs(service.request(text()).content.decode())
    assert set(schema["required"]) <= sent.keys() <= schema["properties"].keys()


def body_schema(description: dict[str, Any], path: str, kind: str) -> dict[str, Any]:
    """What the body of a POST must be like."""

    def followed(node: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in node:
            parts = node["$ref"].removeprefix("#/").split("/")
            node = reduce(lambda within, part: within[part.replace("~1", "/")], parts, description)
        return node

    body = followed(description["paths"][path]["post"]["requestBody"])
    return followed(body["content"][kind]["schema"])


@pytest.mark.parametrize(
    ("name", "service"), [("resend/resend.json", Resend("key")), ("sendgrid/tsg_mail_v3.json", SendGrid("key"))]
)
def test_what_is_sent_is_what_the_service_describes(name: str, service: Any) -> None:
    description = described(name)
    request, server = service.request(outgoing()), description["servers"][0]["url"]
    asked = MockRequest(
        server, "post", request.path, headers=dict(service.headers()) | dict(request.headers), data=request.content,
        content_type="application/json",
    )  # fmt: skip
    assert list(OpenAPI.from_dict(description).iter_request_errors(asked)) == []
    schema = body_schema(description, request.path, "application/json")
    assert json.loads(request.content).keys() <= schema["properties"].keys(), "a key that it would not know"


def test_what_ses_is_sent_fits_the_model_of_its_sdk() -> None:
    body = json.loads(Ses(SIGNER, "https://x.example", "ours").request(outgoing()).content)
    shape = get_session().get_service_model("sesv2").operation_model("SendEmail").input_shape
    assert not ParamValidator().validate(body, shape).has_errors()
    body["Destination"] = {"To": []}
    assert ParamValidator().validate(body, shape).has_errors()


def test_what_mailgun_is_sent_is_what_it_describes() -> None:
    description = described("mailgun/openapi.yaml")
    schema = body_schema(description, "/v3/{domain_name}/messages.mime", "multipart/form-data")
    sent = re.findall(rb'form-data; name="([^"]+)"', Mailgun("", "mg.shop.example").request(outgoing()).content)
    names = {name.decode() for name in sent}
    assert set(schema["required"]) <= names
    assert {name for name in names if not name.startswith("v:")} <= schema["properties"].keys()
