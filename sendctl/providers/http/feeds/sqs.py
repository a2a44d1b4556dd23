"""The queue that events of SES come through: Amazon SQS, by its JSON protocol. A message stays until it is taken out.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html, API_DeleteMessageBatch.
No signature of SNS is looked at: only who the queue's policy lets write can have put it there, and TLS vouches for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from sendctl.providers.events import ses
from sendctl.providers.events.line import OtherForm, optional, text
from sendctl.providers.http.api import Api, Declined, entries_of
from sendctl.providers.http.feeds.lists import THROTTLED_S, explained, read
from sendctl.providers.http.ses import Signer
from sendctl.providers.http.settings import HttpSettings
from sendctl.providers.source import Delivery, NoEvents

MOST = 10  # messages that one request gives or takes out
_HIDDEN_S = 120  # from everybody else, once received: longer than it takes to write them down
_WAIT_S = 1  # asks all of its servers, where a request that does not wait asks some ("short and long polling")
_REGION = re.compile(r"sqs\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?").fullmatch
_NOT_ALLOWED = frozenset(
    {
        "AccessDenied", "AccessDeniedException", "ExpiredTokenException", "IncompleteSignature", "InvalidAccessKeyId",
        "InvalidClientTokenId", "InvalidSecurity", "InvalidSignatureException", "KmsAccessDenied",
        "MissingAuthenticationToken", "SignatureDoesNotMatch", "UnrecognizedClientException",
    }
)  # fmt: skip
_TOO_OFTEN = frozenset({"KmsThrottled", "OverLimit", "RequestThrottled", "ThrottlingException"})
_PERMISSION = "receive from the queue and delete from it (sqs:ReceiveMessage, sqs:DeleteMessage)"


class SqsQueue:
    """One queue. `settings.base_url` and `url` are its address, whose host says its region, if it is Amazon's."""

    def __init__(self, settings: HttpSettings, signer: Signer, url: str) -> None:
        place = urlsplit(url)
        self._url, self._root = url, f"{place.scheme}://{place.netloc}"
        found = _REGION(place.hostname or "")
        self._signer = replace(signer, region=found[1]) if found else signer
        self._api = Api(replace(settings, base_url=self._root), {})

    @contextmanager
    def together(self) -> Iterator[None]:
        """See EventQueue."""
        with ExitStack() as stack:
            with explained(_PERMISSION):
                stack.enter_context(self._api.together())
            yield

    def receive(self) -> Sequence[Delivery]:
        """See EventQueue."""
        asked = {
            "MaxNumberOfMessages": MOST, "VisibilityTimeout": _HIDDEN_S, "WaitTimeSeconds": _WAIT_S,
            "MessageSystemAttributeNames": ["SentTimestamp"],
        }  # fmt: skip
        with explained(_PERMISSION):
            answer = self._asked("ReceiveMessage", asked)
            # Without the key there are none.
            return [_delivery(message) for message in (entries_of(answer, "Messages") if "Messages" in answer else ())]

    def take_out(self, receipts: Sequence[str]) -> None:
        """See EventQueue. What SQS could not delete comes again, and is known then."""
        for first in range(0, len(receipts), MOST):
            some = receipts[first : first + MOST]
            entries = [{"Id": str(number), "ReceiptHandle": one} for number, one in enumerate(some)]
            with explained(_PERMISSION):
                self._asked("DeleteMessageBatch", {"Entries": entries})

    def _asked(self, action: str, fields: Mapping[str, object]) -> Mapping[str, Any]:
        content = json.dumps({"QueueUrl": self._url, **fields}).encode()
        given = {"content-type": "application/x-amz-json-1.0", "x-amz-target": f"AmazonSQS.{action}"}
        headers = self._signer.signed(f"{self._root}/", content, datetime.now(UTC), service="sqs", given=given)
        try:
            return self._api.fetch("POST", "/", content=content, headers=headers).record()
        except Declined as error:
            kind = str(error.reply.record().get("__type", "")).rpartition("#")[2]
            if kind in _NOT_ALLOWED:
                raise NoEvents(f"{error.strerror}; the key must be allowed to {_PERMISSION}") from error
            if kind in _TOO_OFTEN:
                raise NoEvents(str(error.strerror), THROTTLED_S) from error
            raise


def _delivery(message: Any) -> Delivery:
    """What is no event, or no message of SQS, is said in `unread`, and keeps no other from being received."""
    page = read([message], lambda one: _lines(text(one, "Body")))
    record = message if isinstance(message, dict) else {}
    sent, receipt = str(optional(record, "Attributes").get("SentTimestamp") or ""), record.get("ReceiptHandle")
    try:
        queued_at = datetime.fromtimestamp(int(sent) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        flaw = "a message has no SentTimestamp"
    else:
        if isinstance(receipt, str) and receipt:
            return Delivery(page.lines, page.unread, receipt, queued_at)
        flaw = "a message has no ReceiptHandle"
    return Delivery(page.lines, [*page.unread, flaw], "", datetime.now(UTC))


def _lines(body: str) -> list[dict[str, Any]]:
    """Of an event by itself, or of a notification of SNS around it; none of what else SNS says. Raises OtherForm."""
    record = _record(body)
    if "Type" in record and "TopicArn" in record:
        if record["Type"] != "Notification" or not str(record.get("Message")).lstrip().startswith("{"):
            return []  # such as "Successfully validated SNS topic for Amazon SES event publishing."
        record = _record(text(record, "Message"))
    return ses.lines(record)


def _record(said: str) -> Mapping[str, Any]:
    try:
        found = json.loads(said)
    except (ValueError, RecursionError) as error:
        raise OtherForm("it is not JSON") from error
    if not isinstance(found, dict):
        raise OtherForm("it is no JSON object")
    return found
