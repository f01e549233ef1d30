#!/usr/bin/env python3
"""Cairn's lake beside DuckDB and ClickHouse, on this machine: `make bench-lake`.

    import     500 gzip log files with 1,000,000 events into each engine's own form, in turn
    queries    eight questions to each, warm; the answers must be equal
    from       one aggregation straight over the files, without an import
    lookups    LookupEvents by each attribute, warm and cold
    freshness  how soon LookupEvents shows what was accepted, while other events come

The log files are made by `bench lake-files` from a seed, and kept for the next run. Everything else lies
in a temporary folder. The result is a table of ratios and a JSON file; bench/README.md explains both.
"""

import argparse
import contextlib
import gzip
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import lake_cairn
from lake_cairn import Missing
from lake_queries import CLICKHOUSE, DUCKDB, NAMES
from run import Cairn, Failed, end_all, fresh, say, version

PEERS = {"duckdb": DUCKDB, "clickhouse": CLICKHOUSE}
# Targets of issue 3, "How good".
FASTER_THAN_DUCKDB = 7
FASTER_THAN_CLICKHOUSE = 3
FASTER_DIRECT = 10
RSS_MB_MAX = 1000
BYTES_AN_EVENT_MAX = 150
LOOKUP_P99_MS_MAX = 20
LOOKUP_COLD_MS_MAX = 200
FRESH_P99_MS_MAX = 1000


# ---- the files


