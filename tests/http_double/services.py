"""What each service remembers and answers, as its documentation has it. Knows neither sockets nor faults."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.utils import formatdate
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from tests.http_double import lists
from tests.http_double.ledger import Ledger
from tests.http_double.told import Told

API_KEY = "key-of-the-double"
_TEXTS = "/2010-04-01/Accounts/AC1/Messages.json"
SENDING_KEY = "key-that-may-only-send"  # of Resend and Mailgun
_MOMENT = r'TIMESTAMP "(?P<{}>[0-9T:Z-]+)"'
_QUERY = re.compile(
    r'to_email = "(?P<to>[^"]+)" AND sg_message_id_created_at >= ' + _MOMENT.format("first")
    + " AND sg_message_id_created_at <= " + _MOMENT.format("last")
)  # fmt: skip


class Asked(NamedTuple):
    """One request. Names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Answer(NamedTuple):
    """What is answered; `accepted` when a message was taken by this very request."""

    status: int
    body: Any
    accepted: bool = False
    headers: Mapping[str, str] = {}


class Service(Protocol):
    """One of the services."""

    ledger: Ledger
    told: Told

    def answer(self, asked: Asked) -> Answer: ...


class Resend:
    """Idempotency keys, until a test says that their time is over: the same request gets the first reply, another one
    a conflict."""

    def __init__(self, ledger: Ledger, lag_s: float) -> None:
        self.ledger = ledger
        self._lag_s = lag_s
        self.told = Told(ledger)
        self._lock = threading.Lock()

    def answer(self, asked: Asked) -> Answer:
        if asked.headers.get("authorization") not in (f"Bearer {API_KEY}", f"Bearer {SENDING_KEY}"):
            return _resend(403, "invalid_api_key", "API key is invalid.")
        url = urlsplit(asked.path)
        if (asked.method, url.path) == ("GET", "/emails"):
            taken = [_entry(row) for row in self.ledger.accepted() if row["at"] <= time.time() - self._lag_s]
            return Answer(200, lists.of_resend(self.told, "emails", parse_qs(url.query), taken))
        if (asked.method, url.path) == ("GET", "/suppressions"):
            return Answer(200, lists.of_resend(self.told, "suppressions", parse_qs(url.query)))
        if asked.method == "GET" and asked.path.startswith("/emails/"):
            return self._shown(asked.path.removeprefix("/emails/"))
        if (asked.method, url.path) == ("GET", "/domains"):
            return self._domains(asked)
        if (asked.method, asked.path) != ("POST", "/emails"):
            return _resend(404, "not_found", "The requested endpoint does not exist.")
        try:
            body = json.loads(asked.body)
        except ValueError:
            return _resend(400, "validation_error", "The request body is not JSON.")
        missing = [name for name in ("from", "to", "subject") if not body.get(name)]
        if missing:
            return _resend(422, "missing_required_field", f"Missing `{missing[0]}` field.")
        if any(address.startswith("invalid") for address in body["to"]):
            return _resend(422, "validation_error", "Invalid `to` field. The email address needs to be valid.")
        key, digest = asked.headers.get("idempotency-key", ""), hashlib.sha256(asked.body).hexdigest()
        with self._lock:
            known = self._under(key)
            if known is not None and known["digest"] != digest:
                return _resend(409, "invalid_idempotent_request", "Same idempotency key used with a different payload.")
            if known is not None:
                return Answer(200, {"id": known["id"]})
            row = {"id": str(uuid.uuid4()), "key": key, "digest": digest, "to": body["to"][0],
                   "subject": body["subject"], "request": body, "at": time.time()}  # fmt: skip
            self.ledger.write("accepted", **row)
        return Answer(200, {"id": row["id"]}, accepted=True)

    def _under(self, key: str) -> dict[str, Any] | None:
        """What was accepted under a key, unless the time for which it is remembered is over."""
        rows = list(self.ledger.rows)
        over = max((place for place, row in enumerate(rows) if row["what"] == "keys forgotten"), default=-1)
        return next((row for row in rows[over + 1 :] if row["what"] == "accepted" and key and row["key"] == key), None)

    def _shown(self, known: str) -> Answer:
        row = next((row for row in self.ledger.accepted() if row["id"] == known), None)
        if row is None:
            return _resend(404, "not_found", "Email not found")
        return Answer(200, _entry(row) | {name: row["request"].get(name) for name in ("text", "html")})

    def _domains(self, asked: Asked) -> Answer:
        """Two pages of them."""
        if asked.headers["authorization"].endswith(SENDING_KEY):
            return _resend(401, "restricted_api_key", "This API key is restricted to only send emails")
        states = {"shop": "verified", "pending": "pending", "half": "partially_verified", "off": "verified"}
        rows = [{"id": name, "name": f"{name}.example", "status": state,
                 "capabilities": {"sending": "disabled" if name == "off" else "enabled"}}
                for name, state in states.items()]  # fmt: skip
        if "after" not in parse_qs(urlsplit(asked.path).query):
            return Answer(200, {"object": "list", "has_more": True, "data": rows})
        last = {"id": "last", "name": "second.example", "status": "verified"}
        return Answer(200, {"object": "list", "has_more": False, "data": [last]})


