-- Accounts with what is granted to them, and what is held back in the queue.
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
-- What waits in the queue for another reason than its time (and what ended so): `status` counts it by this index, and a
-- pass finds what has no share of its account yet ('allowance').
CREATE INDEX messages_held ON messages (campaign_id, error_class)
    WHERE error_class IN ('frequency_cap', 'distance', 'quiet_hours', 'allowance');
