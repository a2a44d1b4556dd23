-- What is in doubt is handed over again under its key, hours later: that counts for distances, and for what is looked for.
ALTER TABLE attempts ADD COLUMN again_at TIMESTAMPTZ;
DROP VIEW timeline;
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
