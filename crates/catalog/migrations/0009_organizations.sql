-- Organizations: accounts that a management account may watch over.

CREATE TABLE organizations (
    id         TEXT PRIMARY KEY,  -- o- and ten lower-case letters and digits
    root_id    TEXT NOT NULL,     -- r- and four
    management TEXT NOT NULL REFERENCES accounts (id),
    created_ms INTEGER NOT NULL
) STRICT;

-- When an account was in an organization, its management account too: from journal entry `from_seq` up
-- to, and without, `until_seq`, so that reading the journal again finds the same members.
CREATE TABLE memberships (
    id           INTEGER PRIMARY KEY,
    organization TEXT NOT NULL REFERENCES organizations (id),
    account      TEXT NOT NULL REFERENCES accounts (id),
    from_seq     INTEGER NOT NULL,
    until_seq    INTEGER,          -- NULL: it is in it now
    joined_ms    INTEGER NOT NULL,
    delegated_ms INTEGER           -- since when it is a delegated administrator of CloudTrail
) STRICT;
CREATE UNIQUE INDEX memberships_now ON memberships (account) WHERE until_seq IS NULL;

-- An organization trail's files lie in the organization's folder.
ALTER TABLE aggregated_events ADD COLUMN organization TEXT;
