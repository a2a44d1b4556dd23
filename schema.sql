-- sendctl: the ledger of planned messages, for SQLite (>= 3.35) and PostgreSQL (>= 12), loaded unchanged by both.
--
-- How to read it. A campaign has steps. A contact enters a campaign once per subject (an enrollment). An
-- enrollment and a step make a message: one row per person and planned send, in exactly one state. Handing a
-- message to a provider is an attempt, written BEFORE any byte leaves. A run (one execution of a command) takes
-- messages from `queued` to `sending` under a random claim id, sends, and records what came of each; whoever
-- writes an outcome must still hold the claim.
--
--   queued -> sending -> sent -> bounced        accepted by the provider; delivery is an event
--             sending -> queued                 definitely not accepted: later, or through another provider
--             sending -> failed                 permanent, or attempts exhausted (failed -> queued: retry)
--             sending -> in_doubt               the provider may or may not have accepted it: nobody may assume
--                        in_doubt -> sent | queued | failed      by evidence, policy or an operator
--   queued -> suppressed | cancelled | expired
--   queued -> failed                            it had failed, and a later step was due before it was tried again
--
-- Where a journal proves what the store does not know (it was rewound, or someone had gone on without proof), it wins:
--   queued | failed | suppressed | cancelled | expired -> sent | in_doubt
--
-- After a crash: rows left `sending` are judged from the run's outcome journal; nothing in `in_doubt` is ever sent
-- again without proof or a named decision. The query for a night like that is the view `recoverable` at the end.
--
-- Conventions. Times are UTC; SQLite keeps them as text "YYYY-MM-DD HH:MM:SS.ffffff", which sorts and compares
-- with CURRENT_TIMESTAMP. Durations end in _s (seconds). JSON is TEXT. Flags are 0 or 1. Counters of messages do
-- not exist: counts are always derived.

-- One row: what this store is, and where it may be used.
CREATE TABLE store (
    id               INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    store_id         TEXT NOT NULL,           -- random; journals name the store they belong to
    secret           TEXT NOT NULL,           -- hex; keys the HMACs of provider keys and link tokens
    schema_version   INTEGER NOT NULL,        -- the newest migration applied
    bound_to         TEXT,                    -- SQLite: machine and path; a copy elsewhere does not send
    database_id      TEXT,                    -- PostgreSQL: system/timeline/database/table; a change means failover or restore
    epoch            TEXT NOT NULL,           -- changes when a rewind is found; every host must replay before sending
    epoch_reason     TEXT,                    -- why the epoch changed last, in words
    passes           BIGINT NOT NULL CHECK (passes >= 0),  -- so far; a host that has seen a higher number met a rewind
    last_pass_at     TIMESTAMPTZ,             -- the last send-due that started, also one with nothing due
    last_pass_host   TEXT,
    created_at       TIMESTAMPTZ NOT NULL
);

-- The next free id of each kind; blocks are taken in short transactions of their own.
CREATE TABLE id_blocks (
    kind     TEXT NOT NULL PRIMARY KEY,
    next_id  BIGINT NOT NULL CHECK (next_id >= 1)
);

-- Machines that ran passes here. One whose epoch differs from the store's has journals that are not replayed yet.
CREATE TABLE hosts (
    host_id      TEXT NOT NULL PRIMARY KEY,   -- random, kept in the journal folder
    hostname     TEXT NOT NULL,
    epoch        TEXT NOT NULL,
    last_run_at  TIMESTAMPTZ NOT NULL,
    server_start TIMESTAMPTZ                  -- PostgreSQL: the start of the server since which it has looked for a rewind
);

-- A campaign: its life and its live controls. What it says stands in its revisions.
CREATE TABLE campaigns (
    id          BIGINT NOT NULL PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    status      TEXT NOT NULL CHECK (status IN ('running', 'paused', 'completed', 'cancelled', 'archived')),
    revision    INTEGER NOT NULL CHECK (revision >= 1),  -- the current one; a message keeps that of its first claim
    controls    TEXT NOT NULL,                -- JSON: batch_size, rate, cooldown_s, max_attempts, retry_base_s
    created_at  TIMESTAMPTZ NOT NULL,
    updated_at  TIMESTAMPTZ NOT NULL
);

