"""Event history and event data stores in a bucket of another store: moto's server here, Garage in the
slow tests. A store that cannot keep tables is refused; one that goes away costs nothing."""

import pytest
from botocore.exceptions import ClientError

from conftest import list_keys, until
from support.clock import needs_faketime, wrong_clock
from support.delta import rows_by_deltalake
from support.fault_proxy import Fault, FaultProxy
from support.lake import (
    QUICK,
    SOURCE,
    ask,
    events,
    failure,
    health,
    ids_in_history,
    make_store,
    metric,
    post,
    tally,
    until_in_files,
    until_in_history,
    until_there,
    write_logs,
)
from support.stores import KEY_ID, SECRET, Moto, destination
from support.wire import quiet_port


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    store = Moto(tmp_path_factory.mktemp("moto"))
    yield store
    store.end()


@pytest.fixture
def proxy(moto):
    proxy = FaultProxy(moto.port, quiet_port())
    yield proxy
    proxy.end()


@pytest.fixture
def bucket(moto, request):
    name = f"tables-{abs(hash(request.node.name)) % 10**8}"
    moto.s3().create_bucket(Bucket=name)
    return name


def tables(endpoint: str, url: str, more: str = "", **store) -> str:
    """The configuration that keeps tables there."""
    return QUICK + f'[tables]\nurl = "{url}"\n{more}\n' + destination(endpoint, **store).replace("[destination]", "[tables.store]")


def start_error(node_with, config: str) -> str:
    with pytest.raises(RuntimeError) as failed:
        node_with(config=config)
    assert "the server ended with 1" in str(failed.value), failed.value
    return str(failed.value)


def options(moto) -> dict[str, str]:
    """How delta-rs reaches the store."""
    return {
        "AWS_ENDPOINT_URL": moto.endpoint, "AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true",
    }


def doctor(node, config: str):
    (node.folder / "doctor.toml").write_text(config)
    return node.run("doctor", "--data", str(node.data), "--config", str(node.folder / "doctor.toml"))


@pytest.mark.parametrize("style", ["path", "virtual host"])
def test_tables_in_a_bucket_answer_and_survive_restarts(node_with, moto, proxy, bucket, tmp_path, style):
    if style == "path":
        config, env = tables(proxy.endpoint, f"s3://{bucket}/a/b/"), {}
    else:
        config = tables("http://store.invalid", f"s3://{bucket}", virtual_host_style=True)
        env = {"http_proxy": proxy.endpoint, "no_proxy": "", "NO_PROXY": ""}
    node = node_with(config=config, env=env)
    prefix = "a/b/" if style == "path" else ""
    store = make_store(node)
    ids = post(node, events(200))
    until_there(node, store, 200)
    until_in_history(node, ids)
    s3 = moto.s3()
    until(lambda: [key for key in list_keys(s3, bucket, f"{prefix}{store}/") if key.endswith(".parquet")])
    assert list_keys(s3, bucket, f"{prefix}history/_delta_log/")
    assert not list_keys(s3, bucket, f"{prefix}cairn-probe"), "the probe is removed"
    assert not (node.data / "lake").exists()
    assert any(f"Credential={KEY_ID}/" in request.headers["authorization"] for request in proxy.requests)

    node.kill()
    node.start()
    ids |= post(node, events(100))
    until_there(node, store, 300)
    until_in_history(node, ids)
    assert node.stop() == 0
    node.start()
    until_there(node, store, 300)

    # Straight into the table, twice.
    logs = write_logs(tmp_path / "logs", events(500, days=3))
    for expected in ("500 events", "0 events"):
        done = node.run("import", str(logs), "--into", "orders", "--data", str(node.data))
        assert done.returncode == 0 and done.stdout.startswith(expected), done.stdout + done.stderr
    until_there(node, store, 800)
    node.stop()
    table = f"s3://{bucket}/{prefix}{store}"
    found = [row for row in rows_by_deltalake(table, ["eventid", "eventsource"], options(moto)) if row[1] == SOURCE]
    assert len(found) == len({row[0] for row in found}) == 800
    assert SECRET not in node.log.read_text()


