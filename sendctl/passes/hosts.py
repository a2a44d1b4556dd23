"""The hosts whose journals a rewound store waits for: those that are known, and those that somebody gives up."""

from __future__ import annotations

from collections.abc import Sequence

from sendctl.errors import UsageError
from sendctl.passes.context import Context, who
from sendctl.passes.startup import rewound_reason
from sendctl.store import audit, meta


def known(context: Context) -> list[str]:
    """Hosts that the store or this host knows. One that came after the backup, and after our last pass, is in none."""
    with context.store.read() as connection:
        found = context.home.known_hosts(meta.read(connection).store_id) | meta.host_names(connection)
    return sorted(found.values())


def as_named(shown: str) -> str:
    """The name or the id of a host from how it is shown: "mail1", "mail1 (ID)", "ID (this one)"."""
    plain = shown.removesuffix(" (this one)")
    return plain[:-1].rpartition(" (")[2] if " (" in plain and plain.endswith(")") else plain


def give_up(context: Context, lost_hosts: Sequence[str], reason: str) -> None:
    """Wait no more for hosts, by name or id, whose journals are lost. Raises UsageError, also when nobody waits."""
    looks_rewound = rewound_reason(context)
    with context.store.write() as connection:
        row = meta.read(connection)
        store_id = row.store_id
        if not (looks_rewound or meta.hosts_behind(connection, row.epoch)):
            raise UsageError(
                "the store was not rewound: nobody waits for a host, and none was given up",
                hint="leave out --lost-host.",
            )
        known = context.home.known_hosts(store_id)
        for name in lost_hosts:
            found = meta.forget_host(connection, name)
            if len(found) > 1:
                here = context.home.host_id
                ids = ", ".join(f"{each} (this one)" if each == here else each for each in found)
                raise UsageError(
                    f"{len(found)} hosts are called {name}: {ids}", hint="give up those that you mean, by id."
                )
            if not found and name not in {*known, *known.values()}:
                raise UsageError(f"there is no host {name} to give up", hint="the error of `send-due` names them.")
        audit.write(
            connection, login=who(context.environ), hostname=context.hostname, action="give up hosts",
            campaign_id=None, reason=reason, detail={"hosts": list(lost_hosts)}, now=context.store.now(connection),
        )  # fmt: skip
    kept = {key: name for key, name in known.items() if not {key, name} & set(lost_hosts)}
    context.home.note_hosts(store_id, kept)
