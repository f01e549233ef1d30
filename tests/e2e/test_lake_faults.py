"""Tables that are damaged, disks that fill, kills, stores that go while somebody asks them, queries that
never end: a clear error for whoever needs what is broken, and nothing else changes."""

import random
import shutil
import threading
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from conftest import Node, make_event, until
from support.clock import needs_faketime, wrong_clock
from support.disk import fill, small_disk
from support.lake import (
    QUICK,
    SOURCE,
    ask,
    data_files,
    ended,
    events,
    failure,
    health,
    ids_in_history,
    make_store,
    post,
    rows,
    start,
    tally,
    until_in_files,
    until_in_history,
    until_there,
    values,
    write_logs,
)
from support.load import Load


class Tables:
    """A node with the stores `orders` (300 orders of 60 days, in files of three months or so) and `other` (50 of them)."""

    def __init__(self, node):
        self.node = node
        self.orders = make_store(node, "orders")
        self.other = make_store(node, "other", AdvancedEventSelectors=[selector("CreateOther")])
        # Only these are in both.
        self.ids = post(node, events(250, days=60)) | post(node, events(50, eventName="CreateOther"))
        until_there(node, self.orders, 300)
        until_in_files(node)
        self.table = node.data / "lake" / self.orders

    def needs_all(self) -> str:
        # The node's own calls become events of the store meanwhile.
        return f"SELECT max(userAgent), max(requestID), max(eventID) FROM {self.orders} WHERE eventSource = '{SOURCE}'"

    def check_others(self) -> None:
        """Everything that has nothing to do with the table `orders`."""
        self.ids |= post(self.node, events(10, days=0, eventName="CreateOther"))
        assert health(self.node)["status"] == "ready"
        until(lambda: tally(self.node, self.other)[0] >= 60)
        until_in_history(self.node, self.ids)

    def check_whole(self) -> None:
        until_there(self.node, self.orders, len(self.ids))
        assert "panicked" not in self.node.log.read_text()