-- Each version of a campaign file that was enqueued, without its steps and templates.
CREATE TABLE revisions (
    campaign_id  BIGINT NOT NULL REFERENCES campaigns (id),
    revision     INTEGER NOT NULL CHECK (revision >= 1),
    definition   TEXT NOT NULL,               -- JSON of the campaign file
    created_at   TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (campaign_id, revision)
);

-- Template contents by hash: a campaign runs on any host without its files.
CREATE TABLE templates (
    sha256   TEXT NOT NULL PRIMARY KEY,
    content  TEXT NOT NULL
);

-- The planned sends of a revision, in order of position. A step keeps its number (step_index) by its name, whatever
-- later revisions put before it; the number of one that was removed is never given to another.
CREATE TABLE steps (
    campaign_id     BIGINT NOT NULL,
    revision        INTEGER NOT NULL,
    step_index      INTEGER NOT NULL CHECK (step_index >= 0),
    position        INTEGER NOT NULL CHECK (position >= 0),
    name            TEXT NOT NULL,
    kind            TEXT NOT NULL CHECK (kind IN ('initial', 'drip', 'reminder')),
    after_s         BIGINT NOT NULL CHECK (after_s >= 0),        -- after the previous step was sent
    repeat_count    INTEGER NOT NULL CHECK (repeat_count >= 1),  -- occurrences
    subject_sha256  TEXT NOT NULL REFERENCES templates (sha256),
    text_sha256     TEXT NOT NULL REFERENCES templates (sha256),
    html_sha256     TEXT NOT NULL REFERENCES templates (sha256),
    sms_sha256      TEXT NOT NULL REFERENCES templates (sha256),
    PRIMARY KEY (campaign_id, revision, step_index),
    FOREIGN KEY (campaign_id, revision) REFERENCES revisions (campaign_id, revision)
);

-- People. One row per address; attributes are the latest known (an enrollment keeps its own copy).
CREATE TABLE contacts (
    id           BIGINT NOT NULL PRIMARY KEY,
    address_key  TEXT NOT NULL UNIQUE,        -- lower-case e-mail, else E.164 phone: who this is
    email        TEXT,                        -- as delivered: domain in ASCII
    phone        TEXT,                        -- E.164
    external_id  TEXT,
    timezone     TEXT,                        -- IANA name
    attributes   TEXT NOT NULL,               -- JSON object
    created_at   TIMESTAMPTZ NOT NULL,
    updated_at   TIMESTAMPTZ NOT NULL,
    CHECK (email IS NOT NULL OR phone IS NOT NULL)
);

-- Who has a number: events and opt-outs may name somebody by it who is known by an e-mail address.
CREATE INDEX contacts_by_phone ON contacts (phone) WHERE phone IS NOT NULL;

-- A contact's place in a campaign; written before anything is sent, moved with each outcome.
CREATE TABLE enrollments (
    id                  BIGINT NOT NULL PRIMARY KEY,
    campaign_id         BIGINT NOT NULL REFERENCES campaigns (id),
    contact_id          BIGINT NOT NULL REFERENCES contacts (id),
    subject_key         TEXT NOT NULL,        -- what it is about, e.g. order/item; '' for a broadcast
    status              TEXT NOT NULL CHECK (status IN ('active', 'completed', 'failed', 'stopped', 'cancelled')),
    current_step_index  INTEGER NOT NULL CHECK (current_step_index >= 0),  -- the step whose message is planned, or
                                              -- was the last one
    current_occurrence  INTEGER NOT NULL CHECK (current_occurrence >= 0),  -- of that step: reminders repeat
    advanced_at         TIMESTAMPTZ,          -- when the message before it was over: its delay counts from then
    next_scheduled_at   TIMESTAMPTZ,          -- when it is due; NULL when nothing is planned
    ended_for           TEXT,                 -- why it was stopped: the type of an event, or 'suppressed'
    token               TEXT NOT NULL UNIQUE, -- unguessable, in links
    timezone            TEXT,                 -- frozen from the contact
    snapshot            TEXT NOT NULL,        -- JSON: the attributes as of enrolling, for rendering
    created_at          TIMESTAMPTZ NOT NULL,
    updated_at          TIMESTAMPTZ NOT NULL,
    UNIQUE (campaign_id, contact_id, subject_key)
);

