"""Whose journal folder it is: passes run as one user, and root's own files in it would shut that user out.

Only looks. Never makes, reads or changes a file.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from sendctl.errors import BadConfig


def check_user(journal: Path, database: Path | None) -> None:
    """Refuse to run a pass as root where the journal folder or the SQLite file is another user's. Raises BadConfig.

    What root makes is root's, mode 0600: from then on every pass of that user would fail.
    """
    if os.geteuid() != 0:
        return
    made_in = database if database is None or database.exists() else database.parent
    for what, place in (("journal folder", journal), ("store", made_in)):
        if place is not None and place.exists() and place.stat().st_uid != 0:
            user = _login(place.stat().st_uid)
            raise BadConfig(
                f"root would shut {user} out: the {what} {place} belongs to {user}, and what root makes there only root"
                " can read",
                hint=f"run it as {user}: sudo -u '{user}' sendctl ...; status, messages and show work as root.",
            )


def unusable(journal: Path) -> str:
    """Why passes cannot use the journal folder, by whose it is; "" where they can, or will make it."""
    try:
        owner = journal.stat().st_uid
        with os.scandir(journal) as entries:
            others = {entry.stat(follow_symlinks=False).st_uid for entry in entries} - {owner}
    except FileNotFoundError:  # not made yet, or a file that was old went meanwhile
        return ""
    except OSError as error:
        return f"the journal folder {journal} cannot be used: {error.strerror}"
    if others:
        users = ", ".join(sorted(map(_login, others)))
        return (
            f"passes cannot use the journal folder {journal}: it belongs to {_login(owner)} and has files of {users}."
            f" Give them back: chown -R '{_login(owner)}' {journal}"
        )
    if not os.access(journal, os.R_OK | os.W_OK | os.X_OK):
        return f"the journal folder {journal} belongs to {_login(owner)}, and {_login(os.geteuid())} cannot use it"
    return ""


def _login(user_id: int) -> str:
    """A user's name; "#1234", as sudo and chown's manual have it, where there is none."""
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return f"#{user_id}"
