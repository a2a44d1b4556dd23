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
    again_for     TIMESTAMPTZ,                -- ... of an attempt that began then: once that is known, it is read again
    not_before    TIMESTAMPTZ,                -- the service asked to be left alone until then
    turn          BIGINT NOT NULL CHECK (turn >= 0),  -- of two that read the same page, one moves on
    updated_at    TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (provider, feed, lag_s),
    CHECK (page IS NULL OR window_until IS NOT NULL),
    CHECK ((again_from IS NULL) = (again_for IS NULL))
);
