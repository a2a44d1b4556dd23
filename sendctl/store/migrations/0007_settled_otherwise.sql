-- What was settled otherwise than by its reply, few of all: under which id the service has it need not be known, so that
-- what is found there by its contents may be it.
CREATE INDEX attempts_settled_otherwise ON attempts (started_at)
    WHERE outcome IN ('accepted', 'abandoned') AND evidence <> 'reply';
