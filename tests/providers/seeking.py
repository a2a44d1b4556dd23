"""What a provider is asked for."""

from __future__ import annotations

from datetime import UTC, datetime

from sendctl.providers.base import Sought


def sought(key: str = "k1", recipient: str = "b@x.example") -> Sought:
    """A message of these tests, handed over just now."""
    return Sought(key, f"{key}@shop.example", recipient, datetime.now(UTC))
