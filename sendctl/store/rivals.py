"""Whose a text is that a service has, where only its contents and its recipient can say it.

It may be that of any other message to the same recipient that was handed to the same account about then, as long as
nobody knows under which id the service has that one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sendctl.states import AttemptOutcome, CampaignStatus, State
from sendctl.store.doubts import Doubt
from sendctl.store.tables import attempts, campaigns, messages, replayed_keys

_M, _A, _K = messages.c, attempts.c, replayed_keys.c
LONGEST_AGAIN = timedelta(days=1)  # after its begin an attempt is handed over again: as long as keys are known

# In the words of the index attempts_settled_otherwise, which only a statement with these very words can use.
_SETTLED_OTHERWISE = sa.text("attempts.outcome IN ('accepted', 'abandoned') AND attempts.evidence <> 'reply'")


def is_anothers(connection: Connection, provider_message_id: str, doubt: Doubt) -> bool:
    """Whether a service's id is known to be that of another message, by whatever section of the settings."""
    here = sa.select(sa.literal(1)).where(
        _A.provider_message_id == provider_message_id, _A.message_id != doubt.message_id
    )
    in_journals = sa.select(sa.literal(1)).where(
        _K.provider_message_id == provider_message_id, _K.provider_key != doubt.provider_key
    )
    return any(connection.execute(one.limit(1)).first() is not None for one in (here, in_journals))


def has_rivals(connection: Connection, doubt: Doubt, around: timedelta, elsewhere: Sequence[str]) -> bool:
    """Whether another message to the same recipient was handed over about then, under an id that nobody knows (yet).

    Not by the providers `elsewhere`, which are accounts at other services; any other may be the same account under
    another name. Looked for among what is under way or in doubt, what was settled otherwise than by a reply, and what
    only journals remember. What was handed over again under its key counts from its first time to its last.
    """
    since, until = doubt.handed_over_at - around, doubt.last_at + around
    handed_over = (
        sa.select(sa.literal(1))
        .join_from(attempts, messages, _M.id == _A.message_id)
        .where(
            _M.id != doubt.message_id, _M.recipient == doubt.recipient, _A.provider.not_in(elsewhere),
            _A.started_at.between(since - LONGEST_AGAIN, until), sa.func.coalesce(_A.again_at, _A.started_at) >= since,
            _A.provider_message_id.is_(None),
        )
    )  # fmt: skip
    live = sa.select(campaigns.c.id).where(campaigns.c.status != CampaignStatus.ARCHIVED)  # for messages_by_state
    under_way = handed_over.where(
        _M.campaign_id.in_(live), _M.status.in_([State.SENDING, State.IN_DOUBT]),
        _A.outcome.in_([AttemptOutcome.OPEN, AttemptOutcome.UNKNOWN]),
    )  # fmt: skip
    # Its message need not be here, and its recipient is not known then.
    not_it = sa.exists().where(
        _M.provider_key == _K.provider_key, sa.or_(_M.id == doubt.message_id, _M.recipient != doubt.recipient)
    )
    in_journals = sa.select(sa.literal(1)).where(
        _K.provider_message_id.is_(None), _K.provider.not_in(elsewhere), _K.at >= since,
        sa.func.coalesce(_K.composed_at, _K.at) <= until, ~not_it,
    )  # fmt: skip
    asked = (under_way, handed_over.where(_SETTLED_OTHERWISE), in_journals)
    return any(connection.execute(one.limit(1)).first() is not None for one in asked)
