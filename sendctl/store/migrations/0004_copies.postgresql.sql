-- Messages get `copy`, which an operator's resend counts.

ALTER TABLE messages ADD COLUMN copy INTEGER NOT NULL DEFAULT 0 CHECK (copy >= 0);
ALTER TABLE messages DROP CONSTRAINT messages_enrollment_id_step_index_occurrence_channel_key;
ALTER TABLE messages ADD UNIQUE (enrollment_id, step_index, occurrence, channel, copy);
CREATE INDEX messages_resent ON messages (campaign_id) WHERE copy > 0;
CREATE INDEX messages_to_retry ON messages (campaign_id) WHERE status = 'queued' AND attempts > 0;
