-- An event that matched nothing may be about any attempt that had begun by again_for, not about the oldest alone.
-- How many of those had no outcome: with each that has, it is read again.
ALTER TABLE event_cursors ADD COLUMN again_left BIGINT;
