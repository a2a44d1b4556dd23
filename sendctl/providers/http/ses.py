"""Amazon SES, version 2: takes a message as it is. It knows no idempotency key and cannot be asked for a message.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html; requests are signed as
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html has it (version 4).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

from sendctl.providers.base import Outcome, Outgoing, Sought
from sendctl.providers.checks import Checked, about, domain_of, failed, ok
from sendctl.providers.facts import FACTS
from sendctl.providers.http import verdicts
from sendctl.providers.http.api import Api, Reply, Request
from sendctl.providers.http.asking import BAD_KEY, not_asked, refused
from sendctl.providers.http.verdicts import Verdict, judged

PATH = "/v2/email/outbound-emails"
_JSON: Mapping[str, str] = {"content-type": "application/json"}
ACCOUNT, IDENTITIES = "/v2/email/account", "/v2/email/identities"

# The errors of SendEmail, and those that all actions share (CommonErrors).
_ERRORS: Mapping[str, Verdict] = {
    "AccountSuspendedException": verdicts.SUSPENDED,
    "SendingPausedException": verdicts.SUSPENDED,
    "MailFromDomainNotVerifiedException": verdicts.BAD_SENDER,
    "NotFoundException": verdicts.MISUSED,  # such as a configuration set that is not there
    "BadRequestException": verdicts.BAD_CONTENT,
    "MessageRejected": verdicts.BAD_CONTENT,
    "LimitExceededException": verdicts.QUOTA,
    "TooManyRequestsException": verdicts.THROTTLED,
    "ThrottlingException": verdicts.THROTTLED,
    "AccessDeniedException": verdicts.BAD_KEY,
    "ExpiredTokenException": verdicts.BAD_KEY,
    "IncompleteSignature": verdicts.BAD_KEY,
    "InvalidClientTokenId": verdicts.BAD_KEY,
    "InvalidSignatureException": verdicts.BAD_KEY,
    "MissingAuthenticationTokenException": verdicts.BAD_KEY,
    "SignatureDoesNotMatch": verdicts.BAD_KEY,
    "UnrecognizedClientException": verdicts.BAD_KEY,
    "OptInRequired": verdicts.SUSPENDED,
    "RequestExpired": verdicts.MISUSED,  # this machine's clock is wrong
    "ValidationError": verdicts.BAD_CONTENT,
    "ValidationException": verdicts.BAD_CONTENT,
}


def base_url(region: str) -> str:
    """The service's address in a region."""
    return f"https://email.{region}.amazonaws.com"


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs requests to SES, or another service of Amazon's, with one access key: Signature Version 4."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    region: str = ""
    session_token: str = field(default="", repr=False)

    def signed(
        self, url: str, content: bytes | None, now: datetime, *, service: str = "ses", given: Mapping[str, str] = _JSON
    ) -> dict[str, str]:  # fmt: skip
        """The headers that a POST of this to this address must have, or, without `content`, a GET.

        `given` are those that a POST has besides, signed too.
        """
        place = urlsplit(url)
        stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        digest = hashlib.sha256(content or b"").hexdigest()
        headers = {"host": place.netloc, "x-amz-date": stamp} | (dict(given) if content is not None else {})
        if self.session_token:
            headers["x-amz-security-token"] = self.session_token
        names = ";".join(sorted(headers))
        canonical = "\n".join(
            [
                "GET" if content is None else "POST",
                quote(place.path, safe="/~") or "/",  # encoded once more than in the request, but for S3
                "", *(f"{name}:{headers[name]}" for name in sorted(headers)), "", names, digest,
            ]
        )  # fmt: skip
        scope = f"{day}/{self.region}/{service}/aws4_request"
        wanted = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = f"AWS4{self.secret_access_key}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, wanted.encode(), "sha256").hex()
        credential = f"{self.access_key_id}/{scope}"
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
        )
        return headers


