"""The tables of schema.sql as SQLAlchemy Core objects, for composing statements. A test holds them equal to it."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.types import TypeEngine


class UtcTime(TypeDecorator[datetime]):
    """An aware UTC datetime: TIMESTAMPTZ on Postgres, "YYYY-MM-DD HH:MM:SS.ffffff" as text on SQLite.

    The text form has a fixed width, so that it sorts and compares with CURRENT_TIMESTAMP.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[object]:
        kind: TypeEngine[Any] = Text() if dialect.name == "sqlite" else DateTime(timezone=True)
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> object:
        if value is None or dialect.name != "sqlite":
            return value
        return text_of(value)

    def process_result_value(self, value: object, dialect: Dialect) -> datetime | None:
        if isinstance(value, str):
            return datetime.fromisoformat(value + "+00:00")
        return value.astimezone(UTC) if isinstance(value, datetime) else None


@lru_cache(maxsize=4096)  # a window's moments go into several statements
def text_of(value: datetime) -> str:
    """The SQLite form of a moment."""
    return value.astimezone(UTC).isoformat(" ", "microseconds")[:26]


metadata = MetaData()


def _text(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, Text, nullable=null)


def _time(name: str, *, null: bool = False) -> Column[datetime]:
    return Column(name, UtcTime, nullable=null)


def _int(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, Integer, nullable=null)


def _id(name: str = "id") -> Column[int]:
    return Column(name, BigInteger, primary_key=True, autoincrement=False)


def _key(name: str) -> Column[str]:
    return Column(name, Text, primary_key=True)


def _ref(name: str, target: str, *, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, ForeignKey(target), nullable=null)


def _id_of(name: str, target: str) -> Column[int]:
    return Column(name, BigInteger, ForeignKey(target), primary_key=True, autoincrement=False)


def _name_of(name: str, target: str) -> Column[str]:
    return Column(name, Text, ForeignKey(target), nullable=False)


store = Table(
    "store", metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    _text("store_id"), _text("secret"), _int("schema_version"), _text("bound_to", null=True),
    _text("database_id", null=True), _text("epoch"), _text("epoch_reason", null=True),
    Column("passes", BigInteger, nullable=False), _time("last_pass_at", null=True),
    _text("last_pass_host", null=True), _time("created_at"),
)  # fmt: skip

id_blocks = Table("id_blocks", metadata, _key("kind"), Column("next_id", BigInteger, nullable=False))

hosts = Table(
    "hosts", metadata,
    _key("host_id"), _text("hostname"), _text("epoch"), _time("last_run_at"), _time("server_start", null=True),
)  # fmt: skip

campaigns = Table(
    "campaigns", metadata,
    _id(), Column("name", Text, nullable=False, unique=True), _text("status"), _int("revision"), _text("controls"),
    _time("created_at"), _time("updated_at"),
)  # fmt: skip

revisions = Table(
    "revisions", metadata,
    Column("campaign_id", BigInteger, ForeignKey("campaigns.id"), primary_key=True, autoincrement=False),
    Column("revision", Integer, primary_key=True, autoincrement=False), _text("definition"), _time("created_at"),
)  # fmt: skip

templates = Table("templates", metadata, _key("sha256"), _text("content"))


def _template(name: str) -> Column[str]:
    return Column(name, Text, ForeignKey("templates.sha256"), nullable=False)


steps = Table(
    "steps", metadata,
    _id("campaign_id"), Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("step_index", Integer, primary_key=True, autoincrement=False), _int("position"),
    _text("name"), _text("kind"), Column("after_s", BigInteger, nullable=False), _int("repeat_count"),
    _template("subject_sha256"), _template("text_sha256"), _template("html_sha256"), _template("sms_sha256"),
    ForeignKeyConstraint(["campaign_id", "revision"], ["revisions.campaign_id", "revisions.revision"]),
)  # fmt: skip

contacts = Table(
    "contacts", metadata,
    _id(), Column("address_key", Text, nullable=False, unique=True), _text("email", null=True),
    _text("phone", null=True), _text("external_id", null=True), _text("timezone", null=True), _text("attributes"),
    _time("created_at"), _time("updated_at"),
)  # fmt: skip

enrollments = Table(
    "enrollments", metadata,
    _id(), _ref("campaign_id", "campaigns.id"), _ref("contact_id", "contacts.id"), _text("subject_key"),
    _text("status"), _int("current_step_index"), _int("current_occurrence"), _time("advanced_at", null=True),
    _time("next_scheduled_at", null=True), _text("ended_for", null=True),
    Column("token", Text, nullable=False, unique=True), _text("timezone", null=True), _text("snapshot"),
    _time("created_at"), _time("updated_at"),
    UniqueConstraint("campaign_id", "contact_id", "subject_key"),
)  # fmt: skip

