"""The idle pass: most of the passes that cron starts find nothing due, and should cost next to nothing.

Kept free of heavy imports. Any doubt, and any error but a long wait, is answered by "not idle": the full pass then
says what it is.
"""

from __future__ import annotations

import os

from sendctl.journal.home import note_of, open_home, place_of
from sendctl.settings import Settings
from sendctl.settings.store_url import place_of_store, sqlite_path
from sendctl.store.idle import Here, StillWaiting, nothing_to_do


def is_idle(settings: Settings) -> bool:
    """Whether a send-due pass has nothing to do here: nothing due, no dead run, nothing to refuse.

    Raises StoppedEarly or Unreachable where the full pass would only wait for the same once more.
    """
    database = sqlite_path(settings.store.url)
    if not settings.send.enabled or (database is not None and not database.is_file()):
        return False  # before a journal folder is made beside a store that is not there
    try:
        return _idle(settings)
    except StillWaiting as waiting:
        raise waiting.problem from waiting
    except Exception:  # whatever it is, the full pass meets it again and explains it
        return False


def _idle(settings: Settings) -> bool:
    home = open_home(settings.journal.path, settings.journal.witnesses)
    if home.pending():
        return False
    newest = home.confirmed(1)
    if newest and note_of(home, newest[0]) is None:
        return False
    url = settings.store.url
    here = Here(place_of(url), home.host_id, os.uname().nodename, newest[0] if newest else "")
    noted = nothing_to_do(url, here, home.seen_passes)
    if noted is not None:
        home.note_passes(*noted)
        home.note_place(noted[0], place_of_store(url))
        return True
    return False