def log_files(settings) -> tuple[Path, dict]:
    """The folder with AWSLogs/ in it, made unless the same is there, and what `bench` says of it."""
    until = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime())
    wanted = {"events": settings.events, "files": settings.files, "seed": settings.seed, "until": until}
    generator = hashlib.sha256(settings.load.read_bytes()).hexdigest()[:8]
    folder = settings.dir / f"bench-lake-files-{settings.events}-{settings.files}-{settings.seed}-{until[:10]}-{generator}"
    told = folder.with_suffix(".json")
    if not told.exists():
        # One set at a time: ten million events take 2 GB.
        for old in settings.dir.glob(f"bench-lake-files-{settings.events}-*"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        say(f"making {settings.files} log files with {settings.events:,} events in {folder}")
        arguments = [part for name, value in wanted.items() for part in (f"--{name}", str(value))]
        made = subprocess.run([settings.load, "lake-files", "--folder", folder, *arguments], stdout=subprocess.PIPE, text=True)
        if made.returncode != 0:
            raise Failed("the log files could not be made")
        told.write_text(made.stdout)
    return folder, json.loads(told.read_text())


def some_event_id(folder: Path) -> str:
    """The eventID of an event in the middle of a file in the middle."""
    paths = sorted(folder.glob("AWSLogs/*/CloudTrail/*/*/*/*/*.json.gz"))
    records = json.loads(gzip.decompress(paths[len(paths) // 2].read_bytes()))["Records"]
    return records[len(records) // 2]["eventID"]


# ---- the peers


def peer(engine: str, verb: str, *arguments) -> dict:
    """What a peer's process says of its work."""
    program = Path(__file__).with_name("lake_peers.py")
    line = [sys.executable, program, engine, verb, *arguments]
    done = subprocess.run([str(part) for part in line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise Failed(f"{engine} {verb} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def warm_up(folder: Path) -> None:
    """Reads every log file once, so that the first engine to import finds them as the others do."""
    for path in folder.rglob("*.gz"):
        path.read_bytes()


def median_of(runs: list[dict]) -> dict:
    """The run of median time, whole, and the times of all."""
    ordered = sorted(runs, key=lambda run: run["s"])
    return {**ordered[(len(ordered) - 1) // 2], "all_s": [round(run["s"], 3) for run in runs]}


# ---- the parts


def imports(settings, folder: Path, results: dict) -> None:
    """Each engine in turn, on a fresh folder; the last round's stores are kept for the queries."""
    runs = {name: [] for name in (*PEERS, "duckdb_read_json", "cairn")}
    for round_ in range(settings.rounds):
        for engine in PEERS:
            store = settings.folder / engine
            shutil.rmtree(store, ignore_errors=True)
            runs[engine].append(peer(engine, "import", folder, store))
            tell_import(engine, round_, settings, runs[engine][-1])
        runs["duckdb_read_json"].append(peer("duckdb", "import-detected", folder, settings.folder / "detected"))
        tell_import("duckdb read_json", round_, settings, runs["duckdb_read_json"][-1])
        if not settings.peers_only:
            with missing_is_told(results, "import"), fresh(Cairn, settings) as server:
                store = lake_cairn.make_store(server)
                runs["cairn"].append(lake_cairn.import_files(server, folder, store))
                tell_import("cairn", round_, settings, runs["cairn"][-1])
    results["import"] = {name: median_of(of_name) for name, of_name in runs.items() if of_name}


def tell_import(engine: str, round_: int, settings, run: dict) -> None:
    say(f"  import, {engine} {round_ + 1}/{settings.rounds}: {run['s']:.1f} s, {run.get('cpu_s', 0):.1f} s of processor, RSS {run['rss_mb_max']:.0f} MB")


def queries(settings, folder: Path, results: dict) -> None:
    names = {"rare_user": results["files"]["rare_user"], "event_id": some_event_id(folder)}
    answers = {}
    for engine, texts in PEERS.items():
        if not (settings.folder / engine).exists():
            peer(engine, "import", folder, settings.folder / engine)
        questions = {name: text.format(**names) for name, text in texts.items()}
        answers[engine] = peer(engine, "query", settings.folder / engine, json.dumps(questions))["answers"]
        say(f"  queries, {engine}: " + ", ".join(f"{name} {answer['best_ms']:.1f} ms" for name, answer in answers[engine].items()))
    if not settings.peers_only:
        with missing_is_told(results, "queries"), fresh(Cairn, settings) as server:
            store = lake_cairn.make_store(server)
            lake_cairn.import_files(server, folder, store)
            answers["cairn"] = lake_cairn.queries(server, store, names)
    results["queries"] = {
        name: {engine: of_engine[name] for engine, of_engine in answers.items()} for name in NAMES
    }
    compare(results["queries"], results["files"])


def compare(queries: dict, files: dict) -> None:
    """All engines must say the same, and the count must be what was made."""
    for name, by_engine in queries.items():
        rows = {engine: answer["rows"] for engine, answer in by_engine.items()}
        first, *others = rows
        for other in others:
            if rows[other] != rows[first]:
                differing = next(((a, b) for a, b in zip(rows[first], rows[other]) if a != b), (len(rows[first]), len(rows[other])))
                raise Failed(f"{NAMES[name]}: {first} and {other} differ: {differing}")
        if not rows[first]:
            raise Failed(f"{NAMES[name]}: no rows, so nothing was compared")
    counted = next(iter(queries["count"].values()))["rows"]
    if counted != [[str(files["unique_events"])]]:
        raise Failed(f"{counted} events instead of {files['unique_events']}")


def direct(settings, folder: Path, results: dict) -> None:
    runs, rows = {}, {}
    for _ in range(settings.rounds):
        for way, run in peer("duckdb", "direct", folder, settings.folder / "direct")["ways"].items():
            runs.setdefault(f"duckdb_{way}", []).append(run)
        if not settings.peers_only:
            with missing_is_told(results, "from"):
                run = lake_cairn.direct(settings.cairn, folder)
                runs.setdefault("cairn", []).append(run)
    for name, of_name in runs.items():
        rows[name] = of_name[-1]["rows"]
        say(f"  from the files, {name}: {of_name[-1]['s']:.2f} s")
    if len({json.dumps(of_name) for of_name in rows.values()}) != 1:
        raise Failed(f"the answers from the files differ: {rows}")
    results["from"] = {name: median_of(of_name) for name, of_name in runs.items() if of_name}


def lookups(settings, folder: Path, results: dict) -> None:
    if settings.peers_only:
        return
    with missing_is_told(results, "lookups"), fresh(Cairn, settings, config='intake_accounts = ["*"]\n') as server:
        lake_cairn.fill_history(server, folder)
        results["lookups"] = lake_cairn.lookups(server, folder)


def freshness(settings, folder: Path, results: dict) -> None:
    if settings.peers_only:
        return
    with missing_is_told(results, "freshness"), fresh(Cairn, settings, config='intake_accounts = ["*"]\n') as server:
        results["freshness"] = lake_cairn.freshness(server, folder)


@contextlib.contextmanager
def missing_is_told(results: dict, part: str):
    """What Cairn cannot do yet ends its side of a part, not the benchmark."""
    try:
        yield
    except Missing as missing:
        results["missing"][part] = str(missing)
        say(f"  {part}: Cairn has no figure: {missing}")


PARTS = {"import": imports, "queries": queries, "from": direct, "lookups": lookups, "freshness": freshness}


# ---- telling


def table(results: dict) -> str:
    rows = [("", "cairn", "duckdb", "clickhouse", "ratio", "wanted", "")]

    def row(what, figures: dict, form: str, ratio=None, wanted="", met=None):
        cells = [form.format(figures[name]) if figures.get(name) is not None else "" for name in ("cairn", "duckdb", "clickhouse")]
        verdict = {None: "", True: "met", False: "MISSED"}[met]
        rows.append((what, *cells, f"{ratio:.2f}" if ratio is not None else "", wanted, verdict))

    def faster(what, figures, peer_name, form, least):
        ours, theirs = figures.get("cairn"), figures[peer_name]
        ratio = theirs / ours if ours else None
        wanted = f"{peer_name} / cairn >= {least:g}" if least else ""
        row(what, {"cairn": ours, peer_name: theirs}, form, ratio, wanted, ratio >= least if ratio and least else None)

    if found := results.get("import"):
        seconds = {name: run["s"] for name, run in found.items()}
        read_json = {"cairn": seconds.get("cairn"), "duckdb": seconds["duckdb_read_json"]}
        faster("import, read_json: s", read_json, "duckdb", "{:.1f}", FASTER_THAN_DUCKDB)
        faster("import, read_json_objects: s", seconds, "duckdb", "{:.1f}", None)
        faster("import: s", seconds, "clickhouse", "{:.1f}", FASTER_THAN_CLICKHOUSE)
        ours = found.get("cairn", {})
        events = results["files"]["unique_events"]
        each = {name: run["bytes"] / events for name, run in found.items()}
        row("   processor seconds", {name: run["cpu_s"] for name, run in found.items()}, "{:.1f}")
        row("   memory, largest: MB", {name: run["rss_mb_max"] for name, run in found.items()}, "{:.0f}", None, f"< {RSS_MB_MAX}", ours["rss_mb_max"] < RSS_MB_MAX if ours else None)
        row("   on disk, bytes an event", each, "{:.1f}", None, f"<= {BYTES_AN_EVENT_MAX}", each["cairn"] <= BYTES_AN_EVENT_MAX if ours else None)
    for name, by_engine in results.get("queries", {}).items():
        for label, key in ((NAMES[name] + ": ms, best of 5", "best_ms"), ("   median", "median_ms")):
            figures = {engine: answer[key] for engine, answer in by_engine.items()}
            better = min(figures[engine] for engine in PEERS)
            ratio = better / figures["cairn"] if "cairn" in figures else None
            judged = key == "best_ms"
            row(label, figures, "{:.1f}", ratio, "better peer / cairn >= 1" if judged else "", ratio >= 1 if ratio and judged else None)
        if "cairn" in by_engine:
            row("   the server's own time", {"cairn": by_engine["cairn"]["server_best_ms"]}, "{:.1f}")
            row("   by boto3", {"cairn": by_engine["cairn"]["boto3_best_ms"]}, "{:.1f}")
    if found := results.get("from"):
        seconds = {name: run["s"] for name, run in found.items()}
        for way, least in (("read_json", FASTER_DIRECT), ("read_json_objects", None)):
            figures = {"cairn": seconds.get("cairn"), "duckdb": seconds[f"duckdb_{way}"]}
            faster(f"from the files, {way}: s", figures, "duckdb", "{:.2f}", least)
    for key, run in results.get("lookups", {}).items():
        row(f"lookup, {key}: p50 ms", {"cairn": run["p50_ms"]}, "{:.2f}")
        if "p99_ms" in run:
            row("   p99 ms", {"cairn": run["p99_ms"]}, "{:.2f}", None, f"< {LOOKUP_P99_MS_MAX}", run["p99_ms"] < LOOKUP_P99_MS_MAX)
            row("   cold, ms", {"cairn": run["cold_ms"]}, "{:.1f}", None, f"< {LOOKUP_COLD_MS_MAX}", run["cold_ms"] < LOOKUP_COLD_MS_MAX)
    if found := results.get("freshness"):
        row(f"found after, {found['load_events_s']:,.0f} events/s beside: p50 ms", {"cairn": found["p50_ms"]}, "{:.1f}")
        row("   p99 ms", {"cairn": found["p99_ms"]}, "{:.1f}", None, f"< {FRESH_P99_MS_MAX}", found["p99_ms"] < FRESH_P99_MS_MAX)
    widths = [max(len(r[column]) for r in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(zip(r, widths))) for r in rows]
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join(line.rstrip() for line in lines)


# ---- the whole


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cairn", type=Path, help="the program, built in release mode")
    parser.add_argument("--load", type=Path, required=True, help="the generator (bench), built in release mode")
    parser.add_argument("--peers-only", action="store_true", help="without Cairn")
    parser.add_argument("--events", type=int, default=1_000_000, help="10000000 asks what the issue asks [1000000]")
    parser.add_argument("--files", type=int, help="[one for 2,000 events]")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3, help="of each import and each question to the files [3]")
    parser.add_argument("--only", help=f"comma-separated parts: {', '.join(PARTS)}")
    parser.add_argument("--dir", type=Path, help="where files and stores go; a real disk [default: beside --load]")
    parser.add_argument("--out", type=Path, help="the JSON file [default: bench-lake.json beside --load]")
    settings = parser.parse_args(arguments)
    settings.parts = settings.only.split(",") if settings.only else list(PARTS)
    if unknown := set(settings.parts) - set(PARTS):
        parser.error(f"unknown part: {', '.join(sorted(unknown))}")
    if settings.cairn is None and not settings.peers_only:
        parser.error("give --cairn, or --peers-only")
    for program in filter(None, (settings.cairn, settings.load)):
        if not os.access(program, os.X_OK):
            parser.error(f"{program} is not there; build it with: cargo build --release -p cairn -p bench")
    settings.files = settings.files or max(1, settings.events // 2000)
    settings.dir = (settings.dir or settings.load.parent).resolve()
    settings.out = settings.out or settings.load.parent / "bench-lake.json"
    # Files, two peers' stores, DuckDB's second one while it is written, and Cairn's.
    needed_gib = 2 + settings.events * 1000 // (1 << 30)
    free_gib = shutil.disk_usage(settings.dir).free >> 30
    if free_gib < needed_gib:
        parser.error(f"{settings.dir} has {free_gib} GiB free; {settings.events:,} events need {needed_gib}")
    return settings


def run(settings) -> dict:
    folder, files = log_files(settings)
    warm_up(folder)
    results = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": os.cpu_count(),
        "load_average_before": os.getloadavg()[0],
        "cairn": None if settings.peers_only else f"{version(settings.cairn)}, {settings.cairn}",
        "files": files,
        "missing": {},
    }
    say(
        f"{results['cores']} cores, load average {results['load_average_before']:.1f}; {files['events']:,} events in {files['files']} files,"
        f" {files['json_bytes'] / 1e9:.2f} GB of JSON, {files['gzip_bytes'] / 1e6:.0f} MB"
    )
    if results["load_average_before"] > 0.5 * results["cores"]:
        say("warning: the machine is busy with other things; compare ratios, not figures")
    for part in settings.parts:
        PARTS[part](settings, folder, results)
    results["load_average_after"] = os.getloadavg()[0]
    return results


def main() -> int:
    # SIGTERM unwinds like an exception, so that servers and folders go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    settings = parse()
    settings.folder = Path(tempfile.mkdtemp(prefix="cairn-bench-lake-", dir=settings.dir))
    try:
        results = run(settings)
    except Failed as failure:
        say(f"bench: {failure}")
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        end_all()
        shutil.rmtree(settings.folder, ignore_errors=True)
    # The rows have been compared; the figures are what is kept.
    for by_engine in results.get("queries", {}).values():
        for answer in by_engine.values():
            answer["row_count"] = len(answer.pop("rows"))
    for found in results.get("from", {}).values():
        found.pop("rows", None)
    settings.out.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))
    print(f"\nall figures: {settings.out}")
    for part, why in results["missing"].items():
        say(f"bench: Cairn has no figure for {part}: {why}")
    return 1 if results["missing"] else 0


if __name__ == "__main__":
    sys.exit(main())