-- One enrollment for each order or item, whatever address its events give: a replayed order cannot make a second one.
CREATE UNIQUE INDEX enrollments_one_subject ON enrollments (campaign_id, subject_key) WHERE subject_key <> '';

-- The ledger: one row per enrollment, step, occurrence and channel. The UNIQUE below is what makes a second
-- message for the same slot impossible, whoever asks for it. Only an operator's `resend` makes another copy of one,
-- which has its own number, key and fate, and moves no enrollment.
CREATE TABLE messages (
    id                BIGINT NOT NULL PRIMARY KEY,
    campaign_id       BIGINT NOT NULL REFERENCES campaigns (id),
    enrollment_id     BIGINT NOT NULL REFERENCES enrollments (id),
    step_index        INTEGER NOT NULL CHECK (step_index >= 0),
    occurrence        INTEGER NOT NULL CHECK (occurrence >= 0),
    channel           TEXT NOT NULL CHECK (channel IN ('email', 'sms')),
    recipient         TEXT NOT NULL,          -- address as delivered
    recipient_key     TEXT NOT NULL,          -- address as compared with suppressions
    provider_key      TEXT NOT NULL UNIQUE,   -- HMAC; idempotency key and left part of Message-ID; never changes
    status            TEXT NOT NULL CHECK (status IN ('queued', 'sending', 'in_doubt', 'sent', 'bounced', 'failed',
                                                      'suppressed', 'cancelled', 'expired')),
    due_at            TIMESTAMPTZ NOT NULL,   -- as planned
    next_attempt_at   TIMESTAMPTZ NOT NULL,   -- not before this: due_at, or later after a deferral
    expires_at        TIMESTAMPTZ,            -- never sent after this
    attempts          INTEGER NOT NULL,       -- attempts made so far: the number of rows in `attempts`
    charged_attempts  INTEGER NOT NULL CHECK (charged_attempts >= 0),  -- those that count against max_attempts
    revision          INTEGER,                -- frozen at the first claim, with composed_at: a replay is byte-identical
    composed_at       TIMESTAMPTZ,            -- the Date header
    next_provider     TEXT,                   -- set on failover: who is asked next
    claim_id          TEXT,                   -- random; whoever writes an outcome must still hold it
    claim_expires_at  TIMESTAMPTZ,
    run_id            TEXT,                   -- the run that holds the claim
    sent_at           TIMESTAMPTZ,
    failed_at         TIMESTAMPTZ,
    in_doubt_at       TIMESTAMPTZ,
    transient         INTEGER NOT NULL CHECK (transient IN (0, 1)),  -- failed for a passing cause: retried later;
                                              -- in the queue: retried by itself, and so not after a later step
    error_class       TEXT,
    last_error        TEXT,                   -- in the queue: of the last attempt, or why it is held back (error_class)
    created_at        TIMESTAMPTZ NOT NULL,
    updated_at        TIMESTAMPTZ NOT NULL,
    copy              INTEGER NOT NULL DEFAULT 0 CHECK (copy >= 0),  -- 0: as the campaign planned it; else of a resend
    UNIQUE (enrollment_id, step_index, occurrence, channel, copy),
    CHECK ((status = 'sending') = (claim_id IS NOT NULL)),
    CHECK ((claim_id IS NULL) = (run_id IS NULL) AND (claim_id IS NULL) = (claim_expires_at IS NULL)),
    CHECK (charged_attempts <= attempts),
    CHECK ((revision IS NULL) = (composed_at IS NULL)),
    CHECK (status NOT IN ('sent', 'bounced') OR sent_at IS NOT NULL),
    CHECK (status <> 'in_doubt' OR in_doubt_at IS NOT NULL),
    CHECK (status <> 'failed' OR failed_at IS NOT NULL)
);