class Ses:
    """One account in one region. With a configuration set, events repeat the tag `sendctl`."""

    capabilities = FACTS["ses"].capabilities

    def __init__(self, signer: Signer, base_url: str, configuration_set: str = "") -> None:
        self._signer = signer
        self._base_url = base_url.rstrip("/")
        self._configuration_set = configuration_set

    def headers(self) -> Mapping[str, str]:
        return {"accept": "application/json"}

    def request(self, message: Outgoing) -> Request:
        fields = {
            "Destination": {"ToAddresses": [message.recipient]},
            "Content": {"Raw": {"Data": base64.b64encode(message.content).decode()}},
            "EmailTags": [{"Name": "sendctl", "Value": message.key}],
            "ConfigurationSetName": self._configuration_set,
        }
        content = json.dumps({name: value for name, value in fields.items() if value}, separators=(",", ":")).encode()
        return Request(PATH, self._signer.signed(self._base_url + PATH, content, datetime.now(UTC)), content)

    def outcome(self, reply: Reply) -> Outcome:
        record = reply.record()
        known = record.get("MessageId")
        if reply.status == 200 and isinstance(known, str) and known:
            return verdicts.accepted(reply, known)
        name, said = _error(reply)
        if name not in _ERRORS or reply.status >= 500:
            return verdicts.unrecognised(reply)
        return judged(reply, _meant(name, said), f"{name}: {said}")

    def find(self, api: Api, sought: Sought) -> str | None:
        """SES cannot be asked for a tag: its events have it."""
        raise OSError(0, "SES has no lookup by key")

    async def check(self, api: Api, senders: Sequence[str]) -> AsyncIterator[Checked]:
        """By the account: latest/APIReference-V2/API_GetAccount. A key that may only send is told so by its refusal."""
        reply = await self._look(api, ACCOUNT)
        name, said = _error(reply)
        if name == "AccessDeniedException":
            yield ok("key", "it is valid; it may not ask for the account (ses:GetAccount)")
        elif reply.status != 200 or not reply.record():
            bad = _ERRORS.get(name) is verdicts.BAD_KEY
            yield (
                failed("key", f"{name}: {said}", BAD_KEY) if bad else refused(reply, f"{name}: {said}" if name else "")
            )
            return
        else:
            yield ok("key", f"it is valid in {self._signer.region}")
            yield _account(reply.record())
        for sender in senders:
            yield await self._sender(api, sender)

    async def _sender(self, api: Api, sender: str) -> Checked:
        """By identities: an address, its domain, or one above it, verifies it (latest/dg/creating-identities)."""
        labels = domain_of(sender).split(".")
        parents = [".".join(labels[place:]) for place in range(max(1, len(labels) - 1))]
        for identity in (sender, *parents):
            reply = await self._look(api, f"{IDENTITIES}/{quote(identity, safe='')}")
            name, said = _error(reply)
            if reply.status == 200 and reply.record().get("VerifiedForSendingStatus") is True:
                return ok(about(sender), f"{identity} is verified")
            if name == "AccessDeniedException":
                return not_asked(sender, "the key may not ask for identities (ses:GetEmailIdentity)")
            if reply.status not in (200, 404):
                return not_asked(sender, f"HTTP {reply.status}: {name} {said}")
        region = self._signer.region
        return failed(about(sender), f"neither it nor its domain is verified in {region}", "verify the domain in SES.")

    async def _look(self, api: Api, path: str) -> Reply:
        return await api.look(path, headers=self._signer.signed(self._base_url + path, None, datetime.now(UTC)))


def _error(reply: Reply) -> tuple[str, str]:
    """The name and the words of an error, of which either may be empty.

    The name is in "x-amzn-ErrorType: MessageRejected:http://internal.amazon.com/...", or in the body with a name space.
    """
    record = reply.record()
    kind = reply.headers.get("x-amzn-errortype") or str(record.get("__type", ""))
    return kind.split(":")[0].rpartition("#")[2], str(record.get("message") or record.get("Message") or "")


def _account(record: Mapping[str, Any]) -> Checked:
    if record.get("SendingEnabled") is False or record.get("EnforcementStatus") == "SHUTDOWN":
        said = f"sending is paused (enforcement status {record.get('EnforcementStatus')})"
        return failed("account", said, "look at the account's reputation in SES.")
    if record.get("ProductionAccessEnabled") is False:
        said = "it is in the sandbox: only verified recipients are reached"
        return failed("account", said, "ask for production access in SES.")
    quota = record.get("SendQuota")
    if not isinstance(quota, dict):
        return ok("account", "it may send")
    sent, most = quota.get("SentLast24Hours"), quota.get("Max24HourSend")
    return ok("account", f"it has sent {sent:g} of {most:g} in 24 hours" if _are_numbers(sent, most) else "it may send")


def _are_numbers(*values: object) -> bool:
    return all(isinstance(value, int | float) for value in values)


def _meant(name: str, said: str) -> Verdict:
    """Two names stand for several things, which only the words tell apart."""
    if name == "MessageRejected" and "sending paused" in said.lower():
        return verdicts.SUSPENDED  # "Sending paused for this account", as the query API says it
    if name == "TooManyRequestsException" and "daily" in said.lower():
        return verdicts.QUOTA  # "Daily message quota exceeded"
    if name == "MessageRejected" and "not verified" in said.lower():
        return verdicts.BAD_SENDER  # "Email address is not verified": in the sandbox, the recipient's as well
    return _ERRORS[name]
