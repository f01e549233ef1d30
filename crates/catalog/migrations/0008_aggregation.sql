-- Summing up the data events of trails (docs/decisions/0010).

-- How far the journal has been counted, and what was counted in windows that are not closed yet:
-- one row, written together with the events that closed windows came to.
CREATE TABLE aggregation (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    position INTEGER NOT NULL, -- the first entry that is not counted
    windows  TEXT NOT NULL     -- JSON of server's OpenWindows
) STRICT;

-- Events of closed windows that are in no log file yet. Numbers are never used twice: they are the
-- sequence numbers of the streams of CloudTrail-Aggregated, and name their files.
CREATE TABLE aggregated_events (
    number    INTEGER PRIMARY KEY AUTOINCREMENT,
    trail_arn TEXT NOT NULL,
    account   TEXT NOT NULL,
    region    TEXT NOT NULL,
    bucket    TEXT NOT NULL,
    prefix    TEXT,            -- S3KeyPrefix
    made_ms   INTEGER NOT NULL,
    event_ms  INTEGER NOT NULL,
    record    TEXT NOT NULL
) STRICT;
