-- Accounts, who acts in them, what they may do, and what others may do with their resources.

CREATE TABLE accounts (
    id         TEXT PRIMARY KEY,  -- twelve digits
    name       TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;

-- Users and roles. A role has a trust policy, a user has none.
CREATE TABLE principals (
    account      TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    kind         TEXT NOT NULL CHECK (kind IN ('user', 'role')),
    name         TEXT NOT NULL,
    path         TEXT NOT NULL,
    principal_id TEXT NOT NULL UNIQUE,
    trust        TEXT,
    created_ms   INTEGER NOT NULL,
    PRIMARY KEY (account, kind, name)
) STRICT;

CREATE TABLE principal_policies (
    account   TEXT NOT NULL,
    kind      TEXT NOT NULL,
    principal TEXT NOT NULL,
    name      TEXT NOT NULL,
    document  TEXT NOT NULL,
    PRIMARY KEY (account, kind, principal, name),
    FOREIGN KEY (account, kind, principal) REFERENCES principals (account, kind, name) ON DELETE CASCADE
) STRICT;

-- Secrets are sealed with the node's own secret, which is not in this database.
CREATE TABLE access_keys (
    id                TEXT PRIMARY KEY,
    account           TEXT NOT NULL,
    user              TEXT NOT NULL,
    sealed            BLOB NOT NULL,
    active            INTEGER NOT NULL,
    created_ms        INTEGER NOT NULL,
    last_used_ms      INTEGER,
    last_used_service TEXT,
    last_used_region  TEXT,
    kind              TEXT NOT NULL DEFAULT 'user',
    FOREIGN KEY (account, kind, user) REFERENCES principals (account, kind, name) ON DELETE CASCADE
) STRICT;
CREATE INDEX access_keys_by_user ON access_keys (account, user);

-- What GetResourcePolicy shows.
CREATE TABLE resource_policies (
    arn      TEXT PRIMARY KEY,
    document TEXT NOT NULL
) STRICT;
