"""What the answer to a harmless question means, in the words that services share; each service's file has its own."""

from __future__ import annotations

from sendctl.providers.checks import Checked, about, cannot_tell, failed
from sendctl.providers.http.api import Reply

BAD_KEY = "make a new key at the service, and put it where the section refers to."


def refused(reply: Reply, said: str = "") -> Checked:
    """An answer to the first question that is not the one hoped for; `said` is the service's own words."""
    text = f"HTTP {reply.status}: {said or reply.shown()}"
    if reply.status in (401, 403):
        return failed("key", text, BAD_KEY)
    if reply.status in (408, 429) or reply.status >= 500:
        return cannot_tell("key", text, "ask again later.")
    # Its documentation has no such answer: something else stands at that address.
    return failed("key", text, "is base_url right?")


def not_asked(sender: str, why: str, to_do: str = "") -> Checked:
    """A sender about which the service tells nothing."""
    return cannot_tell(about(sender), why, to_do or "`sendctl test-send` shows it.")
