-- What has been declared and what has been handed over. Times are milliseconds since 1970, UTC.

CREATE TABLE trails (
    arn          TEXT PRIMARY KEY,
    account      TEXT NOT NULL,
    name         TEXT NOT NULL,
    home_region  TEXT NOT NULL,
    created_ms   INTEGER NOT NULL
) STRICT;
CREATE INDEX trails_by_account ON trails (account, name);

-- Each change of a trail is a new row; the newest is what the API shows. `from_seq` is the first
-- journal entry that the state applies to, so that reading the journal again gives the same files.
CREATE TABLE trail_states (
    arn        TEXT NOT NULL REFERENCES trails (arn) ON DELETE CASCADE,
    version    INTEGER NOT NULL,
    from_seq   INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL,
    state      TEXT NOT NULL, -- JSON of TrailState
    PRIMARY KEY (arn, version)
) STRICT;

-- What GetTrailStatus says beyond logging itself, per Region of the events.
CREATE TABLE trail_statuses (
    arn    TEXT NOT NULL,
    region TEXT NOT NULL,
    latest_delivery_ms           INTEGER,
    latest_delivery_attempt_ms   INTEGER,
    latest_delivery_error        TEXT,
    latest_digest_delivery_ms    INTEGER,
    latest_digest_delivery_error TEXT,
    PRIMARY KEY (arn, region)
) STRICT;

CREATE TABLE tags (
    arn   TEXT NOT NULL,
    key   TEXT NOT NULL,
    value TEXT NOT NULL,
    place INTEGER NOT NULL, -- order in which they were added, which ListTags keeps
    PRIMARY KEY (arn, key)
) STRICT;

-- Public halves of the digest keys. Never deleted: old digests must stay verifiable.
CREATE TABLE digest_keys (
    region         TEXT NOT NULL,
    fingerprint    TEXT NOT NULL,
    public_pkcs1   BLOB NOT NULL,
    valid_from_ms  INTEGER NOT NULL,
    valid_until_ms INTEGER NOT NULL,
    PRIMARY KEY (region, fingerprint)
) STRICT;

-- How far each stream of log files has been cut. A stream's files follow each other in journal
-- order, so one number tells which entries are already in a file.
CREATE TABLE streams (
    trail_arn TEXT NOT NULL,
    account   TEXT NOT NULL,
    region    TEXT NOT NULL,
    folder    TEXT NOT NULL,
    last_seq  INTEGER NOT NULL,
    PRIMARY KEY (trail_arn, account, region, folder)
) STRICT;

-- The ledger: log files that lie in their bucket.
CREATE TABLE log_files (
    id           INTEGER PRIMARY KEY,
    trail_arn    TEXT NOT NULL,
    account      TEXT NOT NULL,
    region       TEXT NOT NULL,
    folder       TEXT NOT NULL,
    bucket       TEXT NOT NULL,
    key          TEXT NOT NULL,
    sha256       TEXT NOT NULL, -- lower-case hex, of the uncompressed bytes
    first_seq    INTEGER NOT NULL,
    last_seq     INTEGER NOT NULL,
    events       INTEGER NOT NULL,
    oldest_ms    INTEGER NOT NULL,
    newest_ms    INTEGER NOT NULL,
    delivered_ms INTEGER NOT NULL,
    digest_id    INTEGER,
    UNIQUE (trail_arn, account, region, folder, first_seq)
) STRICT;
CREATE INDEX log_files_without_digest ON log_files (trail_arn, account, region) WHERE digest_id IS NULL;

-- One row a chain of digests. A chain that has ended stays, so that the next one ends later.
CREATE TABLE chains (
    trail_arn       TEXT NOT NULL,
    account         TEXT NOT NULL,
    region          TEXT NOT NULL,
    open            INTEGER NOT NULL,   -- 1: a digest is due at every interval
    end_ms          INTEGER NOT NULL,   -- digestEndTime of the newest digest
    previous        TEXT,               -- JSON of PreviousDigest; NULL before the starting digest is signed
    PRIMARY KEY (trail_arn, account, region)
) STRICT;

-- Signed digests, kept whole so that a redelivery puts the same bytes.
CREATE TABLE digests (
    id           INTEGER PRIMARY KEY,
    trail_arn    TEXT NOT NULL,
    account      TEXT NOT NULL,
    region       TEXT NOT NULL,
    bucket       TEXT NOT NULL,
    key          TEXT NOT NULL,
    body_gz      BLOB NOT NULL,
    signature    TEXT NOT NULL,
    end_ms       INTEGER NOT NULL,
    delivered_ms INTEGER
) STRICT;
CREATE INDEX digests_to_put ON digests (id) WHERE delivered_ms IS NULL;

-- Ingest tokens: only the SHA-256 of a token is kept.
CREATE TABLE ingest_tokens (
    sha256     BLOB PRIMARY KEY,
    name       TEXT NOT NULL,
    account    TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
