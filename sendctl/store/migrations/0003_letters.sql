-- Letters: contents that stand encrypted, and who is told what became of one.
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