def selector(name: str) -> dict:
    return {"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}, {"Field": "readOnly", "Equals": ["false"]}, {"Field": "eventName", "Equals": [name]}]}


@pytest.fixture
def tables(node_with):
    return Tables(node_with(config=QUICK))


# --- damage ----------------------------------------------------------------------------------------


def remove(file: Path) -> None:
    file.unlink()


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def noise(file: Path) -> None:
    """Bytes of pages, not of the footer, are others."""
    body = bytearray(file.read_bytes())
    for place in range(4, len(body) // 2, 50):
        body[place] ^= 0xFF
    file.write_bytes(bytes(body))


def noisy_footer(file: Path) -> None:
    body = bytearray(file.read_bytes())
    for place in range(len(body) - 400, len(body) - 8, 3):
        body[place] ^= 0x55
    file.write_bytes(bytes(body))


@pytest.mark.parametrize("when", ["running", "stopped"])
@pytest.mark.parametrize("damage", [remove, cut, empty, noise, noisy_footer])
def test_a_damaged_file_is_named_by_the_queries_that_need_it(tables, damage, when):
    node = tables.node
    # That of the oldest month.
    file = min(data_files(tables.table), key=lambda file: file.parent.name)
    whole = file.read_bytes()
    if when == "stopped":
        node.stop()
    damage(file)
    if when == "stopped":
        node.start()
    # A running server has the footer in memory.
    if not (damage is noisy_footer and when == "running"):
        message = failure(node, tables.needs_all())
        assert tables.orders in message and file.name in message, message
    tables.check_others()
    # What lies in other files is found: the newest orders.
    newest = f"SELECT count(*) FROM {tables.orders} WHERE eventName = 'CreateOther' AND eventTime > '{make_event()['eventTime'][:10]} 00:00:00'"
    assert ask(node, newest)["QueryStatus"] == "FINISHED"
    assert ask(node, f"SELECT count(*) FROM {tables.other}")["QueryStatus"] == "FINISHED"
    file.write_bytes(whole)
    tables.check_whole()


def test_a_damaged_file_of_event_history_is_named(tables):
    node = tables.node
    file = data_files(node.data / "lake" / "history")[0]
    whole = file.read_bytes()
    noise(file)
    with pytest.raises(ClientError) as refused:
        ids_in_history(node)
    assert "Event history is damaged" in str(refused.value) and file.name in str(refused.value), refused.value
    until_there(node, tables.orders, 300)
    file.write_bytes(whole)
    until_in_history(node, tables.ids)


def test_an_import_beside_a_damaged_file_says_so_and_leaves_others_alone(tables, tmp_path):
    node = tables.node
    file = data_files(tables.table)[0]
    whole = file.read_bytes()
    noise(file)
    logs = write_logs(tmp_path / "logs", events(400, days=3))
    refused = node.run("import", str(logs), "--into", "orders", "--data", str(node.data))
    assert refused.returncode == 1 and file.name in refused.stderr, refused.stderr
    file.write_bytes(whole)
    done = node.run("import", str(logs), "--into", "orders", "--data", str(node.data))
    assert done.returncode == 0 and done.stdout.startswith("400 events"), done.stdout + done.stderr
    until_there(node, tables.orders, 700)


def test_random_bits_of_a_file_never_end_the_server(tables):
    """Each flip is refused with the file's name, or harms nothing that was asked."""
    node = tables.node
    file = data_files(tables.table)[0]
    whole = file.read_bytes()
    good = rows(node, tables.needs_all())
    chance = random.Random(7)
    silent = 0
    for _ in range(30):
        body = bytearray(whole)
        for _ in range(20):
            body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
        file.write_bytes(bytes(body))
        result = ask(node, tables.needs_all())
        if result["QueryStatus"] == "FAILED":
            assert file.name in result["ErrorMessage"], result["ErrorMessage"]
        else:
            silent += values(result) != good
    file.write_bytes(whole)
    assert node.process.poll() is None
    assert rows(node, tables.needs_all()) == good
    print("altered without a word:", silent)


def log_entries(table: Path) -> list[Path]:
    return sorted((table / "_delta_log").glob("*.json"))


@pytest.mark.parametrize("which", ["first", "middle", "last"])
@pytest.mark.parametrize("damage", [remove, cut, empty, noise])
def test_a_damaged_log_is_named_at_the_next_start(tables, damage, which):
    node = tables.node
    for _ in range(2):
        tables.ids |= post(node, events(5, days=0))
        until_there(node, tables.orders, len(tables.ids))
        until_in_files(node)
    entries = log_entries(tables.table)
    assert len(entries) >= 3
    entry = {"first": entries[0], "middle": entries[len(entries) // 2], "last": entries[-1]}[which]
    whole = entry.read_bytes()
    node.stop()
    damage(entry)
    node.start()
    message = failure(node, f"SELECT count(*) FROM {tables.orders}")
    assert tables.orders in message and "damaged" in message, message
    if damage is not remove:
        assert entry.name in message, message
    tables.check_others()
    assert health(node)["lake"]["tablesFailing"] == 1
    entry.write_bytes(whole)
    tables.check_whole()


def test_a_log_damaged_under_a_running_server_takes_no_more_rows(tables):
    node = tables.node
    saved = tables.table.with_name("saved")
    shutil.copytree(tables.table, saved)
    for entry in log_entries(tables.table):
        entry.unlink()
    tables.ids |= post(node, events(20, days=0))
    until_there(node, tables.orders, 320)
    until(lambda: health(node)["lake"]["tablesFailing"] == 1)
    tables.check_others()
    shutil.copytree(saved, tables.table, dirs_exist_ok=True)
    until(lambda: health(node)["lake"]["tablesFailing"] == 0, wait=60)
    tables.check_whole()
    node.kill()
    node.start()
    tables.check_whole()


@pytest.mark.parametrize("name", ["orders", "history"])
@pytest.mark.parametrize("when", ["running", "stopped"])
def test_a_table_whose_folder_is_gone_is_not_begun_anew(tables, when, name):
    node = tables.node
    table = tables.table if name == "orders" else node.data / "lake" / "history"
    saved = table.with_name("saved")
    if when == "stopped":
        node.stop()
    shutil.move(table, saved)
    if when == "stopped":
        node.start()
    if name == "orders":
        message = failure(node, tables.needs_all())
        assert tables.orders in message and "damaged" in message, message
        tables.check_others()
    else:
        with pytest.raises(ClientError) as refused:
            ids_in_history(node)
        assert "Event history is damaged" in str(refused.value), refused.value
        tables.ids |= post(node, events(10, days=0))
        until_there(node, tables.orders, len(tables.ids))
    until(lambda: health(node)["lake"]["tablesFailing"] == 1)
    # Restarted without it, it is missed still.
    node.kill()
    node.start()
    until(lambda: health(node)["lake"]["tablesFailing"] == 1)
    shutil.copytree(saved, table, dirs_exist_ok=True)
    until(lambda: health(node)["lake"]["tablesFailing"] == 0, wait=60)
    tables.check_whole()
    until_in_history(node, tables.ids)


# --- full disks ------------------------------------------------------------------------------------


def small_node(tmp_path, disk, config: str = QUICK) -> Node:
    node = Node(tmp_path, config=config)
    node.data = disk / "data"
    return node.start()


def test_a_full_disk_during_commits_loses_and_doubles_nothing(tmp_path):
    with small_disk(tmp_path / "disk", "300m") as disk:
        node = small_node(tmp_path, disk)
        try:
            store = make_store(node)
            with Load(node, batch=20, rest=0.02, eventSource=SOURCE) as load:
                for leave in (0, 32 << 20, 200_000):
                    count = len(load.acknowledged)
                    until(lambda: len(load.acknowledged) > count + 100, wait=30)
                    fill(disk, leave)
                    refused = len(load.refused)
                    until(lambda: len(load.refused) > refused + 3, wait=30)
                    # Memory answers all the same.
                    assert node.process.poll() is None, node.tail()
                    (disk / "filler").unlink()
            until_there(node, store, len(load.acknowledged) + extra(node, store, load))
            until(lambda: health(node)["lake"]["state"] == "ready", wait=60)
            node.kill()
            node.start()
            until_there(node, store, len(load.acknowledged) + extra(node, store, load))
            found = {row[0] for row in all_ids(node, store)}
            assert load.acknowledged <= found <= load.acknowledged | load.unanswered
            assert "panicked" not in node.log.read_text()
        finally:
            node.end()


def all_ids(node, store: str) -> list[list[str]]:
    found, token = [], None
    cloudtrail = node.client("cloudtrail")
    query = start(node, f"SELECT eventID FROM {store} WHERE eventSource = '{SOURCE}'")
    assert ended(node, query)["QueryStatus"] == "FINISHED"
    while True:
        more = {"NextToken": token} if token else {}
        page = cloudtrail.get_query_results(QueryId=query, MaxQueryResults=1000, **more)
        found += values(page)
        token = page.get("NextToken")
        if not token:
            return found


def extra(node, store: str, load: Load) -> int:
    """Events that got in though their answer was lost."""
    return len({row[0] for row in all_ids(node, store)} & load.unanswered)


def test_a_full_disk_during_an_import_is_said_and_nothing_is_lost_or_doubled(tmp_path):
    with small_disk(tmp_path / "disk", "300m") as disk:
        node = small_node(tmp_path, disk)
        try:
            store = make_store(node)
            node.client("s3").create_bucket(Bucket="logs")
            before = post(node, events(50))
            until_there(node, store, 50)
            logs = write_logs(tmp_path / "logs", events(6000, days=4), per_file=200)
            fill(disk, 100_000)
            refused = node.run("import", str(logs), "--into", store, "--data", str(node.data))
            assert refused.returncode == 1 and refused.stderr, refused.stdout
            assert node.process.poll() is None
            (disk / "filler").unlink()
            until(lambda: node.health() == 200)
            until_there(node, store, 50)
            done = node.run("import", str(logs), "--into", store, "--data", str(node.data))
            assert done.returncode == 0, done.stderr
            until_there(node, store, 6050)
            assert before <= {row[0] for row in all_ids(node, store)}
        finally:
            node.end()


def test_an_import_that_began_before_the_disk_was_full_ends_when_there_is_room(tmp_path):
    """StartImport's import rests and goes on by itself."""
    with small_disk(tmp_path / "disk", "400m") as disk:
        node = small_node(tmp_path, disk)
        try:
            store = make_store(node)
            source = upload(node, write_logs(tmp_path / "logs", events(20_000, days=4), per_file=100))
            begun = start_import(node, store, source)
            fill(disk, 80 << 20)
            # What is still free goes while files are put.
            fill(disk, 0)
            time.sleep(2)
            assert node.process.poll() is None
            (disk / "filler").unlink()
            until(lambda: node.health() == 200)
            assert until_imported(node, begun) == "COMPLETED"
            until_there(node, store, 20_000)
        finally:
            node.end()


# --- kills -----------------------------------------------------------------------------------------


def upload(node, logs: Path) -> str:
    """Log files in a bucket of the node; where."""
    s3 = node.client("s3")
    s3.create_bucket(Bucket="imported")
    for file in sorted(logs.iterdir()):
        s3.put_object(Bucket="imported", Key=f"AWSLogs/111111111111/CloudTrail/us-east-1/2026/01/01/{file.name}", Body=file.read_bytes())
    return "s3://imported/AWSLogs/111111111111/CloudTrail/"


def start_import(node, store: str, source: str) -> str:
    arn = f"arn:aws:cloudtrail:us-east-1:111111111111:eventdatastore/{store}"
    place = {"S3LocationUri": source, "S3BucketRegion": "us-east-1", "S3BucketAccessRoleArn": "arn:aws:iam::111111111111:role/import"}
    return node.client("cloudtrail").start_import(Destinations=[arn], ImportSource={"S3": place})["ImportId"]


def until_imported(node, begun: str, wait: float = 120) -> str:
    final = ("COMPLETED", "FAILED", "STOPPED")

    def status():
        try:
            found = node.client("cloudtrail").get_import(ImportId=begun)["ImportStatus"]
        except ClientError:
            return None
        return found if found in final else None

    return until(status, wait=wait)


def test_kills_during_cairn_import_leave_each_event_once(node_with, tmp_path):
    node = node_with(config=QUICK)
    store = make_store(node)
    records = events(20_000, days=4)
    logs = write_logs(tmp_path / "logs", records, per_file=250)
    chance = random.Random(3)
    for _ in range(6):
        done = []
        client = threading.Thread(target=lambda: done.append(node.run("import", str(logs), "--into", store, "--data", str(node.data))))
        client.start()
        time.sleep(chance.uniform(0.05, 2.5))
        node.kill()
        client.join(timeout=120)
        assert done, "the client neither ends nor gives up"
        node.start()
        n, ids = tally(node, store)
        assert n == ids <= 20_000
    last = node.run("import", str(logs), "--into", store, "--data", str(node.data))
    assert last.returncode == 0, last.stderr
    until_there(node, store, 20_000)


def test_kills_during_an_import_from_a_bucket_leave_each_event_once(node_with, tmp_path):
    node = node_with(config=QUICK)
    store = make_store(node)
    source = upload(node, write_logs(tmp_path / "logs", events(15_000, days=4), per_file=100))
    begun = start_import(node, store, source)
    chance = random.Random(5)
    for _ in range(6):
        time.sleep(chance.uniform(0.05, 1.5))
        node.kill()
        node.start()
        n, ids = tally(node, store)
        assert n == ids <= 15_000
    assert until_imported(node, begun) == "COMPLETED"
    until_there(node, store, 15_000)
    again = start_import(node, store, source)
    assert until_imported(node, again) == "COMPLETED"
    until_there(node, store, 15_000)


# --- stores that go --------------------------------------------------------------------------------

# Millions of rows, each of them slow: it runs until somebody stops it.
ENDLESS = "SELECT count(*) FROM {0} a CROSS JOIN {0} b CROSS JOIN {0} c WHERE regexp_like(concat(a.eventID, b.eventID, c.eventID), '(a.*b.*c.*d.*e){{20}}')"


def running(node, statement: str) -> str:
    query = start(node, statement)
    until(lambda: node.client("cloudtrail").describe_query(QueryId=query)["QueryStatus"] == "RUNNING")
    return query


def arn_of(store: str) -> str:
    return f"arn:aws:cloudtrail:us-east-1:111111111111:eventdatastore/{store}"


def test_a_store_deleted_under_a_query_and_an_import(tables, tmp_path):
    node = tables.node
    cloudtrail = node.client("cloudtrail")
    query = running(node, ENDLESS.format(tables.orders))
    # Two run at once.
    busy = running(node, ENDLESS.format(tables.orders))
    queued = [start(node, ENDLESS.format(tables.orders)) for _ in range(2)]
    source = upload(node, write_logs(tmp_path / "logs", events(10_000, days=4), per_file=50))
    begun = start_import(node, tables.orders, source)
    # AWS: not while something is imported.
    with pytest.raises(cloudtrail.exceptions.EventDataStoreHasOngoingImportException):
        cloudtrail.delete_event_data_store(EventDataStore=arn_of(tables.orders))
    cloudtrail.stop_import(ImportId=begun)
    cloudtrail.delete_event_data_store(EventDataStore=arn_of(tables.orders))
    assert cloudtrail.get_event_data_store(EventDataStore=arn_of(tables.orders))["Status"] == "PENDING_DELETION"
    with pytest.raises(ClientError) as refused:
        start(node, f"SELECT count(*) FROM {tables.orders}")
    assert tables.orders in str(refused.value), refused.value
    for one in (query, busy):
        cloudtrail.cancel_query(QueryId=one)
        assert ended(node, one)["QueryStatus"] == "CANCELLED", "it was reading before the store was deleted"
    for one in queued:
        result = ended(node, one)
        assert result["QueryStatus"] == "FAILED" and "was deleted" in result["ErrorMessage"], result
    assert until_imported(node, begun) == "STOPPED"
    with pytest.raises(ClientError):
        start_import(node, tables.orders, source)
    refused = node.run("import", str(tmp_path / "logs"), "--into", tables.orders, "--data", str(node.data))
    assert refused.returncode == 1 and tables.orders in refused.stderr, refused.stderr
    assert tally(node, tables.other)[0] >= 50
    cloudtrail.restore_event_data_store(EventDataStore=arn_of(tables.orders))
    n, ids = tally(node, tables.orders)
    assert n == ids >= 300
    again = start_import(node, tables.orders, source)
    assert until_imported(node, again) == "COMPLETED"
    until_there(node, tables.orders, 10_300)
    assert "panicked" not in node.log.read_text()


def test_a_stopped_store_takes_no_new_events_and_answers(tables):
    node = tables.node
    cloudtrail = node.client("cloudtrail")
    query = running(node, ENDLESS.format(tables.orders))
    cloudtrail.stop_event_data_store_ingestion(EventDataStore=arn_of(tables.orders))
    post(node, events(20, days=0))
    cloudtrail.start_event_data_store_ingestion(EventDataStore=arn_of(tables.orders))
    post(node, events(30, days=0))
    until_there(node, tables.orders, 330)
    cloudtrail.cancel_query(QueryId=query)
    assert ended(node, query)["QueryStatus"] == "CANCELLED"


@needs_faketime
def test_a_store_removed_for_good_is_gone_and_nothing_else(tables):
    node = tables.node
    node.client("cloudtrail").delete_event_data_store(EventDataStore=arn_of(tables.orders))
    node.stop()
    node.extra_env = wrong_clock("+8d")
    node.start()
    until(lambda: not list(tables.table.rglob("*.*")))
    until(lambda: not (node.data / "tables" / tables.orders).exists())
    # A restart does not bring it back.
    node.kill()
    node.extra_env = {}
    node.start()
    assert tally(node, tables.other)[0] >= 50
    until(lambda: health(node)["lake"]["state"] == "ready")
    assert not list(tables.table.rglob("*.*"))


# --- queries that never end ------------------------------------------------------------------------


def test_endless_queries_hold_up_nobody(node_with):
    """Two at once may run; a third waits, and is answered when one is cancelled. Meanwhile events are
    taken and looked up."""
    node = node_with(config=QUICK + "[queries]\nmemory_bytes_max = 67108864\nspill_bytes_max = 50000000\n")
    store = make_store(node)
    ids = post(node, events(400))
    until_there(node, store, 400)
    cloudtrail = node.client("cloudtrail")
    endless = [running(node, ENDLESS.format(store)) for _ in range(2)]
    is_running = lambda query: cloudtrail.describe_query(QueryId=query)["QueryStatus"] == "RUNNING"  # noqa: E731
    with Load(node, batch=20, rest=0.05, eventSource=SOURCE) as load:
        waiting = start(node, f"SELECT count(*) FROM {store}")
        until(lambda: len(load.acknowledged) > 500, wait=60)
        until(lambda: len(ids_in_history(node)) > 600, wait=60)
        assert all(is_running(query) for query in endless), [cloudtrail.get_query_results(QueryId=query) for query in endless]
        assert cloudtrail.describe_query(QueryId=waiting)["QueryStatus"] == "QUEUED"
        cloudtrail.cancel_query(QueryId=endless[0])
        assert ended(node, endless[0])["QueryStatus"] == "CANCELLED"
        assert ended(node, waiting)["QueryStatus"] == "FINISHED", "the thread of the cancelled one is free"
        # What would take all memory or disk is told so.
        message = failure(node, f"SELECT array_agg(a.eventJson) FROM {store} a CROSS JOIN {store} b", wait=120)
        assert "exhausted" in message, message
    assert not load.refused
    until_there(node, store, len(ids | load.acknowledged))
    node.kill()
    node.start()
    # It was running when the server was killed, and runs again; nobody has to wait for it.
    until_there(node, store, len(ids | load.acknowledged))
    node.client("cloudtrail").cancel_query(QueryId=endless[1])
    assert ended(node, endless[1])["QueryStatus"] == "CANCELLED"
    assert not list((node.data / "spill").rglob("*.arrow")), "nothing is left of what was put aside"
    assert "panicked" not in node.log.read_text()
