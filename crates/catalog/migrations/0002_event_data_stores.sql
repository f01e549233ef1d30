-- Event data stores. Their events lie in the lake, in a table named by `id`; their tags in `tags`.

CREATE TABLE event_data_stores (
    arn          TEXT PRIMARY KEY,
    id           TEXT NOT NULL UNIQUE, -- the last part of the ARN: a UUID in lower case
    account      TEXT NOT NULL,
    name         TEXT NOT NULL,
    home_region  TEXT NOT NULL,
    created_ms   INTEGER NOT NULL,
    updated_ms   INTEGER NOT NULL
) STRICT;
CREATE INDEX event_data_stores_by_account ON event_data_stores (account, home_region, name);

-- Each change is a new row; the newest is what the API shows. `from_seq` is the first journal entry
-- that the state applies to, so that reading the journal again gives the same rows.
CREATE TABLE event_data_store_states (
    arn      TEXT NOT NULL REFERENCES event_data_stores (arn) ON DELETE CASCADE,
    version  INTEGER NOT NULL,
    from_seq INTEGER NOT NULL,
    state    TEXT NOT NULL, -- JSON of EventDataStoreState
    PRIMARY KEY (arn, version)
) STRICT;
