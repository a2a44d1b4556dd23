"""Which attempts may have gone to the same account at a service as a section of the settings names."""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa


class Account(NamedTuple):
    """A section, and all the sections that are at other services.

    Any other may be the same account under another name, also one that is gone. `elsewhere` None: none but this one.
    """

    provider: str
    elsewhere: tuple[str, ...] | None = None

    def tried_by(self, provider: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
        """Whether a provider may be this account."""
        return provider == self.provider if self.elsewhere is None else provider.not_in(self.elsewhere)
