-- Queries and what they came to, statements that were generated, imports and their files.
--
--   queries ──< query_stores          a query names one event data store or several
--   query_aliases                     statements that GenerateQuery made, by their alias
--   imports ──< import_files          what lies under the source, and what became of it
--   imported_files                    which contents are in a table already, by their hash
--
-- Times are milliseconds since 1970.

CREATE TABLE queries (
    number         INTEGER PRIMARY KEY AUTOINCREMENT,
    id             TEXT NOT NULL UNIQUE,
    account        TEXT NOT NULL,
    region         TEXT NOT NULL,
    statement      TEXT NOT NULL,
    parameters     TEXT NOT NULL,                -- JSON: the values for '?', in order
    alias          TEXT,
    prompt         TEXT,                         -- of the generated statement it ran
    status         TEXT NOT NULL CHECK (status IN ('QUEUED', 'RUNNING', 'FINISHED', 'FAILED', 'CANCELLED', 'TIMED_OUT')),
    attempts       INTEGER NOT NULL DEFAULT 0,   -- how often it was begun
    created_ms     INTEGER NOT NULL,
    ended_ms       INTEGER,
    error          TEXT,
    events_matched INTEGER NOT NULL DEFAULT 0,
    events_scanned INTEGER NOT NULL DEFAULT 0,
    bytes_scanned  INTEGER NOT NULL DEFAULT 0,
    execution_ms   INTEGER NOT NULL DEFAULT 0,
    rows           INTEGER NOT NULL DEFAULT 0,
    delivery_uri   TEXT,
    delivery_status TEXT
);
CREATE INDEX queries_by_status ON queries (status, account, number);
CREATE INDEX queries_by_tenant ON queries (account, region, created_ms);
CREATE INDEX queries_by_alias ON queries (account, region, alias) WHERE alias IS NOT NULL;
CREATE INDEX queries_to_deliver ON queries (number) WHERE delivery_status = 'PENDING';

CREATE TABLE query_stores (
    query     INTEGER NOT NULL REFERENCES queries (number) ON DELETE CASCADE,
    store_arn TEXT NOT NULL,
    name      TEXT NOT NULL,                     -- as the statement names it
    PRIMARY KEY (query, name)
);
CREATE INDEX query_stores_by_arn ON query_stores (store_arn, query);

CREATE TABLE query_aliases (
    alias      TEXT PRIMARY KEY,
    account    TEXT NOT NULL,
    region     TEXT NOT NULL,
    store_arn  TEXT NOT NULL,
    prompt     TEXT NOT NULL,
    statement  TEXT NOT NULL,
    created_ms INTEGER NOT NULL
);
CREATE INDEX query_aliases_by_age ON query_aliases (created_ms);

CREATE TABLE imports (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    account     TEXT NOT NULL,
    region      TEXT NOT NULL,
    store_arn   TEXT NOT NULL,
    source      TEXT NOT NULL,                   -- JSON: S3LocationUri, S3BucketRegion, S3BucketAccessRoleArn
    start_ms    INTEGER,
    end_ms      INTEGER,
    status      TEXT NOT NULL CHECK (status IN ('INITIALIZING', 'IN_PROGRESS', 'FAILED', 'STOPPED', 'COMPLETED')),
    created_ms  INTEGER NOT NULL,
    updated_ms  INTEGER NOT NULL,
    files_done  INTEGER NOT NULL DEFAULT 0,
    events_done INTEGER NOT NULL DEFAULT 0,
    listed      INTEGER NOT NULL DEFAULT 0       -- 1: every file under the source stands in import_files
);
CREATE INDEX imports_by_tenant ON imports (account, number);
-- AWS: one running import for each account.
CREATE UNIQUE INDEX imports_ongoing ON imports (account) WHERE status IN ('INITIALIZING', 'IN_PROGRESS');

CREATE TABLE import_files (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    import     INTEGER NOT NULL REFERENCES imports (number),
    key        TEXT NOT NULL,
    prefix     TEXT NOT NULL,                    -- of the key, through the Region's folder
    bytes      INTEGER NOT NULL,
    status     TEXT NOT NULL CHECK (status IN ('WAITING', 'DONE', 'FAILED')),
    attempts   INTEGER NOT NULL DEFAULT 0,
    error_type TEXT,                             -- of the last attempt that failed; stays when a later one succeeds
    error      TEXT,
    updated_ms INTEGER NOT NULL,
    UNIQUE (import, key)
);
CREATE INDEX import_files_by_status ON import_files (import, status, number);
CREATE INDEX import_files_by_prefix ON import_files (import, prefix, status);
CREATE INDEX import_files_with_errors ON import_files (import, number) WHERE error_type IS NOT NULL;

CREATE TABLE imported_files (
    table_name  TEXT NOT NULL,
    sha256      BLOB NOT NULL,
    imported_ms INTEGER NOT NULL,
    PRIMARY KEY (table_name, sha256)
) WITHOUT ROWID;
