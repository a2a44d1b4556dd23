"""What services are asked for events, and what the doubles answer, against the services' own descriptions."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import reduce
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.session import get_session
from botocore.validate import ParamValidator

from sendctl.providers.http.ses import Signer
from tests.providers.http.test_requests import described
from tests.pulling.forms import email, hard_of_ses, listed_by_sendgrid, suppression, text
from tests.pulling.world import World, mailgun

DESCRIBED: list[tuple[str, str, str, str]] = [  # service, description, path there, the beginning of the path here
    ("mailgun", "mailgun/openapi.yaml", "/v3/{domain_name}/events", "/v3/mg.shop.example/events?"),
    ("resend", "resend/resend.json", "/emails", "/emails?"),
    ("resend", "resend/resend.json", "/suppressions", "/suppressions?"),
    ("twilio", "twilio/twilio_api_v2010.json", "/2010-04-01/Accounts/{AccountSid}/Messages.json", "/2010-04-01/"),
    *(
        ("sendgrid", "sendgrid/tsg_suppressions_v3.json", path, f"{path}?")
        for path in (
            f"/v3/suppression/{name}" for name in ("bounces", "invalid_emails", "spam_reports", "unsubscribes")
        )
    ),
]


def followed(description: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        parts = node["$ref"].removeprefix("#/").split("/")
        node = reduce(lambda within, part: within[part.replace("~1", "/")], parts, description)
    return node


@pytest.mark.parametrize(("service", "name", "path", "here"), DESCRIBED, ids=[one[3] for one in DESCRIBED])
def test_a_list_is_asked_for_as_it_is_described(lite: World, service: str, name: str, path: str, here: str) -> None:
    description = described(name)
    get = description["paths"][path]["get"]
    given = [
        followed(description, one) for one in (*description["paths"][path].get("parameters", []), *get["parameters"])
    ]
    known = {one["name"]: one["schema"] for one in given if one["in"] == "query"}
    double = lite.serve(service)
    lite.ground.clock.forward(hours=20)  # all readings are due
    lite.pull()
    lite.ground.clock.forward(hours=40)
    assert lite.pull().trouble == {}
    asked = [parse_qs(urlsplit(row["path"]).query) for row in double.asked(here)]
    assert asked
    for query in asked:
        assert query.keys() <= known.keys()
        limits = [(key, known[key]["maximum"]) for key in query if "maximum" in known[key]]
        assert [key for key, most in limits if int(query[key][0]) > most] == []


MESSAGE = {"provider_message_id": "m1", "provider_key": "0" * 32, "recipient": "a@x.example"}
AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "where", "entry"),
    [
        ("resend/resend.json", ("ListEmailsResponse", "data"), email(MESSAGE, AT, "delivered")),
        ("resend/resend.json", ("ListSuppressionsResponseSuccess", "data"), suppression(MESSAGE, AT, "bounce", "s1")),
        ("twilio/twilio_api_v2010.json", ("api.v2010.account.message", ""), text(MESSAGE, AT, "delivered")),
        ("sendgrid/tsg_suppressions_v3.json", ("BounceResponse", ""), listed_by_sendgrid(MESSAGE, AT, reason="550")),
    ],
    ids=["resend emails", "resend suppressions", "twilio messages", "sendgrid bounces"],
)  # fmt: skip
def test_entries_of_the_doubles_have_only_what_is_described(name: str, where: tuple[str, str], entry: Any) -> None:
    description = described(name)
    schema = followed(description, description["components"]["schemas"][where[0]])
    if where[1]:
        schema = followed(description, followed(description, schema["properties"][where[1]])["items"])
    properties = followed(description, schema)["properties"]
    unknown = entry.keys() - properties.keys()
    assert unknown <= {"scheduled_at"}  # in the answers that its changelog shows
    for key, value in entry.items():
        words = followed(description, properties.get(key, {})).get("enum")
        assert words is None or value in words


def test_mailguns_events_have_the_fields_of_its_description() -> None:
    description = described("mailgun/openapi.yaml")
    known = followed(description, {"$ref": "#/components/schemas/EventResponse"})["properties"]
    unknown = mailgun("delivered", MESSAGE, AT).keys() - known.keys()
    assert unknown == {"recipient"}  # in its examples


def test_the_queue_is_asked_as_the_sdk_asks_it(lite: World) -> None:
    double = lite.serve("ses")
    (message,) = lite.sent(1)
    double.tell(hard_of_ses(message, lite.ago()), sent=lite.ago().timestamp())
    lite.pull()
    model = get_session().get_service_model("sqs")
    asked = {row["headers"]["x-amz-target"]: row for row in double.asked("/") if row["path"] == "/"}
    assert asked.keys() == {"AmazonSQS.ReceiveMessage", "AmazonSQS.DeleteMessageBatch"}
    for target, row in asked.items():
        shape = model.operation_model(target.partition(".")[2]).input_shape
        body = json.loads(row["body"])
        assert not ParamValidator().validate(body, shape).has_errors()
        assert body.keys() <= shape.members.keys()


@pytest.mark.parametrize("token", ["", "a-session/token+="])
def test_a_request_to_the_queue_is_signed_as_the_sdk_signs_it(token: str) -> None:
    content, now = b'{"QueueUrl": "x"}', datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)
    given = {"content-type": "application/x-amz-json-1.0", "x-amz-target": "AmazonSQS.ReceiveMessage"}
    url = "https://sqs.eu-central-1.amazonaws.com/"
    ours = Signer("AKID", "secret", "eu-central-1", token).signed(url, content, now, service="sqs", given=given)
    theirs = AWSRequest("POST", url, data=content, headers=dict(given))
    theirs.context["timestamp"] = "20261122T100000Z"
    theirs.headers["X-Amz-Date"] = "20261122T100000Z"
    if token:
        theirs.headers["X-Amz-Security-Token"] = token
    auth = SigV4Auth(Credentials("AKID", "secret", token or None), "sqs", "eu-central-1")
    wanted = auth.signature(auth.string_to_sign(theirs, auth.canonical_request(theirs)), theirs)
    assert ours["authorization"].endswith(f"Signature={wanted}")