messages = Table(
    "messages", metadata,
    _id(), _ref("campaign_id", "campaigns.id"), _ref("enrollment_id", "enrollments.id"), _int("step_index"),
    _int("occurrence"), _text("channel"), _text("recipient"), _text("recipient_key"),
    Column("provider_key", Text, nullable=False, unique=True), _text("status"), _time("due_at"),
    _time("next_attempt_at"), _time("expires_at", null=True), _int("attempts"), _int("charged_attempts"),
    _int("revision", null=True), _time("composed_at", null=True), _text("next_provider", null=True),
    _text("claim_id", null=True), _time("claim_expires_at", null=True), _text("run_id", null=True),
    _time("sent_at", null=True), _time("failed_at", null=True), _time("in_doubt_at", null=True), _int("transient"),
    _text("error_class", null=True), _text("last_error", null=True), _time("created_at"), _time("updated_at"),
    _int("copy"),
    UniqueConstraint("enrollment_id", "step_index", "occurrence", "channel", "copy"),
)  # fmt: skip

attempts = Table(
    "attempts", metadata,
    Column("message_id", BigInteger, ForeignKey("messages.id"), primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False), _text("run_id"), _int("worker"),
    _text("claim_id"), _text("provider"), _text("outcome"), _text("phase", null=True), _text("evidence", null=True),
    _int("code", null=True), _text("enhanced", null=True), _text("error_class", null=True), _text("reply", null=True),
    _text("provider_message_id", null=True), _time("started_at"), _time("finished_at", null=True),
    _time("again_at", null=True),
)  # fmt: skip

events = Table(
    "events", metadata,
    _id(), Column("dedup_key", Text, nullable=False, unique=True), _ref("campaign_id", "campaigns.id"),
    _ref("enrollment_id", "enrollments.id"), _ref("message_id", "messages.id", null=True), _text("type"),
    _int("proves_sent"), _time("occurred_at"), _time("received_at"), _text("detail"),
)  # fmt: skip

event_cursors = Table(
    "event_cursors", metadata,
    _key("provider"), _key("feed"), Column("lag_s", Integer, primary_key=True, autoincrement=False),
    _time("read_until"), _time("window_until", null=True), _text("page", null=True), _time("again_from", null=True),
    _time("again_for", null=True), _time("not_before", null=True), Column("turn", BigInteger, nullable=False),
    _time("updated_at"), Column("again_left", BigInteger),
)  # fmt: skip

subjects = Table(
    "subjects", metadata,
    Column("campaign_id", BigInteger, ForeignKey("campaigns.id"), primary_key=True, autoincrement=False),
    _key("subject_key"), _time("eligible_at", null=True), _time("stopped_at", null=True),
    _text("stop_type", null=True),
)  # fmt: skip

suppressions = Table("suppressions", metadata, _key("address_key"), _text("reason"), _time("created_at"))

runs = Table(
    "runs", metadata,
    _key("id"), _text("command"), _text("host_id"), _text("hostname"), _int("pid"), _text("boot_id"),
    _text("started_by"), _time("started_at"), _time("heartbeat_at"), _time("finished_at", null=True),
    _text("result", null=True), _text("detail"),
)  # fmt: skip

audit = Table(
    "audit", metadata,
    _id(), _time("at"), _text("login"), _text("hostname"), _text("action"),
    _ref("campaign_id", "campaigns.id", null=True), _text("reason"), _text("detail"),
)  # fmt: skip

provider_state = Table(
    "provider_state", metadata,
    _key("provider"), _text("breaker"), _int("consecutive_failures"), _int("times_opened"),
    _time("retry_at", null=True), _text("reason", null=True), _time("updated_at"),
)  # fmt: skip

limits = Table(
    "limits", metadata,
    _key("scope"), Column("tokens", Double, nullable=False), _time("refilled_at"), _time("cooldown_until", null=True),
)  # fmt: skip

accounts = Table("accounts", metadata, _key("name"), _time("created_at"))

account_campaigns = Table(
    "account_campaigns", metadata, _id_of("campaign_id", "campaigns.id"), _name_of("account", "accounts.name"),
)  # fmt: skip

grants = Table(
    "grants", metadata,
    _key("id"), _name_of("account", "accounts.name"), Column("amount", BigInteger, nullable=False), _text("login"),
    _text("hostname"), _text("reason"), _time("at"),
)  # fmt: skip

replayed_keys = Table(
    "replayed_keys", metadata,
    _key("provider_key"), _text("outcome"), _text("provider"), _text("provider_message_id", null=True),
    _text("run_id"), _text("claim_id"), _text("contents"), _time("composed_at", null=True), _time("at"),
)  # fmt: skip

sealed = Table(
    "sealed", metadata,
    Column("message_id", BigInteger, ForeignKey("messages.id"), primary_key=True, autoincrement=False),
    _text("key_id"), _text("nonce"), _text("ciphertext"), _time("sealed_at"),
)  # fmt: skip

notices = Table(
    "notices", metadata,
    Column("message_id", BigInteger, ForeignKey("messages.id"), primary_key=True, autoincrement=False),
    _ref("campaign_id", "campaigns.id"), _ref("contact_id", "contacts.id"),
    Column("first_enrollment_id", BigInteger, nullable=False), Column("first_message_id", BigInteger, nullable=False),
)  # fmt: skip
