"""Lines that carry a service's own request, whole: an Envelope each, or the reason why a line is none.

Whether it is genuine, and what it says, is for providers/hooks to find out. The format is in docs/webhooks.md.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from typing import Any

from sendctl.inputs.contact_rows import ValueProblem
from sendctl.inputs.moments import moment
from sendctl.providers.hooks.envelope import Envelope


def is_envelope(values: dict[str, Any]) -> bool:
    """Whether a line is one: an event of ours has a type."""
    return "headers" in values and "type" not in values


def envelope(values: dict[str, Any], written_at: datetime) -> Envelope:
    """The envelope of a line; without `received_at` it came when its file was written. Raises ValueProblem."""
    provider = _text(values, "provider")
    if not provider:
        raise ValueProblem("provider", "must be given: the name of the section [providers.NAME] whose webhook it is")
    return Envelope(
        provider=provider,
        received_at=moment(values, "received_at") or written_at,
        headers=_headers(values["headers"]),
        body=_body(values),
        url=_text(values, "url"),
        method=_text(values, "method").upper() or "POST",
    )


def _headers(given: object) -> dict[str, str]:
    """Names in lower case: they are the same in any (RFC 9110 section 5.1)."""
    if not isinstance(given, dict):
        raise ValueProblem("headers", 'must be an object, such as {"svix-id": "msg_..."}')
    headers = dict[str, str]()
    for name, value in given.items():
        if not isinstance(value, str):
            raise ValueProblem("headers", f"{name[:60]!r} must be a string, is {json.dumps(value)[:40]}")
        if value and headers.setdefault(name.lower(), value) != value:
            raise ValueProblem("headers", f"{name[:60]!r} stands there twice, and not the same")
    return headers


def _body(values: dict[str, Any]) -> bytes:
    given = [name for name in ("body", "body_base64") if name in values]
    if len(given) != 1:
        raise ValueProblem("body", "must be given, as it came; or body_base64, and not both")
    text = _text(values, given[0])
    if given[0] == "body":
        return text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueProblem("body_base64", "is not base64") from None


def _text(values: dict[str, Any], name: str) -> str:
    value = values.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueProblem(name, f"must be a string, is {json.dumps(value)[:40]}")
    return value or ""
