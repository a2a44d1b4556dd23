"""A message in doubt as it was handed over: the same bytes, made again from what the store froze."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from sendctl.passes import sealing
from sendctl.passes.claiming import Claimed
from sendctl.passes.deciding import Desk
from sendctl.passes.rendered import Press
from sendctl.providers.base import Outgoing
from sendctl.store import sealed
from sendctl.store.claims import Due
from sendctl.store.doubts import Doubt

UNKNOWN_CONTENTS = "the contents that were sent are not known since the store was put back"


def as_handed_over(desk: Desk, connection: Connection, press: Press, doubt: Doubt, due: Due) -> Outgoing:
    """`due` is the row of the doubt's message, with contents. Raises a SendctlError, or CannotOpen of a letter."""
    assert due.revision is not None
    assert due.composed_at is not None
    definition = desk.definition(connection, doubt.campaign_id, due.revision)
    claimed = Claimed(due, doubt.provider, due.attempts, doubt.claim_id, due.revision, due.composed_at)
    if definition.is_sealed:
        contents = sealing.opened(sealing.keyring(desk.context), sealed.of(connection, [due.id]), due.id)
        claimed = claimed._replace(contents=contents)
    return press.render(definition, claimed)