-- What is due, what is in each state, and the counts: one index serves all three at any size.
CREATE INDEX messages_by_state ON messages (campaign_id, status, next_attempt_at);

-- What waits in the queue for another reason than its time (and what ended so): `status` counts it by this index, and a
-- pass finds what has no share of its account yet ('allowance').
CREATE INDEX messages_held ON messages (campaign_id, error_class)
    WHERE error_class IN ('frequency_cap', 'distance', 'quiet_hours', 'allowance');

-- What was tried and waits to be tried again: few, and the only ones that a stop may have missed.
CREATE INDEX messages_to_retry ON messages (campaign_id) WHERE status = 'queued' AND attempts > 0;

-- What operators had sent once more: few, and counted without reading the others.
CREATE INDEX messages_resent ON messages (campaign_id) WHERE copy > 0;

-- Each try to hand a message to a provider, and how it is known what came of it.
CREATE TABLE attempts (
    message_id           BIGINT NOT NULL REFERENCES messages (id),
    number               INTEGER NOT NULL CHECK (number >= 1),
    run_id               TEXT NOT NULL,
    worker               INTEGER NOT NULL CHECK (worker >= 0),
    claim_id             TEXT NOT NULL,
    provider             TEXT NOT NULL,
    outcome              TEXT NOT NULL CHECK (outcome IN ('open', 'accepted', 'refused', 'deferred', 'halted',
                                                          'untouched', 'unknown', 'abandoned')),
    phase                TEXT CHECK (phase IN ('untouched', 'begun', 'dotted', 'replied')),
    evidence             TEXT CHECK (evidence IN ('reply', 'journal', 'dead_run', 'claim_expired', 'mta_log',
                                                  'lookup', 'event', 'policy', 'operator')),
    code                 INTEGER,             -- SMTP or HTTP status
    enhanced             TEXT,                -- RFC 3463, e.g. 5.1.1
    error_class          TEXT,
    reply                TEXT,                -- one printable line
    provider_message_id  TEXT,
    started_at           TIMESTAMPTZ NOT NULL,
    finished_at          TIMESTAMPTZ,
    again_at             TIMESTAMPTZ,         -- in doubt: when the same was last handed over again under its key
    PRIMARY KEY (message_id, number),
    CHECK ((outcome = 'open') = (finished_at IS NULL))
);

-- At most one attempt per message may be open, accepted, or of unknown outcome: the second send cannot be recorded,
-- and what cannot be recorded is not sent.
CREATE UNIQUE INDEX attempts_one_live ON attempts (message_id) WHERE outcome IN ('open', 'accepted', 'unknown');

-- A provider's events name its own id of a message.
CREATE INDEX attempts_by_provider_id ON attempts (provider_message_id) WHERE provider_message_id IS NOT NULL;

-- What was settled otherwise than by its reply, few of all: under which id the service has it need not be known, so that
-- what is found there by its contents may be it.
CREATE INDEX attempts_settled_otherwise ON attempts (started_at)
    WHERE outcome IN ('accepted', 'abandoned') AND evidence <> 'reply';

-- Facts learned after the submission, from webhooks, logs or operators; written once each, whatever their order.
CREATE TABLE events (
    id             BIGINT NOT NULL PRIMARY KEY,
    dedup_key      TEXT NOT NULL UNIQUE,      -- the same event, however often and from wherever it comes
    campaign_id    BIGINT NOT NULL REFERENCES campaigns (id),
    enrollment_id  BIGINT NOT NULL REFERENCES enrollments (id),
    message_id     BIGINT REFERENCES messages (id),  -- NULL: of the enrollment, and nothing of it had been tried
    type           TEXT NOT NULL CHECK (type IN ('accepted', 'delivered', 'bounced', 'deferred', 'rejected', 'failed',
                                                 'complained', 'unsubscribed', 'opened', 'clicked', 'submitted')),
    proves_sent    INTEGER NOT NULL CHECK (proves_sent IN (0, 1)),  -- a provider must have accepted this very message
    occurred_at    TIMESTAMPTZ NOT NULL,
    received_at    TIMESTAMPTZ NOT NULL,
    detail         TEXT NOT NULL,             -- JSON object
    CHECK (message_id IS NOT NULL OR proves_sent = 0)
);
CREATE INDEX events_of_enrollment ON events (enrollment_id, message_id);
CREATE INDEX events_by_type ON events (campaign_id, type);

