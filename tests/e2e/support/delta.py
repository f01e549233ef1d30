"""A Delta table as other engines see it: the same rows by the deltalake package and by DuckDB.

    rows_by_deltalake(folder or URI, columns)      delta-rs, without pyarrow
    rows_by_duckdb(folder, columns)                DuckDB's delta extension (delta-kernel-rs)

Both give a list of tuples in a fixed order, in the same Python values: structs and maps are dicts,
timestamps are aware datetimes in UTC, dates are dates.

DuckDB fetches its extensions from the network unless told where they are. The package
`duckdb-extension-delta` holds the file; it loads only into the DuckDB of exactly its own version, so
the two are pinned together in tests/requirements.txt.
"""

import importlib.resources
import json
from pathlib import Path

import deltalake
import duckdb
from arro3.core import Table


def rows_by_deltalake(table: str | Path, columns: list[str], storage_options: dict[str, str] | None = None) -> list[tuple]:
    """Sorted rows of a table in a folder or at a URI (s3://…, with the store's settings)."""
    opened = deltalake.DeltaTable(str(table), storage_options=storage_options)
    types = {field["name"]: field["type"] for field in json.loads(opened.schema().to_json())["fields"]}
    batches = deltalake.QueryBuilder().register("t", opened).execute(f"SELECT {quoted(columns)} FROM t")
    rows = Table.from_arrow(batches).to_struct_array().to_pylist()
    return in_order([tuple(plain(row[name], types[name]) for name in columns) for row in rows])


def rows_by_duckdb(table: str | Path, columns: list[str]) -> list[tuple]:
    """Sorted rows of a table in a folder."""
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as database:
        database.load_extension(str(extension()))
        database.execute("SET TimeZone = 'UTC'")
        rows = database.execute(f"SELECT {quoted(columns)} FROM delta_scan(?)", [str(table)]).fetchall()
    return in_order(rows)


def extension() -> Path:
    """DuckDB's delta extension, out of its Python package."""
    folder = importlib.resources.files("duckdb_extension_delta") / "extensions" / f"v{duckdb.__version__}"
    path = Path(str(folder / "delta.duckdb_extension"))
    assert path.exists(), f"{path} is missing: duckdb and duckdb-extension-delta must be of one version"
    return path


def plain(value, kind):
    """A value by arro3, where a map is a list of pairs, as DuckDB gives it. `kind`: its Delta type."""
    if value is None or isinstance(kind, str):
        return value
    match kind["type"]:
        case "struct":
            return {field["name"]: plain(value[field["name"]], field["type"]) for field in kind["fields"]}
        case "map":
            return {key: plain(of_key, kind["valueType"]) for key, of_key in value}
        case "array":
            return [plain(item, kind["elementType"]) for item in value]
    raise AssertionError(f"unknown Delta type {kind}")


def quoted(columns: list[str]) -> str:
    return ", ".join('"' + name.replace('"', '""') + '"' for name in columns)


def in_order(rows: list[tuple]) -> list[tuple]:
    """Sorted by their texts: rows with nulls and dicts have no order of their own."""
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True, default=str))
