"""Postmark: no idempotency key, but each message can be found by what it was sent with.

https://postmarkapp.com/developer/api/email-api, .../overview#error-codes, .../messages-api
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from urllib.parse import quote

from sendctl.providers.base import Outcome, Outgoing, Sought
from sendctl.providers.checks import Checked, cannot_tell, failed, ok
from sendctl.providers.facts import FACTS
from sendctl.providers.http import verdicts
from sendctl.providers.http.api import Api, Reply, Request, check_none, entries_of
from sendctl.providers.http.asking import not_asked, refused
from sendctl.providers.http.letter import parsed, written
from sendctl.providers.http.verdicts import Verdict, judged
from sendctl.providers.text import printable

BASE_URL = "https://api.postmarkapp.com"

# developer/api/overview#error-codes; 300 is looked at below.
_ERRORS: Mapping[int, Verdict] = {
    10: verdicts.BAD_KEY,
    100: verdicts.AWAY,  # maintenance
    400: verdicts.BAD_SENDER,  # sender signature not found
    401: verdicts.BAD_SENDER,  # sender signature not confirmed
    402: verdicts.MISUSED,
    403: verdicts.MISUSED,
    405: verdicts.QUOTA,  # out of credits
    406: verdicts.BAD_RECIPIENT,  # inactive: it bounced or complained before
    409: verdicts.MISUSED,
    412: verdicts.SUSPENDED,  # account is pending
    413: verdicts.SUSPENDED,  # account may not send
    429: verdicts.THROTTLED,
    1235: verdicts.MISUSED,  # no such message stream
    1236: verdicts.MISUSED,
}
_INVALID_REQUEST = 300


class Postmark:
    """One server of an account. `stream` is its message stream; empty for the server's default."""

    capabilities = FACTS["postmark"].capabilities

    def __init__(self, server_token: str, stream: str = "") -> None:
        self._server_token = server_token
        self._stream = stream

    def headers(self) -> Mapping[str, str]:
        return {
            "x-postmark-server-token": self._server_token,
            "content-type": "application/json",
            "accept": "application/json",
        }

    def request(self, message: Outgoing) -> Request:
        letter = parsed(message.content)
        # Postmark keeps a Message-ID of ours when it is told to (developer/user-guide/send-email-with-api).
        headers = letter.headers | {"Message-ID": letter.message_id, "X-PM-KeepID": "true"}
        fields = {
            "From": written(letter.sender), "To": message.recipient, "Subject": letter.subject,
            "ReplyTo": written(letter.reply_to),
            "TextBody": letter.text, "HtmlBody": letter.html, "MessageStream": self._stream,
            "Headers": [{"Name": name, "Value": value} for name, value in headers.items()],
            "Metadata": {"sendctl": message.key},
        }  # fmt: skip
        given = {name: value for name, value in fields.items() if value}
        return Request("/email", {}, json.dumps(given, ensure_ascii=False, separators=(",", ":")).encode())

    def outcome(self, reply: Reply) -> Outcome:
        record = reply.record()
        code, said = record.get("ErrorCode"), str(record.get("Message", ""))
        if not isinstance(code, int) or isinstance(code, bool):
            return verdicts.unrecognised(reply)
        if reply.status >= 500 and code not in _ERRORS:
            return judged(reply, verdicts.UNCLEAR, said)
        known = record.get("MessageID")
        if code == 0 and reply.status == 200 and isinstance(known, str) and known:
            return verdicts.accepted(reply, known)
        if code == _INVALID_REQUEST:
            return judged(reply, _invalid(said), f"{code} {said}")
        if code in _ERRORS:
            return judged(reply, _ERRORS[code], f"{code} {said}")
        return verdicts.unrecognised(reply)

    def find(self, api: Api, sought: Sought) -> str | None:
        asked = {"count": "1", "offset": "0", "metadata_sendctl": sought.key}
        # Without it only the default stream is looked through.
        asked |= {"messagestream": self._stream} if self._stream else {}
        entries = entries_of(api.ask("GET", "/messages/outbound", asked), "Messages")
        for item in entries:
            # Whatever the filter let through: only what carries our key proves anything.
            metadata = item.get("Metadata") if isinstance(item, dict) else None
            if isinstance(metadata, dict) and metadata.get("sendctl") == sought.key and item.get("MessageID"):
                return printable(str(item["MessageID"]))
        check_none(entries)
        return None

    async def check(self, api: Api, senders: Sequence[str]) -> AsyncIterator[Checked]:
        """By the server that the token belongs to: developer/api/server-api, .../message-streams-api."""
        reply = await api.look("/server")
        record = reply.record()
        if reply.status != 200 or "ID" not in record:
            yield refused(reply, f"{record['ErrorCode']} {record.get('Message', '')}" if "ErrorCode" in record else "")
            return
        yield ok("key", f"it belongs to server {record.get('Name', record['ID'])}")
        if record.get("DeliveryType") == "Sandbox":
            yield failed("delivery", "this is a sandbox server: what it takes reaches nobody", "use a live server's.")
        if self._stream:
            yield await self._stream_checked(api)
        for sender in senders:
            yield not_asked(sender, "a server's token may not ask for sender signatures and domains")

    async def _stream_checked(self, api: Api) -> Checked:
        reply = await api.look(f"/message-streams/{quote(self._stream, safe='')}")
        record, what = reply.record(), f"stream {self._stream}"
        if reply.status == 200 and record.get("MessageStreamType") in ("Transactional", "Broadcasts"):
            if record.get("ArchivedAt"):
                return failed(what, "it is archived", "name another one in message_stream.")
            return ok(what, f"it is there, for {str(record['MessageStreamType']).lower()} messages")
        if reply.status in (200, 404, 422):
            said = record.get("Message") or "it takes no outgoing messages"
            return failed(what, f"HTTP {reply.status}: {said}", "name one of the server's in message_stream.")
        return cannot_tell(what, f"HTTP {reply.status}: {reply.shown()}")


def _invalid(said: str) -> Verdict:
    """300 is about whatever its words name first: an address that they quote behind it may have such a word in it."""
    return verdicts.of_field(said, {"'From'": verdicts.BAD_SENDER, "'To'": verdicts.BAD_RECIPIENT})