def _entry(row: Mapping[str, Any]) -> dict[str, Any]:
    made_at = datetime.fromtimestamp(row["at"], UTC).isoformat(" ").replace("+00:00", "+00")
    return {"id": row["id"], "to": [row["to"]], "subject": row["subject"], "created_at": made_at, "last_event": "sent"}


def _resend(status: int, name: str, message: str) -> Answer:
    return Answer(status, {"statusCode": status, "name": name, "message": message})


class Postmark:
    """No keys: the same request is another message. Found by metadata, once the index has caught up."""

    def __init__(self, ledger: Ledger, lag_s: float) -> None:
        self.ledger = ledger
        self.told = Told(ledger)
        self._lag_s = lag_s

    def answer(self, asked: Asked) -> Answer:
        if asked.headers.get("x-postmark-server-token") != API_KEY:
            return Answer(401, {"ErrorCode": 10, "Message": "No Account or Server API tokens were supplied."})
        url = urlsplit(asked.path)
        if (asked.method, url.path) == ("GET", "/messages/outbound"):
            return self._found(parse_qs(url.query).get("metadata_sendctl", [""])[0])
        if (asked.method, url.path) == ("GET", "/bounces"):
            return Answer(200, lists.of_postmark(self.told, parse_qs(url.query)))
        if (asked.method, url.path) == ("GET", "/server"):
            return Answer(200, {"ID": 1, "Name": "shop", "DeliveryType": "Live"})
        if (asked.method, url.path) == ("GET", "/message-streams/broadcast"):
            return Answer(200, {"ID": "broadcast", "MessageStreamType": "Broadcasts", "ArchivedAt": None})
        if asked.method == "GET" and url.path.startswith("/message-streams/"):
            return Answer(404, {"ErrorCode": 1226, "Message": "The message stream for the provided ID was not found."})
        if (asked.method, url.path) != ("POST", "/email"):
            return Answer(404, "<html>Not found</html>")
        body = json.loads(asked.body)
        if "invalid" in body["To"]:
            return Answer(422, {"ErrorCode": 300, "Message": "Error parsing 'To': Illegal email address."})
        if "inactive" in body["To"]:
            said = f"You tried to send to a recipient that has been marked as inactive. {body['To']}"
            return Answer(422, {"ErrorCode": 406, "Message": said})
        row = {"id": str(uuid.uuid4()), "key": body.get("Metadata", {}).get("sendctl", ""), "to": body["To"],
               "subject": body["Subject"], "request": body, "at": time.time()}  # fmt: skip
        self.ledger.write("accepted", **row)
        done = {"To": body["To"], "SubmittedAt": "2026-11-22T10:00:00Z", "MessageID": row["id"], "ErrorCode": 0}
        return Answer(200, done | {"Message": "OK"}, accepted=True)

    def _found(self, key: str) -> Answer:
        before = time.time() - self._lag_s
        rows = [row for row in self.ledger.accepted() if row["key"] == key and row["at"] <= before]
        messages = [
            {"MessageID": row["id"], "To": [{"Email": row["to"]}], "Metadata": row["request"]["Metadata"]}
            for row in rows
        ]
        return Answer(200, {"TotalCount": len(rows), "Messages": messages})


