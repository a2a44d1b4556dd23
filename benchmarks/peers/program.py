"""django-post_office and django-mailer doing the shop's job; run by the Python of the peers' own environment.

    python program.py PEER prepare|enqueue|send JOB.json

Prints how long the job itself took, without the start of Django. Knows nothing of sendctl.
"""

from __future__ import annotations

import csv
import importlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

APPS = {"django-post_office": "post_office", "django-mailer": "mailer"}


def configure(peer: str, job: dict[str, Any]) -> None:
    """Django with one application, on SQLite, as its documentation sets it up."""
    folder = Path(job["folder"])
    settings = importlib.import_module("django.conf").settings
    settings.configure(
        SECRET_KEY="benchmark",  # noqa: S106  signs nothing here
        INSTALLED_APPS=["django.contrib.contenttypes", APPS[peer]],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "peer.db")}},
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
        EMAIL_BACKEND={"mailer": "mailer.backend.DbBackend", "post_office": "post_office.EmailBackend"}[APPS[peer]],
        EMAIL_HOST="127.0.0.1",
        EMAIL_PORT=job["port"],
        POST_OFFICE={"BACKENDS": {"default": "django.core.mail.backends.smtp.EmailBackend"}},
        # A lock of this run alone: with a stale one django-mailer ends with 0 and has sent nothing.
        MAILER_LOCK_PATH=str(folder / "send_mail"),
        LOGGING_CONFIG=None,
    )
    importlib.import_module("django").setup()


def people(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What the templates need, for each row of the contacts file."""
    with open(job["contacts"], newline="") as file:
        for row in csv.DictReader(file):
            yield {"contact": row, "unsubscribe_url": f"{job['unsubscribe']}{row['id']}"}


def headers(person: dict[str, Any]) -> dict[str, str]:
    """Those of RFC 8058."""
    return {
        "List-Unsubscribe": f"<{person['unsubscribe_url']}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


def enqueue_post_office(job: dict[str, Any]) -> None:
    """One bulk insert; the template is rendered when the message is sent."""
    models = importlib.import_module("post_office.models")
    template = models.EmailTemplate.objects.create(
        name="letter", subject=job["subject"], content=job["text"], html_content=job["html"]
    )
    importlib.import_module("post_office.mail").send_many([
        {
            "recipients": [person["contact"]["email"]], "sender": job["sender"], "template": template,
            "context": person, "render_on_delivery": True, "headers": headers(person),
        }
        for person in people(job)
    ])  # fmt: skip


def enqueue_mailer(job: dict[str, Any]) -> None:
    """Finished messages, rendered by Django's templates, in one call of the backend."""
    mail = importlib.import_module("django.core.mail")
    template = importlib.import_module("django.template")
    engine = template.engines["django"]
    subject, text, html = (engine.from_string(job[part]) for part in ("subject", "text", "html"))
    messages = []
    for person in people(job):
        message = mail.EmailMultiAlternatives(
            subject.render(person), text.render(person), job["sender"], [person["contact"]["email"]],
            headers=headers(person),
        )  # fmt: skip
        message.attach_alternative(html.render(person), "text/html")
        messages.append(message)
    mail.get_connection().send_messages(messages)


def main() -> None:
    peer, verb, path = sys.argv[1:]
    job = json.loads(Path(path).read_text())
    configure(peer, job)
    call = importlib.import_module("django.core.management").call_command
    begun_s = time.monotonic()
    if verb == "prepare":
        call("migrate", verbosity=0)
    elif verb == "enqueue":
        enqueue_post_office(job) if peer == "django-post_office" else enqueue_mailer(job)
    else:
        call("send_queued_mail" if peer == "django-post_office" else "send_mail")
    print(json.dumps({"seconds": time.monotonic() - begun_s}))


if __name__ == "__main__":
    main()
