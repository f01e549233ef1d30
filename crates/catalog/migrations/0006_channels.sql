-- Channels, by which events from outside AWS come into event data stores; their tags in `tags`.

CREATE TABLE channels (
    number       INTEGER PRIMARY KEY AUTOINCREMENT, -- the order in which they are listed
    arn          TEXT NOT NULL UNIQUE,
    id           TEXT NOT NULL UNIQUE, -- the last part of the ARN: a UUID in lower case
    account      TEXT NOT NULL,
    region       TEXT NOT NULL,
    name         TEXT NOT NULL,
    source       TEXT NOT NULL,
    created_ms   INTEGER NOT NULL,
    updated_ms   INTEGER NOT NULL,
    UNIQUE (account, region, name)
) STRICT;

CREATE TABLE channel_destinations (
    channel_arn TEXT NOT NULL REFERENCES channels (arn) ON DELETE CASCADE,
    place       INTEGER NOT NULL, -- the order in which they were given
    store_arn   TEXT NOT NULL,
    PRIMARY KEY (channel_arn, place)
) STRICT;
CREATE INDEX channel_destinations_by_store ON channel_destinations (store_arn);

-- What GetChannel says of the latest puts: JSON of Ingestions.
CREATE TABLE channel_ingestions (
    channel_arn TEXT PRIMARY KEY REFERENCES channels (arn) ON DELETE CASCADE,
    ingestions  TEXT NOT NULL
) STRICT;
