-- Results that are small enough to lie here; larger ones are files. Their bytes are those of the file
-- (docs/formats/query-results.md), so that both are read alike.

CREATE TABLE query_results (
    query INTEGER PRIMARY KEY REFERENCES queries (number) ON DELETE CASCADE,
    bytes BLOB NOT NULL
);