class _Keyless:
    """A service that takes every good request as another message."""

    def __init__(self, ledger: Ledger, lag_s: float) -> None:
        self.ledger = ledger
        self.told = Told(ledger)
        self._lag_s = lag_s

    def _indexed(self) -> list[Any]:
        """What it took, as far as its index knows by now."""
        before = time.time() - self._lag_s
        return [row for row in self.ledger.accepted() if row["at"] <= before]

    def _take(self, key: str, to: str, request: Any, known: str = "") -> str:
        taken_as = known or str(uuid.uuid4())
        self.ledger.write("accepted", id=taken_as, key=key, to=to, subject="", request=request, at=time.time())
        return taken_as


class SendGrid(_Keyless):
    """202, an empty body, and the id in a header. Its log is searched by recipient and time, then read one by one."""

    def answer(self, asked: Asked) -> Answer:
        if asked.headers.get("authorization") != f"Bearer {API_KEY}":
            return _sendgrid(401, "The provided authorization grant is invalid, expired, or revoked", None)
        if (asked.method, asked.path) == ("POST", "/v3/logs"):
            return self._searched(json.loads(asked.body))
        url = urlsplit(asked.path)
        if asked.method == "GET" and url.path.startswith("/v3/suppression/"):
            return Answer(200, lists.of_sendgrid(self.told, url.path.rpartition("/")[2], parse_qs(url.query)))
        if asked.method == "GET" and asked.path.startswith("/v3/logs/"):
            return self._shown(asked.path.removeprefix("/v3/logs/"))
        if asked.method == "GET":
            return self._told(urlsplit(asked.path).path)
        if (asked.method, asked.path) != ("POST", "/v3/mail/send"):
            return Answer(404, "Not Found")
        body = json.loads(asked.body)
        person = body["personalizations"][0]
        to = person["to"][0]["email"]
        if to.startswith("invalid"):
            return _sendgrid(400, "Does not contain a valid address.", "personalizations.0.to.0.email")
        taken_as = self._take(person["custom_args"]["sendctl"], to, body)
        return Answer(202, "", accepted=True, headers={"x-message-id": taken_as})

    def _told(self, path: str) -> Answer:
        match path:
            case "/v3/scopes":
                return Answer(200, {"scopes": ["mail.send", "whitelabel.read"]})
            case "/v3/whitelabel/domains":
                rows = [("shop.example", True), ("pending.example", False)]
                return Answer(200, [{"domain": name, "valid": valid} for name, valid in rows])
            case "/v3/verified_senders":
                return Answer(200, {"results": [{"from_email": "one@single.example", "verified": True}]})
        return Answer(404, "Not Found")

    def _searched(self, body: Any) -> Answer:
        found = _QUERY.fullmatch(body["query"])
        if found is None:
            return _sendgrid(400, "invalid query", "query")
        first, last = (datetime.fromisoformat(moment).timestamp() for moment in found.group("first", "last"))
        rows = [row for row in self._indexed() if row["to"] == found["to"] and first <= row["at"] <= last]
        entries = [{"sg_message_id": row["id"], "to_email": row["to"], "status": "processed"} for row in rows]
        return Answer(200, {"messages": entries[: body.get("limit", 10)]})

    def _shown(self, known: str) -> Answer:
        row = next((row for row in self._indexed() if row["id"] == known), None)
        if row is None:
            return _sendgrid(404, "message not found", None)
        return Answer(200, {"sg_message_id": known, "to_email": row["to"], "custom_args": {"sendctl": row["key"]}})


