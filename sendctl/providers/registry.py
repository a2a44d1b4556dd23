"""From a [providers.NAME] section to the provider it describes.

The only place that knows every adapter. Imports an adapter when it is first asked for, never before: a pass with
nothing due must start fast. Sections were checked when they were read, by settings/provider_options.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sendctl.errors import BadConfig
from sendctl.providers.base import Provider
from sendctl.providers.source import EventLists, EventQueue
from sendctl.settings import ProviderTable, resolve_secret

if TYPE_CHECKING:
    from sendctl.providers.http.feeds.lists import Lists
    from sendctl.providers.http.provider import Service
    from sendctl.providers.http.ses import Signer

_Build = Callable[[ProviderTable, Mapping[str, str]], Provider]
_BuildSource = Callable[[ProviderTable, Mapping[str, str]], EventLists | EventQueue]


def build_provider(table: ProviderTable, environ: Mapping[str, str]) -> Provider:
    """The provider of one section; no connection is made. `environ` is where `*_env` secrets are looked up.

    Raises BadConfig for a secret that cannot be had.
    """
    return _ADAPTERS[table.type](table, environ)


def build_source(table: ProviderTable, environ: Mapping[str, str]) -> EventLists | EventQueue:
    """Where the events of one section are pulled from; no connection is made. Raises BadConfig as above."""
    return _SOURCES[table.type](table, environ)


def _smtp(table: ProviderTable, environ: Mapping[str, str]) -> Provider:
    from sendctl.providers.smtp import smtp_from_table  # noqa: PLC0415  # lazy, see above

    return smtp_from_table(table.name, table.options, _secret(table, "password", environ))


def _maildir(table: ProviderTable, _environ: Mapping[str, str]) -> Provider:
    from sendctl.providers.maildir import MaildirProvider  # noqa: PLC0415  # lazy, see above

    return MaildirProvider(table.name, Path(str(table.options["path"])), table.options.get("fsync") is not False)


def _resend(table: ProviderTable, environ: Mapping[str, str]) -> Provider:
    from sendctl.providers.http import resend  # noqa: PLC0415  # lazy, see above

    return _http(table, resend.Resend(_secret(table, "api_key", environ)), resend.BASE_URL)


def _postmark(table: ProviderTable, environ: Mapping[str, str]) -> Provider:
    from sendctl.providers.http import postmark  # noqa: PLC0415  # lazy, see above

    token, stream = _secret(table, "server_token", environ), str(table.options.get("message_stream", ""))
    return _http(table, postmark.Postmark(token, stream), postmark.BASE_URL)


def _sendgrid(table: ProviderTable, environ: Mapping[str, str]) -> Provider:
    from sendctl.providers.http import sendgrid  # noqa: PLC0415  # lazy, see above

    return _http(table, sendgrid.SendGrid(_secret(table, "api_key", environ)), sendgrid.BASE_URL)


def _mailgun(table: ProviderTable, environ: Mapping[str, str]) -> Provider:
    from sendctl.providers.http import mailgun  # noqa: PLC0415  # lazy, see above

    service = mailgun.Mailgun(_secret(table, "api_key", environ), str(table.options["domain"]))
    return _http(table, service, mailgun.BASE_URL)


def _ses(table: ProviderTable, environ: Mapping[str, str]) -> Provider:
    from sendctl.providers.http import ses  # noqa: PLC0415  # lazy, see above

    region = str(table.options["region"])
    base_url = str(table.options.get("base_url", ses.base_url(region)))
    service = ses.Ses(_signer(table, environ), base_url, str(table.options.get("configuration_set", "")))
    return _http(table, service, base_url)


def _signer(table: ProviderTable, environ: Mapping[str, str]) -> Signer:
    from sendctl.providers.http.ses import Signer  # noqa: PLC0415  # lazy, see above

    return Signer(
        str(table.options["access_key_id"]), _secret(table, "secret_access_key", environ), str(table.options["region"]),
        _secret(table, "session_token", environ),
    )  # fmt: skip


def _twilio(table: ProviderTable, environ: Mapping[str, str]) -> Provider:
    from sendctl.providers.http import twilio  # noqa: PLC0415  # lazy, see above

    options = {key: str(table.options.get(key, "")) for key in ("messaging_service_sid", "sender", "status_callback")}
    service = twilio.Twilio(str(table.options["account_sid"]), _secret(table, "auth_token", environ), **options)
    return _http(table, service, twilio.BASE_URL)


def _secret(table: ProviderTable, name: str, environ: Mapping[str, str]) -> str:
    """Empty where the section refers to none. Raises BadConfig, with the name of the section."""
    try:
        return resolve_secret(table.options, name, environ) or ""
    except BadConfig as error:
        raise BadConfig(f"[providers.{table.name}] {error}", hint=error.hint) from None


def _http(table: ProviderTable, service: Service, base_url: str) -> Provider:
    from sendctl.providers.http.provider import HttpProvider  # noqa: PLC0415  # lazy, see above
    from sendctl.providers.http.settings import settings_from_table  # noqa: PLC0415  # lazy, see above

    return HttpProvider(settings_from_table(table.name, table.options, base_url=base_url), service)


def _sms_file(table: ProviderTable, _environ: Mapping[str, str]) -> Provider:
    from sendctl.providers.sms_file import SmsFileProvider  # noqa: PLC0415  # lazy, see above

    return SmsFileProvider(table.name, Path(str(table.options["path"])), table.options.get("fsync") is not False)


_ADAPTERS: Mapping[str, _Build] = {
    "smtp": _smtp, "maildir": _maildir, "resend": _resend, "postmark": _postmark, "sendgrid": _sendgrid,
    "mailgun": _mailgun, "ses": _ses, "twilio": _twilio, "file": _sms_file,
}  # fmt: skip


def _resend_lists(table: ProviderTable, environ: Mapping[str, str]) -> EventLists:
    from sendctl.providers.http import resend  # noqa: PLC0415  # lazy, see above
    from sendctl.providers.http.feeds.resend import ResendLists  # noqa: PLC0415  # lazy, see above

    service = resend.Resend(_secret(table, "api_key", environ))
    return _lists(table, service.headers(), ResendLists(), resend.BASE_URL)


def _postmark_lists(table: ProviderTable, environ: Mapping[str, str]) -> EventLists:
    from sendctl.providers.http import postmark  # noqa: PLC0415  # lazy, see above
    from sendctl.providers.http.feeds.postmark import PostmarkLists  # noqa: PLC0415  # lazy, see above

    service = postmark.Postmark(_secret(table, "server_token", environ))
    return _lists(table, service.headers(), PostmarkLists(), postmark.BASE_URL)


def _sendgrid_lists(table: ProviderTable, environ: Mapping[str, str]) -> EventLists:
    from sendctl.providers.http import sendgrid  # noqa: PLC0415  # lazy, see above
    from sendctl.providers.http.feeds.sendgrid import SendGridLists  # noqa: PLC0415  # lazy, see above

    service = sendgrid.SendGrid(_secret(table, "api_key", environ))
    return _lists(table, service.headers(), SendGridLists(), sendgrid.BASE_URL)


def _mailgun_lists(table: ProviderTable, environ: Mapping[str, str]) -> EventLists:
    from sendctl.providers.http import mailgun  # noqa: PLC0415  # lazy, see above
    from sendctl.providers.http.feeds.mailgun import MailgunLists  # noqa: PLC0415  # lazy, see above

    domain = str(table.options["domain"])
    service = mailgun.Mailgun(_secret(table, "api_key", environ), domain)
    return _lists(table, service.headers(), MailgunLists(domain), mailgun.BASE_URL)


def _twilio_lists(table: ProviderTable, environ: Mapping[str, str]) -> EventLists:
    from sendctl.providers.http import twilio  # noqa: PLC0415  # lazy, see above
    from sendctl.providers.http.feeds.twilio import TwilioLists  # noqa: PLC0415  # lazy, see above

    sid = str(table.options["account_sid"])
    service = twilio.Twilio(sid, _secret(table, "auth_token", environ))
    return _lists(table, service.headers(), TwilioLists(sid), twilio.BASE_URL)


def _ses_queue(table: ProviderTable, environ: Mapping[str, str]) -> EventQueue:
    from sendctl.providers.http.feeds.sqs import SqsQueue  # noqa: PLC0415  # lazy, see above
    from sendctl.providers.http.settings import settings_from_table  # noqa: PLC0415  # lazy, see above

    own = {name: value for name, value in table.options.items() if name != "base_url"}  # that is SES's
    url = str(table.options["sqs_queue_url"])
    return SqsQueue(settings_from_table(table.name, own, base_url=url), _signer(table, environ), url)


def _lists(table: ProviderTable, headers: Mapping[str, str], lists: Lists, base_url: str) -> EventLists:
    from sendctl.providers.http.feeds.lists import HttpLists  # noqa: PLC0415  # lazy, see above
    from sendctl.providers.http.settings import settings_from_table  # noqa: PLC0415  # lazy, see above

    return HttpLists(settings_from_table(table.name, table.options, base_url=base_url), headers, lists)


_SOURCES: Mapping[str, _BuildSource] = {
    "resend": _resend_lists, "postmark": _postmark_lists, "sendgrid": _sendgrid_lists, "mailgun": _mailgun_lists,
    "ses": _ses_queue, "twilio": _twilio_lists,
}  # fmt: skip
