"""The SMTP provider: our own asyncio client that knows, at every byte, whether acceptance is still possible.

It never retries a message and never guesses: what no reply has settled is UNKNOWN.
"""

from sendctl.providers.smtp.provider import SmtpProvider, smtp_from_table
from sendctl.providers.smtp.settings import SmtpSettings, settings_from_table

__all__ = ["SmtpProvider", "SmtpSettings", "settings_from_table", "smtp_from_table"]