def test_small_files_of_a_bucket_become_one(node_with, moto, bucket):
    node = node_with(config=tables(moto.endpoint, f"s3://{bucket}"))
    store = make_store(node)
    s3 = moto.s3()
    for turn in range(1, 11):
        post(node, events(10, days=0))
        until(lambda: len([k for k in list_keys(s3, bucket, f"{store}/_delta_log/") if k.endswith(".json")]) > turn)
    until(lambda: len(rows_by_deltalake_files(moto, bucket, store)) < 8)
    until_there(node, store, 100)


def rows_by_deltalake_files(moto, bucket: str, store: str) -> list[str]:
    import deltalake

    return deltalake.DeltaTable(f"s3://{bucket}/{store}", storage_options=options(moto)).file_uris()


@needs_faketime
def test_a_deleted_store_leaves_the_bucket(node_with, moto, bucket):
    """Its files go when it can no longer be restored; other stores' stay."""
    node = node_with(config=tables(moto.endpoint, f"s3://{bucket}"))
    stores = [make_store(node, name) for name in ("orders", "other")]
    post(node, events(10))
    for store in stores:
        until_there(node, store, 10)
    arn = f"arn:aws:cloudtrail:us-east-1:111111111111:eventdatastore/{stores[0]}"
    node.client("cloudtrail").delete_event_data_store(EventDataStore=arn)
    failure(node, f"SELECT 1 FROM {stores[0]}")
    assert tally(node, stores[1]) == (10, 10)
    node.stop()
    # By the bucket's clock nothing happens; by the node's, the days in which it could be restored are over.
    node.extra_env = wrong_clock("+8d")
    node.start()
    s3 = moto.s3()
    until(lambda: not list_keys(s3, bucket, f"{stores[0]}/"))
    assert list_keys(s3, bucket, f"{stores[1]}/")


def test_the_store_of_the_destination_serves_tables_too(node_with, moto, bucket):
    node = node_with("--tables", f"s3://{bucket}/lake", config=QUICK + destination(moto.endpoint))
    store = make_store(node)
    post(node, events(20))
    until_there(node, store, 20)
    until(lambda: list_keys(moto.s3(), bucket, f"lake/{store}/cairn_month="))


def test_a_store_that_goes_away_and_comes_back(node_with, moto, proxy, bucket, tmp_path):
    node = node_with(config=tables(proxy.endpoint, f"s3://{bucket}"))
    store = make_store(node)
    ids = post(node, events(50))
    until_there(node, store, 50)
    until_in_history(node, ids)
    until_in_files(node)
    assert health(node)["lake"]["state"] == "ready"

    proxy.plan = lambda request: Fault("reset")
    ids |= post(node, events(50))
    assert node.health() == 200, "events are taken all the same"
    # Footers may be in memory, rows are not.
    message = failure(node, f"SELECT max(userAgent) FROM {store} WHERE eventSource = '{SOURCE}'")
    assert store in message and "cannot be reached now" in message, message
    with pytest.raises(ClientError) as refused:
        ids_in_history(node)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    until(lambda: metric(node, f'cairn_lake_failures_total{{step="commit",table="{store}"}}') > 0)
    until(lambda: health(node)["lake"]["state"] == "failing" and health(node)["lake"]["tablesFailing"] > 0)
    logs = write_logs(tmp_path / "logs", events(100, days=3))
    refused = node.run("import", str(logs), "--into", "orders", "--data", str(node.data))
    assert refused.returncode == 1 and "cannot" in refused.stderr, refused.stderr

    # Also over a restart.
    assert node.stop() == 0, "a store that is away must not keep the server from stopping"
    node.start()
    ids |= post(node, events(50))
    message = failure(node, f"SELECT eventID FROM {store}")
    assert store in message, message
    assert "the store of the tables is away" in node.log.read_text()

    proxy.heal()
    until_there(node, store, 150, wait=90)
    until_in_history(node, ids)
    until(lambda: health(node)["lake"]["state"] == "ready", wait=60)
    again = node.run("import", str(logs), "--into", "orders", "--data", str(node.data))
    assert again.returncode == 0, again.stderr
    until_there(node, store, 250)
    node.kill()
    node.start()
    until_there(node, store, 250)