-- How far the events of a service have been read from it. Each moment is read more than once: soon, and again when it is
-- `lag_s` old, for what the service knew late. A page's events and the place behind it are committed together.
CREATE TABLE event_cursors (
    provider      TEXT NOT NULL,
    feed          TEXT NOT NULL,              -- which of the service's lists
    lag_s         INTEGER NOT NULL CHECK (lag_s >= 0),
    read_until    TIMESTAMPTZ NOT NULL,       -- all before this has been read
    window_until  TIMESTAMPTZ,                -- the end of the window that is being read from read_until on
    page          TEXT,                       -- where in the window its next page begins, in the service's own form
    again_from    TIMESTAMPTZ,                -- from here on something matched nothing while an outcome was not known
    again_for     TIMESTAMPTZ,                -- ... of an attempt that had begun by then
    not_before    TIMESTAMPTZ,                -- the service asked to be left alone until then
    turn          BIGINT NOT NULL CHECK (turn >= 0),  -- of two that read the same page, one moves on
    updated_at    TIMESTAMPTZ NOT NULL,
    again_left    BIGINT,                     -- how many of those had no outcome: with each that has, it is read again
    PRIMARY KEY (provider, feed, lag_s),
    CHECK (page IS NULL OR window_until IS NOT NULL),
    CHECK ((again_from IS NULL) = (again_for IS NULL))
);

-- What order events have said of a subject, by their own times: it is stopped when the latest event that ends it is not
-- before the earliest that makes it eligible, whichever came in first. A key that is here may have no enrollment;
-- one that begins with the character 31 is that of a whole order, by its id.
CREATE TABLE subjects (
    campaign_id  BIGINT NOT NULL REFERENCES campaigns (id),
    subject_key  TEXT NOT NULL,
    eligible_at  TIMESTAMPTZ,                 -- of the earliest event that makes it eligible
    stopped_at   TIMESTAMPTZ,                 -- of the latest event that ends it (refunded, cancelled, not eligible now)
    stop_type    TEXT,                        -- the type of that event
    PRIMARY KEY (campaign_id, subject_key),
    CHECK (eligible_at IS NOT NULL OR stopped_at IS NOT NULL),
    CHECK ((stopped_at IS NULL) = (stop_type IS NULL))
);

-- Addresses never to be contacted; checked at every claim.
CREATE TABLE suppressions (
    address_key  TEXT NOT NULL PRIMARY KEY,
    reason       TEXT NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL
);

-- Executions of commands. A run without finished_at is alive only while its journal's lock is held.
CREATE TABLE runs (
    id            TEXT NOT NULL PRIMARY KEY,  -- random
    command       TEXT NOT NULL,
    host_id       TEXT NOT NULL,
    hostname      TEXT NOT NULL,
    pid           INTEGER NOT NULL,
    boot_id       TEXT NOT NULL,              -- a reboot since then means the journal's tail may be lost
    started_by    TEXT NOT NULL,              -- who and how: login, sudo user, terminal, cron or systemd
    started_at    TIMESTAMPTZ NOT NULL,
    heartbeat_at  TIMESTAMPTZ NOT NULL,
    finished_at   TIMESTAMPTZ,
    result        TEXT CHECK (result IN ('done', 'stopped', 'failed', 'died', 'replayed')),
    detail        TEXT NOT NULL               -- JSON: counts of what it did
);
CREATE INDEX runs_by_start ON runs (started_at);

-- What operators did, and why.
CREATE TABLE audit (
    id           BIGINT NOT NULL PRIMARY KEY,
    at           TIMESTAMPTZ NOT NULL,
    login        TEXT NOT NULL,               -- login name, and the sudo user where there is one
    hostname     TEXT NOT NULL,
    action       TEXT NOT NULL,
    campaign_id  BIGINT REFERENCES campaigns (id),
    reason       TEXT NOT NULL,
    detail       TEXT NOT NULL                -- JSON: what exactly, and how many
);

