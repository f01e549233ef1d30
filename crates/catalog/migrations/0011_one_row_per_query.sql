-- A query is one row, so that one statement enters it, ends it or reads it.

-- JSON: [{"name": as the statement names it, "arn": of the event data store}, …]
ALTER TABLE queries ADD COLUMN stores TEXT NOT NULL DEFAULT '[]';
-- The bytes of a result that is small enough to lie here (docs/formats/query-results.md). The last column:
-- SQLite reads a row from its start, and no further than what is asked for.
ALTER TABLE queries ADD COLUMN result BLOB;

UPDATE queries SET
    stores = (SELECT json_group_array(json_object('name', name, 'arn', store_arn) ORDER BY name)
              FROM query_stores WHERE query = queries.number),
    result = (SELECT bytes FROM query_results WHERE query = queries.number);

DROP TABLE query_results;

-- By these rows queries are found by their stores.
CREATE TRIGGER queries_enter_stores AFTER INSERT ON queries BEGIN
    INSERT INTO query_stores (query, store_arn, name)
    SELECT NEW.number, value ->> 'arn', value ->> 'name' FROM json_each(NEW.stores);
END;
