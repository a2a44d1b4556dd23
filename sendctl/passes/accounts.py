"""Accounts: what an enqueue may plan, and who of those that wait gets a share of what is left.

Everything is counted anew each time, alone (`store.accounts.hold`); there is no balance that could be wrong.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy.engine import Connection

from sendctl.definition import Definition
from sendctl.errors import AllowanceExceeded, ExitCode, UsageError
from sendctl.passes.context import Context, who
from sendctl.settings import AccountTable
from sendctl.store import accounts, audit, holds, replanning
from sendctl.store.accounts import Waiting
from sendctl.store.holds import Held, Span, Why
from sendctl.store.replanning import Moved

ASK_AGAIN = timedelta(hours=1)  # room may be given back, or granted, at any time
EVER = datetime(1970, 1, 1, tzinfo=UTC)  # the one period of credits


@dataclass
class Usage:
    """What an account has used in its period as of `now`, and what is reserved in that one and in later ones."""

    table: AccountTable
    most: int  # in a period; all credits granted
    begins: datetime
    consumed: int
    reserved: Counter[datetime] = field(default_factory=Counter)  # by the beginning of its period

    def left(self, period: datetime) -> int:
        """What may still be planned for a period; below 0 when something came over from the one before."""
        return self.most - self.reserved[period] - (self.consumed if period == self.begins else 0)

    def period_of(self, moment: datetime, now: datetime) -> datetime:
        """The period in which a message counts that may go then: at the earliest in this one."""
        return beginning(max(moment, now), self.table.period)


def beginning(moment: datetime, period: str) -> datetime:
    """When the period of a moment begins: midnight by UTC, of its day, Monday, first of the month or of the year."""
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    match period:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "year":
            return day.replace(month=1, day=1)
    return EVER


def following(begins: datetime, period: str) -> datetime | None:
    """When the period after one begins; None after that of credits, which never ends."""
    if not period:
        return None
    return beginning(begins + timedelta(days={"day": 1, "week": 7, "month": 32, "year": 367}[period]), period)


def usage(connection: Connection, table: AccountTable, now: datetime) -> Usage:
    """Count what an account has used."""
    begins = beginning(now, table.period)
    since = begins if table.period else None
    most = accounts.granted(connection, table.name) if table.allowance is None else table.allowance
    found = Usage(table, most, begins, accounts.consumed(connection, table.name, since))
    found.reserved[begins] += accounts.in_hand(connection, table.name, since)
    for moment, number in accounts.queued(connection, table.name):
        found.reserved[found.period_of(moment, now)] += number
    return found


# -- an enqueue ---------------------------------------------------------------------------------------------------


def check_room(
    context: Context, connection: Connection, name: str, now: datetime, planned: range = range(0)
) -> None:  # fmt: skip
    """Hold the account of a campaign of which something was planned, moved or ended in this transaction.

    Who waits for a share is served first: by this, or by an enqueue before it. What was just planned, the messages with
    these ids, must fit into what is left then. Raises AllowanceExceeded with the numbers: the caller writes nothing.
    """
    table = context.settings.accounts.get(name)  # of others another host knows what they may use
    if table is None or not (planned or accounts.any_unpaid(connection, name)):
        return
    accounts.hold(connection, name, now)
    found = usage(connection, table, now)
    wanted: Counter[datetime] = Counter()
    for moment, number in accounts.queued(connection, name, planned) if planned else ():
        wanted[found.period_of(moment, now)] += number
    found.reserved.subtract(wanted)
    _serve(connection, found, now, asked=False)
    found.reserved.update(wanted)
    short = [period for period in sorted(wanted) if found.left(period) < 0]
    if short:
        raise AllowanceExceeded(_too_little(found, short[0], wanted[short[0]]), hint=_advice(table))


def _too_little(found: Usage, period: datetime, wanted: int) -> str:
    left = found.left(period) + wanted
    consumed = found.consumed if period == found.begins else 0
    reserved = found.reserved[period] - wanted
    return (
        f"account {found.table.name} has {max(left, 0):,} of {found.most:,} {named(found.table)} left"
        f"{_in(found.table, period)} ({consumed:,} sent, {reserved:,} reserved), and this would plan {wanted:,}:"
        f" {wanted - max(left, 0):,} too many"
    )


def named(table: AccountTable) -> str:
    """What an account counts: `messages a month`, `credits`."""
    return f"messages a {table.period}" if table.allowance is not None else "credits"


def _in(table: AccountTable, period: datetime) -> str:
    forms = {"day": "%Y-%m-%d", "week": "the week of %Y-%m-%d", "month": "%Y-%m", "year": "%Y"}
    return f" in {period.strftime(forms[table.period])}" if table.period else ""


def _advice(table: AccountTable) -> str:
    if table.allowance is None:
        return f'grant it more with `sendctl account grant {table.name} N --reason "..."`; nothing was written.'
    return "plan fewer people, or a later start; nothing was written. `sendctl account` shows what is left."


# -- those that are moved -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shares:
    """What becomes of shares of an account when messages of a campaign are moved: each is one of a period."""

    account: str  # "" where the campaign has none
    table: AccountTable | None  # None: this host does not know its periods
    now: datetime

    def span(self, moment: datetime) -> Span | None:
        """From which moments a message may be moved to this one and keep its share; None: from everywhere."""
        if not self.account:
            return None
        if self.table is None:
            return Span(None, EVER)  # from none: a host that knows the account gives it one
        begins = beginning(max(moment, self.now), self.table.period)
        return Span(None if begins <= self.now else begins, following(begins, self.table.period))

    def move(self, connection: Connection, moved: Iterable[Moved]) -> None:
        """Let queued messages be due at other times; those that leave their period have to get a share there."""
        periods: dict[Span | None, list[Moved]] = defaultdict(list)
        for item in moved:
            periods[self.span(item.due_at)].append(item)
        for span, some in periods.items():
            replanning.move(connection, some, self.now, span=span)


def shares(context: Context, definition: Definition, now: datetime) -> Shares:
    """The shares of a campaign, which may have no account."""
    return Shares(definition.account, context.settings.accounts.get(definition.account), now)


# -- those that wait ----------------------------------------------------------------------------------------------


def share_out(context: Context, *, every: bool = False) -> int:
    """Give what has no share of its account one, as far as there is room, what is due first first; returns how many.

    Each account in a transaction of its own. Without `every`, only where somebody asks for the first time or again.
    """
    with context.store.read() as connection:
        now = context.store.now(connection)
        waiting = accounts.with_unpaid(connection, None if every else now)
    known = context.settings.accounts  # of others another host knows what they may use
    return sum(_share_out(context, known[name]) for name in waiting if name in known)


def _share_out(context: Context, table: AccountTable) -> int:
    with context.store.write() as connection:
        now = context.store.now(connection)
        accounts.hold(connection, table.name, now)
        return share(connection, table, now)


def share(connection: Connection, table: AccountTable, now: datetime) -> int:
    """The same for one account, which is held."""
    return _serve(connection, usage(connection, table, now), now, asked=True)


def _serve(connection: Connection, found: Usage, now: datetime, *, asked: bool) -> int:
    """Give shares of an account, which is held, of what is left by `found`; returns how many.

    The others wait: those that had asked before go on waiting as they do, unless `asked`.
    """
    paid, unpaid = list[Waiting](), list[Waiting]()
    for item in accounts.unpaid(connection, found.table.name):
        period = found.period_of(item.due_at, now)
        (paid if found.left(period) > 0 else unpaid).append(item)
        found.reserved[period] += found.left(period) > 0
    accounts.pay(connection, paid, now)
    holds.hold(connection, [_held(item, found, now) for item in unpaid if asked or not item.asked], now)
    return len(paid)


def _held(item: Waiting, found: Usage, now: datetime) -> Held:
    """Asked again in an hour, with the next period, and in time to expire."""
    period = found.period_of(item.due_at, now)
    soon = min(
        moment for moment in (following(period, found.table.period), max(item.due_at, now) + ASK_AGAIN) if moment
    )
    until = soon if item.expires_at is None else min(soon, item.expires_at)
    words = f"nothing left of {found.most:,} {named(found.table)} of account {found.table.name}"
    return Held(item.message_id, until, Why.ALLOWANCE, words + _in(found.table, period))


# -- what an operator asks and does -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AccountState:
    """One account as of now. `reserved` and `left` are of this period; `later` is reserved in those after it."""

    name: str
    table: AccountTable | None  # None: not in this host's configuration
    most: int
    begins: datetime
    ends: datetime | None
    consumed: int
    reserved: int
    later: int
    waiting: int
    left: int


def read(context: Context) -> list[AccountState]:
    """Every account that is configured here, or was ever used."""
    with context.store.read() as connection:
        now = context.store.now(connection)
        known: Mapping[str, AccountTable] = context.settings.accounts
        names = sorted({*known, *accounts.names(connection)})
        return [_state(connection, name, known.get(name), now) for name in names]


def _state(connection: Connection, name: str, table: AccountTable | None, now: datetime) -> AccountState:
    found = usage(connection, table or AccountTable(name), now)
    reserved = found.reserved[found.begins]
    return AccountState(
        name, table, found.most, found.begins, following(found.begins, found.table.period), found.consumed, reserved,
        found.reserved.total() - reserved, accounts.totals(connection, name).waiting, found.left(found.begins),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class GrantReport:
    """What a grant changed: credits left before and after, and how many messages got their share by it."""

    account: str
    amount: int
    before: int
    left: int
    shared: int

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.DONE


def grant(context: Context, name: str, amount: int, reason: str) -> GrantReport:
    """Add credits, or take some back that are left (below 0), and write down who did it and why.

    Raises UsageError for an account that has none, AllowanceExceeded for more than are left.
    """
    table = _credits(context, name, reason)
    with context.store.write() as connection:
        now = context.store.now(connection)
        accounts.hold(connection, name, now)
        before = usage(connection, table, now).left(EVER)
        if amount < 0 and before + amount < 0:
            raise AllowanceExceeded(
                f"account {name} has {max(before, 0):,} credits left: {-amount:,} cannot be taken back",
                hint="what is reserved comes back when its campaign is cancelled.",
            )
        login = who(context.environ)
        accounts.grant(
            connection, name, amount, login=login, hostname=context.hostname, reason=reason, now=now
        )  # fmt: skip
        shared = share(connection, table, now)
        left = before + amount - shared
        audit.write(
            connection, login=login, hostname=context.hostname, action="grant", campaign_id=None, reason=reason,
            now=now, detail={"account": name, "amount": amount, "left": left, "shared": shared},
        )  # fmt: skip
    return GrantReport(name, amount, before, left, shared)


def _credits(context: Context, name: str, reason: str) -> AccountTable:
    table = context.settings.accounts.get(name)
    if table is None:
        raise UsageError(f"there is no account {name}", hint=f"write a section [accounts.{name}] in sendctl.toml.")
    if table.allowance is not None:
        raise UsageError(
            f"account {name} has an allowance of {table.allowance:,} {named(table)}: it takes no credits",
            hint="change the allowance in sendctl.toml.",
        )
    if not reason.strip():
        raise UsageError("a grant needs a --reason", hint="it is written into the audit.")
    return table
