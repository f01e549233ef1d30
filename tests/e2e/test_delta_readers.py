"""The two foreign readers of Delta tables agree on a table that neither DuckDB nor Cairn wrote."""

import datetime

import deltalake
import duckdb

from support.delta import rows_by_deltalake, rows_by_duckdb

COLUMNS = ["eventid", "eventtime", "requestparameters", "useridentity", "resources", "readonly", "day"]
ROWS = """
    SELECT 'e' || n AS eventid,
           TIMESTAMPTZ '2026-10-31 23:59:59.123456+00' + INTERVAL (n) DAY AS eventtime,
           CASE WHEN n = 0 THEN MAP {} WHEN n = 1 THEN NULL ELSE MAP {'bucketName': 'b' || n, 'Key': NULL} END
               ::MAP(VARCHAR, VARCHAR) AS requestparameters,
           {'type': 'IAMUser', 'username': CASE WHEN n = 2 THEN NULL ELSE 'ana' END,
            'sessioncontext': {'attributes': MAP {'mfa': 'true'}}} AS useridentity,
           CASE WHEN n = 3 THEN [] ELSE [{'arn': 'arn:' || n, 'type': NULL::VARCHAR}] END AS resources,
           n % 2 = 0 AS readonly,
           DATE '2026-10-31' + n::INT AS day
    FROM range(4) AS t(n)
"""


def test_both_readers_give_the_rows_that_were_written(tmp_path):
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        deltalake.write_deltalake(tmp_path / "table", database.sql(ROWS), partition_by=["day"])
        written = sorted(database.execute(f"SELECT {', '.join(COLUMNS)} FROM ({ROWS})").fetchall(), key=lambda row: row[0])
    by_deltalake = rows_by_deltalake(tmp_path / "table", COLUMNS)
    assert by_deltalake == written
    assert rows_by_duckdb(tmp_path / "table", COLUMNS) == written
    assert by_deltalake[1][1] == datetime.datetime(2026, 11, 1, 23, 59, 59, 123456, datetime.UTC)
    assert by_deltalake[0][2] == {} and by_deltalake[1][2] is None and by_deltalake[3][4] == []


def test_a_removed_file_is_no_longer_read(tmp_path):
    with duckdb.connect() as database:
        deltalake.write_deltalake(tmp_path, database.sql("SELECT 1::BIGINT AS n, 'a' AS p"), partition_by=["p"])
        deltalake.write_deltalake(tmp_path, database.sql("SELECT 2::BIGINT AS n, 'b' AS p"), mode="append")
    assert rows_by_duckdb(tmp_path, ["n", "p"]) == rows_by_deltalake(tmp_path, ["n", "p"]) == [(1, "a"), (2, "b")]
    deltalake.DeltaTable(tmp_path).delete("p = 'a'")
    assert rows_by_duckdb(tmp_path, ["n", "p"]) == rows_by_deltalake(tmp_path, ["n", "p"]) == [(2, "b")]
