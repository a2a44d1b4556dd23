"""From a claimed message to the bytes that go out: compiled steps are kept, contents come frozen from the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sendctl.definition import Definition
from sendctl.providers.base import Outgoing
from sendctl.rendering.failures import RenderError
from sendctl.rendering.message import Frozen, Recipient, StepRenderer
from sendctl.rendering.steps import ChannelRenderer, channel_renderer

if TYPE_CHECKING:  # whoever only checks or previews messages needs no store
    from sendctl.passes.claiming import Claimed
    from sendctl.passes.sealing import Contents

_decode = json.JSONDecoder().raw_decode


class Press:
    """Renders messages for one worker; compiles each step of each revision once."""

    def __init__(self) -> None:
        self._steps: dict[tuple[int, int, int, str], ChannelRenderer] = {}

    def render(self, definition: Definition, claimed: Claimed) -> Outgoing:
        """The message as it is handed over. Raises a SendctlError when its data do not fit its templates."""
        due = claimed.due
        if definition.is_sealed and claimed.contents is None:
            raise RenderError("its contents are sealed, and nobody has opened them")
        if claimed.contents is not None:
            return _opened(definition, claimed, claimed.contents)
        place = (due.campaign_id, claimed.revision, due.step_index, due.channel)
        if place not in self._steps:
            self._steps[place] = channel_renderer(definition, definition.step(due.step_index), due.channel)
        recipient = recipient_of(_record(due.snapshot), due.token, due.subject_key)
        return self._steps[place].render(recipient, _frozen(claimed))


def _opened(definition: Definition, claimed: Claimed, contents: Contents) -> Outgoing:
    """A letter whose contents stood sealed in the store. Nothing of it is kept, and no error repeats any of it."""
    try:
        renderer = StepRenderer(definition, contents.step(definition.step(claimed.due.step_index)))
        return renderer.render(Recipient(contents.contact, claimed.due.token), _frozen(claimed))
    except Exception:
        raise RenderError("its sealed contents cannot be made into a message") from None


def _frozen(claimed: Claimed) -> Frozen:
    due = claimed.due
    return Frozen(
        message_id=due.id, attempt=claimed.number, key=due.key, provider=claimed.provider, recipient=due.recipient,
        composed_at=claimed.composed_at,
    )  # fmt: skip


def _record(snapshot: str) -> Mapping[str, Any]:
    """What `json.loads` gives, in half its time: for what sendctl writes there is no white space to look for."""
    record: Mapping[str, Any]
    record, end = _decode(snapshot)
    return record if end == len(snapshot) else json.loads(snapshot)


def recipient_of(snapshot: Mapping[str, Any], token: str, subject_key: str = "") -> Recipient:
    """What varies per person, as it was frozen with the enrollment; what it is about stands beside the contact."""
    if not subject_key:
        return Recipient(contact=snapshot, token=token)
    return Recipient(snapshot["contact"], token, snapshot.get("order"), snapshot.get("item"))