-- Circuit breakers and stops, kept across passes and hosts.
CREATE TABLE provider_state (
    provider               TEXT NOT NULL PRIMARY KEY,
    breaker                TEXT NOT NULL CHECK (breaker IN ('closed', 'open', 'half_open')),
    consecutive_failures   INTEGER NOT NULL CHECK (consecutive_failures >= 0),
    times_opened           INTEGER NOT NULL CHECK (times_opened >= 0),  -- since it last closed: doubles the wait
    retry_at               TIMESTAMPTZ,       -- an open breaker lets one window through after this
    reason                 TEXT,
    updated_at             TIMESTAMPTZ NOT NULL
);

-- Token buckets and cooldowns, kept across passes and hosts. scope is 'campaign:NAME' or 'provider:NAME'.
CREATE TABLE limits (
    scope           TEXT NOT NULL PRIMARY KEY,
    tokens          DOUBLE PRECISION NOT NULL,
    refilled_at     TIMESTAMPTZ NOT NULL,
    cooldown_until  TIMESTAMPTZ
);

-- Whose allowance or credits campaigns use up. What an account has used is always counted from its messages; the row is
-- what two that count at the same moment wait for each other at.
CREATE TABLE accounts (
    name        TEXT NOT NULL PRIMARY KEY,
    created_at  TIMESTAMPTZ NOT NULL
);

-- Which account a campaign uses: fixed with its first revision.
CREATE TABLE account_campaigns (
    campaign_id  BIGINT NOT NULL PRIMARY KEY REFERENCES campaigns (id),
    account      TEXT NOT NULL REFERENCES accounts (name)
);
CREATE INDEX campaigns_of_account ON account_campaigns (account);

-- Credits given to accounts without an allowance, and taken back (below 0); never changed.
CREATE TABLE grants (
    id        TEXT NOT NULL PRIMARY KEY,      -- random
    account   TEXT NOT NULL REFERENCES accounts (name),
    amount    BIGINT NOT NULL CHECK (amount <> 0),
    login     TEXT NOT NULL,
    hostname  TEXT NOT NULL,
    reason    TEXT NOT NULL,
    at        TIMESTAMPTZ NOT NULL
);
CREATE INDEX grants_of_account ON grants (account);

-- After a rewind: what journals prove about messages that this store does not know (yet). Checked at every claim.
CREATE TABLE replayed_keys (
    provider_key         TEXT NOT NULL PRIMARY KEY,
    outcome              TEXT NOT NULL CHECK (outcome IN ('accepted', 'unknown')),
    provider             TEXT NOT NULL,
    provider_message_id  TEXT,
    run_id               TEXT NOT NULL,
    claim_id             TEXT NOT NULL,
    contents             TEXT NOT NULL,         -- fingerprint of the definition that the message was made of
    composed_at          TIMESTAMPTZ,           -- its frozen Date
    at                   TIMESTAMPTZ NOT NULL
);

-- The contents of encrypted letters: subject, texts and the contact's data, under AES-256-GCM with the message's id as
-- associated data. The key is kept elsewhere; its id says which one.
CREATE TABLE sealed (
    message_id  BIGINT NOT NULL PRIMARY KEY REFERENCES messages (id),
    key_id      TEXT NOT NULL,
    nonce       TEXT NOT NULL,                -- base64
    ciphertext  TEXT NOT NULL,                -- base64, with its tag
    sealed_at   TIMESTAMPTZ NOT NULL
);
CREATE INDEX sealed_by_key ON sealed (key_id, message_id);

-- Who is told what became of a letter, by messages of a campaign of its own. Their ids are kept free, so that one is
-- planned in the transaction of the outcome without waiting for anybody.
CREATE TABLE notices (
    message_id           BIGINT NOT NULL PRIMARY KEY REFERENCES messages (id),
    campaign_id          BIGINT NOT NULL REFERENCES campaigns (id),
    contact_id           BIGINT NOT NULL REFERENCES contacts (id),
    first_enrollment_id  BIGINT NOT NULL,
    first_message_id     BIGINT NOT NULL
);

