-- Dashboards that accounts have made (the managed ones are in the program), and the newest refresh of
-- each, managed ones included. What a refresh came to is in its queries.
--
-- Times are milliseconds since 1970.

CREATE TABLE dashboards (
    arn             TEXT PRIMARY KEY,
    account         TEXT NOT NULL,
    region          TEXT NOT NULL,
    name            TEXT NOT NULL,
    created_ms      INTEGER NOT NULL,
    updated_ms      INTEGER NOT NULL,
    next_refresh_ms INTEGER,               -- NULL: not by schedule
    state           TEXT NOT NULL,         -- JSON of DashboardState
    UNIQUE (account, region, name)
) STRICT;
CREATE INDEX dashboards_due ON dashboards (next_refresh_ms) WHERE next_refresh_ms IS NOT NULL;

CREATE TABLE dashboard_refreshes (
    arn        TEXT PRIMARY KEY,           -- of the dashboard
    account    TEXT NOT NULL,
    region     TEXT NOT NULL,
    id         TEXT NOT NULL,              -- the API's RefreshId
    started_ms INTEGER NOT NULL,
    failure    TEXT                        -- why some of its queries, or all, could not be queued
) STRICT;

ALTER TABLE queries ADD COLUMN refresh TEXT; -- the RefreshId, if a dashboard asked
CREATE INDEX queries_by_refresh ON queries (account, region, refresh) WHERE refresh IS NOT NULL;