def _sendgrid(status: int, message: str, field: str | None) -> Answer:
    return Answer(status, {"errors": [{"message": message, "field": field, "help": None}]})


class Mailgun(_Keyless):
    """A form of parts, one of which is the message itself."""

    def answer(self, asked: Asked) -> Answer:
        url, who = urlsplit(asked.path), asked.headers.get("authorization")
        sending = (asked.method, url.path) == ("POST", "/v3/mg.shop.example/messages")
        known = [API_KEY, SENDING_KEY] if sending else [API_KEY]
        if who not in ["Basic " + base64.b64encode(f"api:{key}".encode()).decode() for key in known]:
            return Answer(401, "Forbidden")
        if asked.method == "GET" and url.path.startswith("/v3/mg.shop.example/events"):
            return self._events(url.path.removeprefix("/v3/mg.shop.example/events"), parse_qs(url.query))
        if sending and not asked.body:
            return Answer(400, {"message": "to parameter is not a valid address. please check documentation"})
        if (asked.method, url.path) == ("GET", "/v4/domains/mg.shop.example"):
            return Answer(200, {"domain": {"name": "mg.shop.example", "state": "active", "type": "custom"}})
        if (asked.method, asked.path) != ("POST", "/v3/mg.shop.example/messages.mime"):
            return Answer(404, {"message": "Domain not found: other.example"})
        head = f"Content-Type: {asked.headers['content-type']}\r\n\r\n".encode()
        form = message_from_bytes(head + asked.body, policy=policy.HTTP)
        parts = {part.get_param("name", header="content-disposition"): part for part in form.iter_parts()}
        to = parts["to"].get_content().strip()
        if to.startswith("invalid"):
            return Answer(400, {"message": "to parameter is not a valid address. please check documentation"})
        mime = parts["message"].get_payload(0)
        name = str(mime["Message-ID"])
        self._take(parts["v:sendctl"].get_content().strip(), to, {"message_id": name}, name[1:].partition("@")[0])
        return Answer(200, {"id": name, "message": "Queued. Thank you."}, accepted=True)

    def _events(self, page: str, query: Mapping[str, list[str]]) -> Answer:
        if "message-id" in query:
            names = {row["request"]["message_id"] for row in self._indexed()} & {f"<{query['message-id'][0]}>"}
            found = [{"event": "accepted", "message": {"headers": {"message-id": name.strip("<>")}}} for name in names]
            return Answer(200, {"items": found, "paging": {}})
        return Answer(200, lists.of_mailgun(self.told, page.strip("/"), query))


class Ses(_Keyless):
    """Signed requests; the signature itself is another test's."""

    def answer(self, asked: Asked) -> Answer:
        if "Credential=AKIDOFTHEDOUBLE/" not in asked.headers.get("authorization", ""):
            return Answer(403, {"message": "The security token included in the request is invalid."},
                          headers={"x-amzn-errortype": "UnrecognizedClientException"})  # fmt: skip
        if asked.path == "/":
            return Answer(*lists.of_sqs(self.told, asked.headers, json.loads(asked.body)))
        if asked.method == "GET":
            return self._told(unquote(asked.path))
        body = json.loads(asked.body)
        to = body["Destination"]["ToAddresses"][0]
        if to.startswith("invalid"):
            return Answer(400, {"message": "Local address contains control or whitespace"},
                          headers={"x-amzn-errortype": "BadRequestException:http://internal.amazon.com/"})  # fmt: skip
        taken_as = self._take(body["EmailTags"][0]["Value"], to, body)
        return Answer(200, {"MessageId": taken_as}, accepted=True)

    def _told(self, path: str) -> Answer:
        if path == "/v2/email/account":
            quota = {"Max24HourSend": 50000.0, "MaxSendRate": 14.0, "SentLast24Hours": 120.0}
            return Answer(200, {"SendingEnabled": True, "ProductionAccessEnabled": True, "SendQuota": quota,
                                "EnforcementStatus": "HEALTHY"})  # fmt: skip
        states = {"shop.example": True, "pending.example": False, "one@single.example": True}
        identity = path.removeprefix("/v2/email/identities/")
        if identity in states:
            return Answer(200, {"IdentityType": "DOMAIN", "VerifiedForSendingStatus": states[identity]})
        return Answer(404, {"message": f"Email identity {identity} does not exist."},
                      headers={"x-amzn-errortype": "NotFoundException"})  # fmt: skip


