"""The configuration of one host: sendctl.toml and SENDCTL_ variables, checked whole, as plain frozen values.

Knows every key, those of each type of provider too. Never holds a provider's secret.
"""

from sendctl.settings.loading import load_settings
from sendctl.settings.model import (
    AccountTable,
    EventsSettings,
    JournalSettings,
    LettersSettings,
    LimitsSettings,
    ProviderTable,
    ReconcileSettings,
    SendSettings,
    Settings,
    StoreSettings,
)
from sendctl.settings.sample import sample_config
from sendctl.settings.secret import redact, resolve_secret
from sendctl.settings.sending import check_sending, lacking_of

__all__ = [
    "AccountTable",
    "EventsSettings",
    "JournalSettings",
    "LettersSettings",
    "LimitsSettings",
    "ProviderTable",
    "ReconcileSettings",
    "SendSettings",
    "Settings",
    "StoreSettings",
    "check_sending",
    "lacking_of",
    "load_settings",
    "redact",
    "resolve_secret",
    "sample_config",
]