@pytest.mark.parametrize("kind", ["lose", "status", "tear"])
def test_commits_whose_answers_are_lost_are_there_once(node_with, moto, proxy, bucket, tmp_path, kind):
    faults = {"lose": Fault("lose"), "status": Fault.status(503, "SlowDown"), "tear": Fault("tear")}
    node = node_with(config=tables(proxy.endpoint, f"s3://{bucket}"))
    store = make_store(node)
    turn = iter(range(10**9))

    def plan(request):
        # Every other put of the log fails, and every fifth of anything.
        hit = request.method == "PUT" and ("_delta_log" in request.path and next(turn) % 2 == 0 or next(turn) % 5 == 0)
        return faults[kind] if hit else None

    proxy.plan = plan
    count = 0
    for _ in range(6):
        post(node, events(30))
        count += 30
        until_there(node, store, count)
    logs = write_logs(tmp_path / "logs", events(300, days=2))
    until(lambda: node.run("import", str(logs), "--into", "orders", "--data", str(node.data)).returncode == 0, wait=120)
    until_there(node, store, count + 300)
    until(lambda: proxy.faults(), wait=10)
    proxy.heal()
    node.kill()
    node.start()
    until_there(node, store, count + 300)


def test_a_store_without_conditional_put_is_refused_at_the_start(node_with, moto, proxy, bucket):
    """As Garage, which takes no notice of If-None-Match."""
    forget_conditions(proxy)
    config = tables(proxy.endpoint, f"s3://{bucket}")
    error = start_error(node_with, config)
    assert "If-None-Match" in error and "only_writer" in error and bucket in error, error
    node = node_with(config=tables(proxy.endpoint, f"s3://{bucket}", more="only_writer = true"))
    checked = doctor(node, config)
    assert checked.returncode == 1 and "only_writer" in checked.stdout, checked.stdout
    store = make_store(node)
    post(node, events(40))
    until_there(node, store, 40)
    node.kill()
    node.start()
    post(node, events(40))
    until_there(node, store, 80)


def forget_conditions(proxy) -> None:
    """What passes the proxy says nothing of conditions."""
    plan = proxy.plan

    def forget(request):
        request.withheld = ("if-none-match",)
        return plan(request)

    proxy.plan = forget


def test_a_store_that_says_501_to_conditions_is_refused(node_with, proxy, bucket):
    proxy.plan = lambda request: Fault.status(501, "NotImplemented") if "if-none-match" in request.headers else None
    error = start_error(node_with, tables(proxy.endpoint, f"s3://{bucket}"))
    assert "If-None-Match" in error and "only_writer" in error, error


def test_another_nodes_tables_are_refused(node_with, moto, bucket):
    config = tables(moto.endpoint, f"s3://{bucket}/shared")
    first = node_with(config=config)
    store = make_store(first)
    post(first, events(10))
    until_there(first, store, 10)
    error = start_error(node_with, config)
    assert "belong to another node" in error and "tables.url" in error, error
    # A neighbour is none.
    second = node_with(config=tables(moto.endpoint, f"s3://{bucket}/shared-2"))
    other = make_store(second)
    post(second, events(10))
    until_there(second, other, 10)
    first.stop()
    first.start()
    until_there(first, store, 10)


