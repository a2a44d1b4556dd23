-- Messages get `copy`, which an operator's resend counts: SQLite cannot change a UNIQUE, so that the table is made anew.
-- The migration holds foreign keys off meanwhile, and looks at all of them before it commits.

CREATE TABLE kept AS SELECT * FROM messages;
DROP TABLE messages;
CREATE TABLE messages (
    id                BIGINT NOT NULL PRIMARY KEY,
    campaign_id       BIGINT NOT NULL REFERENCES campaigns (id),
    enrollment_id     BIGINT NOT NULL REFERENCES enrollments (id),
    step_index        INTEGER NOT NULL CHECK (step_index >= 0),
    occurrence        INTEGER NOT NULL CHECK (occurrence >= 0),
    channel           TEXT NOT NULL CHECK (channel IN ('email', 'sms')),
    recipient         TEXT NOT NULL,
    recipient_key     TEXT NOT NULL,
    provider_key      TEXT NOT NULL UNIQUE,
    status            TEXT NOT NULL CHECK (status IN ('queued', 'sending', 'in_doubt', 'sent', 'bounced', 'failed',
                                                      'suppressed', 'cancelled', 'expired')),
    due_at            TIMESTAMPTZ NOT NULL,
    next_attempt_at   TIMESTAMPTZ NOT NULL,
    expires_at        TIMESTAMPTZ,
    attempts          INTEGER NOT NULL,
    charged_attempts  INTEGER NOT NULL CHECK (charged_attempts >= 0),
    revision          INTEGER,
    composed_at       TIMESTAMPTZ,
    next_provider     TEXT,
    claim_id          TEXT,
    claim_expires_at  TIMESTAMPTZ,
    run_id            TEXT,
    sent_at           TIMESTAMPTZ,
    failed_at         TIMESTAMPTZ,
    in_doubt_at       TIMESTAMPTZ,
    transient         INTEGER NOT NULL CHECK (transient IN (0, 1)),
    error_class       TEXT,
    last_error        TEXT,
    created_at        TIMESTAMPTZ NOT NULL,
    updated_at        TIMESTAMPTZ NOT NULL,
    copy              INTEGER NOT NULL DEFAULT 0 CHECK (copy >= 0),
    UNIQUE (enrollment_id, step_index, occurrence, channel, copy),
    CHECK ((status = 'sending') = (claim_id IS NOT NULL)),
    CHECK ((claim_id IS NULL) = (run_id IS NULL) AND (claim_id IS NULL) = (claim_expires_at IS NULL)),
    CHECK (charged_attempts <= attempts),
    CHECK ((revision IS NULL) = (composed_at IS NULL)),
    CHECK (status NOT IN ('sent', 'bounced') OR sent_at IS NOT NULL),
    CHECK (status <> 'in_doubt' OR in_doubt_at IS NOT NULL),
    CHECK (status <> 'failed' OR failed_at IS NOT NULL)
);
INSERT INTO messages (
    id, campaign_id, enrollment_id, step_index, occurrence, channel, recipient, recipient_key,
    provider_key, status, due_at, next_attempt_at, expires_at, attempts, charged_attempts, revision,
    composed_at, next_provider, claim_id, claim_expires_at, run_id, sent_at, failed_at, in_doubt_at,
    transient, error_class, last_error, created_at, updated_at
)
SELECT
    id, campaign_id, enrollment_id, step_index, occurrence, channel, recipient, recipient_key,
    provider_key, status, due_at, next_attempt_at, expires_at, attempts, charged_attempts, revision,
    composed_at, next_provider, claim_id, claim_expires_at, run_id, sent_at, failed_at, in_doubt_at,
    transient, error_class, last_error, created_at, updated_at
FROM kept;
DROP TABLE kept;
CREATE INDEX messages_by_state ON messages (campaign_id, status, next_attempt_at);
CREATE INDEX messages_resent ON messages (campaign_id) WHERE copy > 0;
CREATE INDEX messages_held ON messages (campaign_id, error_class)
    WHERE error_class IN ('frequency_cap', 'distance', 'quiet_hours', 'allowance');
CREATE INDEX messages_to_retry ON messages (campaign_id) WHERE status = 'queued' AND attempts > 0;