-- The recovery query: every message that is not where it should be, why, and what can be done about it.
CREATE VIEW recoverable AS
SELECT c.name AS campaign, m.id AS message_id, m.recipient, m.step_index, m.status,
       CASE
           WHEN m.status = 'in_doubt' THEN 'the provider may or may not have accepted it'
           WHEN m.status = 'sending' AND r.finished_at IS NOT NULL THEN 'its run has ended without an outcome'
           WHEN m.status = 'sending' THEN 'its claim has expired'
           WHEN m.status = 'failed' AND g.message_id IS NOT NULL THEN 'given up in doubt: perhaps accepted'
           WHEN m.status = 'failed' AND m.transient = 1 THEN 'failed for a passing cause'
           WHEN m.status = 'failed' THEN 'failed for good'
           ELSE 'due and not sent'
       END AS reason,
       CASE
           WHEN m.status = 'in_doubt' THEN 'sendctl reconcile looks for proof; else recover --in-doubt'
           WHEN m.status = 'sending' AND r.finished_at IS NOT NULL THEN 'sendctl reconcile'
           WHEN m.status = 'sending' THEN 'sendctl status names its run; when that has ended: sendctl reconcile'
           WHEN m.status = 'failed' AND g.message_id IS NOT NULL THEN 'leave it; else recover --failed --in-doubt resend'
           WHEN m.status = 'failed' AND m.transient = 1
               THEN 'retried by itself in time, while attempts are left; or recover --failed'
           WHEN m.status = 'failed' THEN 'mend the cause, then recover --failed'
           ELSE 'sendctl send-due'
       END AS next_step,
       COALESCE(m.in_doubt_at, m.failed_at, m.claim_expires_at, m.next_attempt_at) AS since,
       m.attempts, m.last_error, m.provider_key, m.run_id, r.hostname AS run_host
FROM messages m
JOIN campaigns c ON c.id = m.campaign_id
LEFT JOIN runs r ON r.id = m.run_id
LEFT JOIN (SELECT DISTINCT message_id FROM attempts WHERE outcome = 'abandoned') g ON g.message_id = m.id
WHERE c.status <> 'archived'
  AND (m.status IN ('in_doubt', 'failed')
       OR (m.status = 'sending' AND (m.claim_expires_at < CURRENT_TIMESTAMP OR r.finished_at IS NOT NULL))
       OR (m.status = 'queued' AND m.next_attempt_at < CURRENT_TIMESTAMP AND c.status = 'running'));

-- Everything known about each message, in order of time: ORDER BY at.
CREATE VIEW timeline AS
SELECT m.id AS message_id, m.created_at AS at, 'planned' AS what, CAST(NULL AS INTEGER) AS attempt,
       CAST(NULL AS TEXT) AS provider, 'due ' || CAST(m.due_at AS TEXT) AS detail
FROM messages m
UNION ALL
SELECT a.message_id, a.started_at, 'attempt begun', a.number, a.provider, 'run ' || a.run_id
FROM attempts a
UNION ALL
SELECT a.message_id, a.again_at, 'attempt handed over again', a.number, a.provider, 'under the same key'
FROM attempts a
WHERE a.again_at IS NOT NULL
UNION ALL
SELECT a.message_id, a.finished_at, 'attempt ' || a.outcome, a.number, a.provider,
       COALESCE(a.reply, '') || COALESCE(' [' || a.evidence || ']', '')
FROM attempts a
WHERE a.finished_at IS NOT NULL
UNION ALL
SELECT e.message_id, e.occurred_at, 'event ' || e.type, CAST(NULL AS INTEGER), CAST(NULL AS TEXT), e.detail
FROM events e
WHERE e.message_id IS NOT NULL
UNION ALL
SELECT m.id, e.occurred_at, 'event ' || e.type, CAST(NULL AS INTEGER), CAST(NULL AS TEXT), e.detail
FROM events e
JOIN messages m ON m.enrollment_id = e.enrollment_id  -- of the enrollment: it belongs to each of its messages
WHERE e.message_id IS NULL;