class Twilio(_Keyless):
    """A form with a body, and codes of its own for who cannot be reached."""

    def answer(self, asked: Asked) -> Answer:
        if asked.headers.get("authorization") != "Basic " + base64.b64encode(f"AC1:{API_KEY}".encode()).decode():
            return _twilio(401, 20003, "Authenticate")
        url = urlsplit(asked.path)
        if (asked.method, url.path) == ("GET", _TEXTS):
            query = parse_qs(url.query)
            return self._listed(query) if "To" in query else Answer(200, lists.of_twilio(self.told, url.path, query))
        if asked.method == "GET":
            return self._told(url)
        if (asked.method, asked.path) != ("POST", _TEXTS):
            return _twilio(404, 20404, "The requested resource was not found")
        form = {name: values[0] for name, values in parse_qs(asked.body.decode(), strict_parsing=True).items()}
        if form["To"].startswith("+4930"):
            return _twilio(400, 21614, "'To' number is not a valid mobile number")
        if form["To"].startswith("+4940"):
            return _twilio(400, 21610, "Attempt to send to unsubscribed recipient")
        taken_as = self._take("", form["To"], form)
        return Answer(201, {"sid": taken_as, "status": "queued"}, accepted=True)

    def _listed(self, asked: Mapping[str, list[str]]) -> Answer:
        """The texts to one number, the newest first, a page at a time."""
        (number,), size = asked["To"], int(asked["PageSize"][0])
        first = int(asked.get("Page", ["0"])[0]) * size
        rows = [row for row in reversed(self._indexed()) if row["to"] == number]
        texts = [
            {"sid": row["id"], "to": row["to"], "body": row["request"]["Body"], "direction": "outbound-api",
             "status": "sent", "date_created": formatdate(row["at"], usegmt=True)}
            for row in rows[first : first + size]
        ]  # fmt: skip
        query = urlencode({"To": number, "PageSize": size, "Page": first // size + 1})
        return Answer(200, {"messages": texts, "next_page_uri": f"{_TEXTS}?{query}" if rows[first + size :] else None})

    def _told(self, url: Any) -> Answer:
        match url.path:
            case "/2010-04-01/Accounts/AC1.json":
                return Answer(200, {"sid": "AC1", "friendly_name": "Shop", "status": "active", "type": "Full"})
            case "/2010-04-01/Accounts/AC1/IncomingPhoneNumbers.json":
                wanted = parse_qs(url.query)["PhoneNumber"][0]
                rows = [{"phone_number": number, "capabilities": {"sms": sms, "voice": True}}
                        for number, sms in {"+15005550006": True, "+15005550009": False}.items()]  # fmt: skip
                return Answer(200, {"incoming_phone_numbers": [row for row in rows if row["phone_number"] == wanted]})
            case "/v1/Services/MG1":
                return Answer(200, {"sid": "MG1", "friendly_name": "shop"})
        return _twilio(404, 20404, "The requested resource was not found")


def _twilio(status: int, code: int, message: str) -> Answer:
    return Answer(status, {"code": code, "message": message, "more_info": "", "status": status})


SERVICES = {
    "resend": Resend, "postmark": Postmark, "sendgrid": SendGrid, "mailgun": Mailgun, "ses": Ses, "twilio": Twilio,
}  # fmt: skip