def test_a_missing_bucket_and_wrong_keys_are_clear_start_errors(node_with, moto, proxy, bucket):
    error = start_error(node_with, tables(moto.endpoint, "s3://never-made-bucket/x"))
    assert "never-made-bucket" in error and "is not there" in error, error
    proxy.plan = lambda request: Fault.status(403, "SignatureDoesNotMatch")
    config = tables(proxy.endpoint, f"s3://{bucket}")
    error = start_error(node_with, config)
    assert "does not let us into" in error and "SignatureDoesNotMatch" in error and SECRET not in error, error
    error = start_error(node_with, QUICK + f'[tables]\nurl = "s3://{bucket}"\n')
    assert "tables.store" in error, error


def test_a_bucket_deleted_or_closed_under_a_running_server(node_with, moto, proxy, bucket):
    node = node_with(config=tables(proxy.endpoint, f"s3://{bucket}"))
    store = make_store(node)
    post(node, events(20))
    until_there(node, store, 20)
    until_in_files(node)
    for status, code in ((404, "NoSuchBucket"), (403, "AccessDenied")):
        proxy.plan = lambda request, status=status, code=code: Fault.status(status, code)
        post(node, events(20))
        message = failure(node, f"SELECT max(userAgent) FROM {store} WHERE eventSource = '{SOURCE}'")
        assert store in message and "cannot be reached now" in message and code in node.log.read_text(), message
        assert node.health() == 200
        proxy.heal()
        until(lambda: ask(node, f"SELECT count(*) FROM {store}")["QueryStatus"] == "FINISHED")
    until_there(node, store, 60)


def test_the_doctor_looks_at_the_bucket(node, moto, bucket):
    good = doctor(node, tables(moto.endpoint, f"s3://{bucket}/x"))
    assert good.returncode == 0 and f"s3://{bucket}/x can be written" in good.stdout, good.stdout
    assert not list_keys(moto.s3(), bucket), "nothing is left behind"
    away = doctor(node, tables(f"http://127.0.0.1:{quiet_port()}", f"s3://{bucket}"))
    assert away.returncode == 1 and "cannot be reached" in away.stdout, away.stdout
    missing = doctor(node, tables(moto.endpoint, "s3://never-made-bucket"))
    assert missing.returncode == 1 and "is not there" in missing.stdout, missing.stdout


@pytest.mark.slow
def test_tables_in_garage_as_the_only_writer(node_with, tmp_path):
    """Garage takes no notice of conditions, so it is refused until the operator says that nobody else writes there."""
    from support.garage import Garage

    (tmp_path / "garage").mkdir()
    garage = Garage(tmp_path / "garage", region="garage")
    try:
        garage.make_bucket("events")
        garage.run("bucket", "allow", "--read", "events", "--key", KEY_ID)
        config = tables(garage.endpoint, "s3://events/node-1", region="garage")
        error = start_error(node_with, config)
        assert "If-None-Match" in error and "only_writer" in error, error
        node = node_with(config=tables(garage.endpoint, "s3://events/node-1", more="only_writer = true", region="garage"))
        store = make_store(node)
        ids = post(node, events(500))
        until_there(node, store, 500)
        until_in_files(node)
        logs = write_logs(tmp_path / "logs", events(2000, days=3))
        assert node.run("import", str(logs), "--into", "orders", "--data", str(node.data)).returncode == 0
        garage.kill()
        ids |= post(node, events(100))
        message = failure(node, f"SELECT max(userAgent) FROM {store} WHERE eventSource = '{SOURCE}'")
        assert store in message and "cannot be reached now" in message, message
        node.kill()
        node.start()
        garage.start()
        until_there(node, store, 2600, wait=120)
        until(lambda: set(ids_in_history(node)) == ids)
        error = start_error(node_with, tables(garage.endpoint, "s3://events/node-1", more="only_writer = true", region="us-east-1"))
        assert "does not let us into" in error and "Region" in error, error
    finally:
        garage.end()
