"""Several accounts: who may do what, with the clients that people use."""

import json
import subprocess

import boto3
import pytest
from botocore.exceptions import ClientError

from conftest import binary, make_event, ndjson, until
from support.lake import FINAL, values
from test_channels import entry, make_channel, make_store

AUDITOR = "222222222222"


def cairn(node, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
    done = subprocess.run([binary(), *arguments, "--data", node.data], capture_output=True, text=True, timeout=60)
    if check:
        assert done.returncode == 0, done.stderr
    return done


def told(node, *arguments: str) -> dict:
    return json.loads(cairn(node, *arguments, "--json").stdout)


def client(node, key: dict, service: str = "cloudtrail"):
    """A client that signs with a key as `cairn` or STS told it."""
    return boto3.client(
        service,
        endpoint_url=node.endpoint,
        region_name="us-east-1",
        aws_access_key_id=key.get("accessKeyId") or key["AccessKeyId"],
        aws_secret_access_key=key.get("secretAccessKey") or key["SecretAccessKey"],
        aws_session_token=key.get("SessionToken"),
    )


def refusal(call) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call()
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def policy(folder, *statements: dict) -> str:
    path = folder / f"policy-{len(list(folder.iterdir()))}.json"
    path.write_text(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))
    return str(path)


def allow(action, resource="*", **more) -> dict:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def user(node, name: str, *options: str) -> dict:
    cairn(node, "account", "user", "create", name, *options)
    account = [option for option in options if option.isdigit()]
    return told(node, "key", "create", "--user", name, *(["--account", *account] if account else []))


def rows(cloudtrail, statement: str, **more) -> list:
    query = cloudtrail.start_query(QueryStatement=statement, **more)["QueryId"]
    asked = {"QueryId": query, **more}
    result = until(lambda: (found := cloudtrail.get_query_results(**asked))["QueryStatus"] in FINAL and found)
    assert result["QueryStatus"] == "FINISHED", result
    return values(result)


def test_a_user_may_do_what_its_policy_says_and_is_told_what_it_may_not(node, tmp_path):
    key = user(node, "ann", "--policy", "read-only")
    ann = client(node, key)
    assert ann.lookup_events()["Events"] is not None
    arn = client(node, key, "sts").get_caller_identity()["Arn"]
    assert arn == "arn:aws:iam::111111111111:user/ann"
    code, message = refusal(lambda: ann.create_event_data_store(Name="mine"))
    assert code == "AccessDeniedException"
    assert message == (
        "User: arn:aws:iam::111111111111:user/ann is not authorized to perform: cloudtrail:CreateEventDataStore on resource: "
        "arn:aws:cloudtrail:us-east-1:111111111111:eventdatastore/* because no identity-based policy allows the "
        "cloudtrail:CreateEventDataStore action"
    )
    s3 = client(node, key, "s3")
    assert s3.list_buckets()["Buckets"] == []
    assert refusal(lambda: s3.create_bucket(Bucket="anns-bucket"))[0] == "AccessDenied"
    # The operator sees what was refused, and to whom.
    seen = until(
        lambda: [
            event
            for event in node.client("cloudtrail").lookup_events(
                LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "CreateEventDataStore"}]
            )["Events"]
        ]
    )
    record = json.loads(seen[0]["CloudTrailEvent"])
    assert (record["errorCode"], record["userIdentity"]["userName"]) == ("AccessDeniedException", "ann")
    assert record["requestParameters"] is None

    path = policy(tmp_path, allow("cloudtrail:*"), {**allow("cloudtrail:StopLogging"), "Effect": "Deny"})
    cairn(node, "account", "policy", "put", "--user", "ann", "more", path)
    ann.create_event_data_store(Name="mine")
    code, message = refusal(lambda: ann.stop_logging(Name="audit"))
    assert code == "AccessDeniedException" and "with an explicit deny in an identity-based policy" in message
    cairn(node, "account", "policy", "delete", "--user", "ann", "more")
    assert refusal(lambda: ann.create_event_data_store(Name="other"))[0] == "AccessDeniedException"


def test_conditions_on_address_and_resource_are_held(node, tmp_path):
    here = {"Condition": {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}}
    elsewhere = {"Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}}
    trail = "arn:aws:cloudtrail:us-east-1:111111111111:trail/${aws:username}-*"
    path = policy(tmp_path, allow("cloudtrail:ListTrails", **here), allow("cloudtrail:LookupEvents", **elsewhere), allow("cloudtrail:GetTrail", trail))
    bob = client(node, user(node, "bob", "--policy", path))
    assert bob.list_trails()["Trails"] == []
    assert refusal(bob.lookup_events)[0] == "AccessDeniedException"
    assert refusal(lambda: bob.get_trail(Name="bob-audit"))[0] == "TrailNotFoundException"
    assert refusal(lambda: bob.get_trail(Name="audit"))[0] == "AccessDeniedException"


def test_a_key_can_be_put_away_and_its_last_use_is_known(node):
    key = user(node, "ann", "--policy", "read-only")
    ann = client(node, key)
    assert ann.list_trails()["Trails"] == []
    listed = cairn(node, "key", "list", "--user", "ann").stdout
    assert key["accessKeyId"] in listed and "active" in listed and "for cloudtrail in us-east-1" in listed
    assert key["secretAccessKey"] not in listed
    cairn(node, "key", "deactivate", key["accessKeyId"])
    assert refusal(ann.list_trails)[0] == "UnrecognizedClientException"
    node.kill()
    node.start()
    ann = client(node, key)
    assert refusal(ann.list_trails)[0] == "UnrecognizedClientException"
    cairn(node, "key", "activate", key["accessKeyId"])
    assert ann.list_trails()["Trails"] == []
    for path in node.data.rglob("*"):
        if path.is_file():
            assert key["secretAccessKey"].encode() not in path.read_bytes(), path
    cairn(node, "key", "delete", key["accessKeyId"])
    assert refusal(ann.list_trails)[0] == "UnrecognizedClientException"
    own = node.credentials["aws_access_key_id"]
    refused = cairn(node, "key", "delete", own, check=False)
    assert refused.returncode == 1 and "deactivate it instead" in refused.stderr


def test_accounts_know_nothing_of_each_other(node):
    made = told(node, "account", "create", "auditors", "--id", AUDITOR)
    other = client(node, made)
    own = node.client("cloudtrail")
    store = own.create_event_data_store(Name="mine")["EventDataStoreArn"]
    assert other.list_event_data_stores()["EventDataStores"] == []
    assert refusal(lambda: other.get_event_data_store(EventDataStore=store.rsplit("/", 1)[1]))[0] == "EventDataStoreNotFoundException"
    assert refusal(lambda: other.get_event_data_store(EventDataStore=store))[0] == "AccessDeniedException"
    assert refusal(lambda: other.delete_event_data_store(EventDataStore=store))[0] == "EventDataStoreNotFoundException"
    # One that is not there is refused in the same words.
    nowhere = store[:-12] + "000000000000"
    words = [refusal(lambda arn=arn: other.get_event_data_store(EventDataStore=arn))[1].replace(arn, "X") for arn in (store, nowhere)]
    assert words[0] == words[1]
    s3 = node.client("s3")
    s3.create_bucket(Bucket="operators-bucket")
    s3.put_object(Bucket="operators-bucket", Key="k", Body=b"secret")
    theirs = client(node, made, "s3")
    assert theirs.list_buckets()["Buckets"] == []
    assert refusal(lambda: theirs.get_object(Bucket="operators-bucket", Key="k"))[0] == "AccessDenied"
    # Their trail does not write into our bucket either.
    refused = refusal(lambda: other.create_trail(Name="audit", S3BucketName="operators-bucket"))
    assert refused[0] == "InsufficientS3BucketPolicyException"
    # Nor may they administer us, or make accounts.
    env = {
        "AWS_ENDPOINT_URL": node.endpoint,
        "AWS_ACCESS_KEY_ID": made["accessKeyId"],
        "AWS_SECRET_ACCESS_KEY": made["secretAccessKey"],
        "AWS_REGION": "us-east-1",
    }
    for arguments in (["account", "create", "more"], ["account", "user", "list", "--account", "111111111111"]):
        done = subprocess.run([binary(), *arguments], env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "Only principals of account 111111111111" in done.stderr
    done = subprocess.run([binary(), "account", "user", "list"], env=env, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"arn:aws:iam::{AUDITOR}:user/admin  AdministratorAccess\n", done.stderr


def test_an_auditor_of_another_account_asks_our_store_and_nobody_else_does(node, tmp_path):
    auditors = client(node, told(node, "account", "create", "auditors", "--id", AUDITOR))
    strangers = client(node, told(node, "account", "create", "strangers", "--id", "333333333333"))
    own = node.client("cloudtrail")
    arn = own.create_event_data_store(Name="orders")["EventDataStoreArn"]
    store = arn.rsplit("/", 1)[1]
    status, _ = node.post(ndjson([make_event(eventName="CreateOrder")]))
    assert status == 200
    statement = f"SELECT count(*) AS n FROM {store} WHERE eventName = 'CreateOrder'"
    until(lambda: rows(own, statement) == [["1"]])
    owner = {"EventDataStoreOwnerAccountId": "111111111111"}
    assert refusal(lambda: auditors.start_query(QueryStatement=statement, **owner))[0] == "AccessDeniedException"

    def granting(**change) -> str:
        actions = ["cloudtrail:StartQuery", "cloudtrail:GetQueryResults", "cloudtrail:DescribeQuery", "cloudtrail:GetEventDataStore"]
        statement = {**allow(actions, arn), "Principal": {"AWS": AUDITOR}, **change}
        return json.dumps({"Version": "2012-10-17", "Statement": [statement]})

    for bad in (granting(Action="cloudtrail:DeleteEventDataStore"), granting(Resource="*"), "{}", granting(Effect="Maybe")):
        assert refusal(lambda bad=bad: own.put_resource_policy(ResourceArn=arn, ResourcePolicy=bad))[0] == "ResourcePolicyNotValidException"
    assert refusal(lambda: own.get_resource_policy(ResourceArn=arn))[0] == "ResourcePolicyNotFoundException"
    own.put_resource_policy(ResourceArn=arn, ResourcePolicy=granting())
    assert own.get_resource_policy(ResourceArn=arn)["ResourcePolicy"] == granting()
    assert refusal(lambda: auditors.get_resource_policy(ResourceArn=arn))[0] == "ResourceNotFoundException"

    assert rows(auditors, statement, **owner) == [["1"]]
    node.client("s3").create_bucket(Bucket="owners-bucket")
    delivered = {"DeliveryS3Uri": "s3://owners-bucket", **owner}
    assert refusal(lambda: auditors.start_query(QueryStatement=statement, **delivered))[0] == "InvalidParameterException"
    # Without the owner an ID is one's own.
    assert refusal(lambda: auditors.start_query(QueryStatement=statement))[0] == "InvalidQueryStatementException"
    assert auditors.get_event_data_store(EventDataStore=arn)["Name"] == "orders"
    assert refusal(lambda: auditors.delete_event_data_store(EventDataStore=arn))[0] == "EventDataStoreNotFoundException"
    assert refusal(lambda: strangers.start_query(QueryStatement=statement, **owner))[0] == "AccessDeniedException"
    # A query is its asker's, and a policy that is gone closes it.
    query = auditors.start_query(QueryStatement=statement, **owner)["QueryId"]
    assert refusal(lambda: strangers.get_query_results(QueryId=query))[0] == "QueryIdNotFoundException"
    own.delete_resource_policy(ResourceArn=arn)
    assert refusal(lambda: auditors.get_query_results(QueryId=query))[0] == "AccessDeniedException"
    assert refusal(lambda: own.delete_resource_policy(ResourceArn=arn))[0] == "ResourcePolicyNotFoundException"


def test_a_partner_puts_into_our_channel_and_nobody_else(node):
    partner, stranger = (told(node, "account", "create", name, "--id", id) for name, id in (("partner", AUDITOR), ("stranger", "333333333333")))
    own = node.client("cloudtrail")
    store = make_store(node, "shop")
    channel = make_channel(node, "shop", store)
    ours, theirs, others = (node.client("cloudtrail-data"), client(node, partner, "cloudtrail-data"), client(node, stranger, "cloudtrail-data"))

    def put(by, number: int, **more) -> dict:
        return by.put_audit_events(channelArn=channel, auditEvents=[entry(number, eventName=f"Buy-{number}")], **more)

    for other in (theirs, others):
        assert refusal(lambda other=other: put(other, 0))[0] == "ChannelInsufficientPermission"
    statement = {
        "Sid": "Partner", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{AUDITOR}:root"}, "Action": "cloudtrail-data:PutAuditEvents",
        "Resource": channel, "Condition": {"StringEquals": {"cloudtrail:ExternalId": "shop-7"}},
    }
    own.put_resource_policy(ResourceArn=channel, ResourcePolicy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    assert put(theirs, 1, externalId="shop-7")["failed"] == []
    assert put(ours, 2)["failed"] == []
    for asked in (lambda: put(theirs, 3), lambda: put(theirs, 4, externalId="another"), lambda: put(others, 5, externalId="shop-7")):
        assert refusal(asked)[0] == "ChannelInsufficientPermission"
    # What the partner may do ends there.
    for asked in (lambda: client(node, partner).get_channel(Channel=channel), lambda: client(node, partner).delete_channel(Channel=channel)):
        assert refusal(asked)[0] == "ChannelNotFoundException"
    names = f"SELECT eventData.eventName FROM {store.rsplit('/', 1)[1]} ORDER BY 1"
    until(lambda: rows(own, names) == [["Buy-1"], ["Buy-2"]])
    # Without its policy the channel is ours alone again.
    own.delete_resource_policy(ResourceArn=channel)
    assert refusal(lambda: put(theirs, 6, externalId="shop-7"))[0] == "ChannelInsufficientPermission"


def test_a_store_that_is_denied_is_denied_by_every_way(node, tmp_path):
    own = node.client("cloudtrail")
    secret = own.create_event_data_store(Name="secret")["EventDataStoreArn"]
    public = own.create_event_data_store(Name="public")["EventDataStoreArn"]
    ids = [arn.rsplit("/", 1)[1] for arn in (secret, public)]
    both = f"SELECT count(*) AS n FROM {ids[0]} CROSS JOIN {ids[1]}"
    query = own.start_query(QueryStatement=both)["QueryId"]
    alias = own.generate_query(EventDataStores=[secret], Prompt="top users")["QueryAlias"]
    widget = {"QueryStatement": f"SELECT count(*) AS n FROM {ids[0]}", "ViewProperties": {"View": "Table", "Title": "n"}}
    own.create_dashboard(Name="secrets", Widgets=[widget])
    path = policy(tmp_path, allow("*"), {**allow("*", secret), "Effect": "Deny"})
    key = user(node, "ann", "--policy", path)
    ann = client(node, key)
    assert ann.start_query(QueryStatement=f"SELECT count(*) AS n FROM {ids[1]}")["QueryId"]
    for asked in (
        lambda: ann.start_query(QueryStatement=both),
        lambda: ann.start_query(QueryAlias=alias),
        lambda: ann.get_query_results(QueryId=query),
        lambda: ann.get_query_results(QueryId=query, EventDataStore=public),
        lambda: ann.describe_query(QueryId=query, EventDataStore=public),
        lambda: ann.cancel_query(QueryId=query, EventDataStore=public),
        lambda: ann.get_event_data_store(EventDataStore=ids[0]),
        lambda: ann.start_dashboard_refresh(DashboardId="secrets"),
    ):
        code, message = refusal(asked)
        assert (code, secret in message) == ("AccessDeniedException", True), message
    env = {"AWS_ENDPOINT_URL": node.endpoint, "AWS_ACCESS_KEY_ID": key["accessKeyId"], "AWS_SECRET_ACCESS_KEY": key["secretAccessKey"], "AWS_REGION": "us-east-1"}
    looked = [subprocess.run([binary(), "lookup", "--store", store], env=env, capture_output=True, text=True, timeout=60) for store in ids]
    assert looked[0].returncode == 1 and "explicit deny" in looked[0].stderr
    assert looked[1].returncode == 0, looked[1].stderr


def test_a_role_is_assumed_by_whom_it_trusts_and_both_accounts_see_it(node, tmp_path):
    made = told(node, "account", "create", "auditors", "--id", AUDITOR)
    trust = tmp_path / "trust.json"
    trust.write_text(
        json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"AWS": f"arn:aws:iam::{AUDITOR}:root"},
                        "Action": "sts:AssumeRole",
                        "Condition": {"StringEquals": {"sts:ExternalId": "secret-word"}},
                    }
                ],
            }
        )
    )
    cairn(node, "account", "role", "create", "audit", "--trust", str(trust), "--policy", "read-only")
    role = "arn:aws:iam::111111111111:role/audit"
    sts = client(node, made, "sts")
    asked = {"RoleArn": role, "RoleSessionName": "ann"}
    assert refusal(lambda: sts.assume_role(**asked))[0] == "AccessDenied"
    assert refusal(lambda: sts.assume_role(**{**asked, "RoleArn": role + "x"}))[0] == "AccessDenied"
    # The role trusts others, so not even its own account's administrator has it.
    assert refusal(lambda: node.client("sts").assume_role(**asked, ExternalId="secret-word"))[0] == "AccessDenied"
    answer = sts.assume_role(**asked, ExternalId="secret-word", DurationSeconds=900)
    assert answer["AssumedRoleUser"]["Arn"] == "arn:aws:sts::111111111111:assumed-role/audit/ann"
    key = answer["Credentials"]
    node.kill()
    node.start()
    session = client(node, key)
    assert client(node, key, "sts").get_caller_identity()["Account"] == "111111111111"
    assert session.list_trails()["Trails"] == []
    assert refusal(lambda: session.create_event_data_store(Name="mine"))[0] == "AccessDeniedException"
    bounded = json.dumps({"Version": "2012-10-17", "Statement": [allow("cloudtrail:LookupEvents")]})
    answer = client(node, made, "sts").assume_role(**asked, ExternalId="secret-word", Policy=bounded)
    assert refusal(client(node, answer["Credentials"]).list_trails)[0] == "AccessDeniedException"
    assert refusal(client(node, {**key, "SessionToken": key["SessionToken"][:-4] + "AAAA"}).list_trails)[0] == "UnrecognizedClientException"

    def assumed(cloudtrail) -> list[dict]:
        found = cloudtrail.lookup_events(LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "AssumeRole"}])["Events"]
        records = [json.loads(event["CloudTrailEvent"]) for event in found]
        return [record for record in records if "errorCode" not in record]

    ours = until(lambda: (found := assumed(node.client("cloudtrail"))) and len(found) == 2 and found)
    theirs = until(lambda: (found := assumed(client(node, made))) and len(found) == 2 and found)
    assert {record["sharedEventID"] for record in ours} == {record["sharedEventID"] for record in theirs}
    assert ours[0]["userIdentity"] == {"type": "AWSAccount", "principalId": ours[0]["userIdentity"]["principalId"], "accountId": AUDITOR}
    assert theirs[0]["userIdentity"]["userName"] == "admin"
    assert ours[0]["eventID"] != theirs[0]["eventID"]
    # Denials are the asker's to see.
    cairn(node, "account", "role", "delete", "audit")
    assert refusal(session.list_trails)[0] == "UnrecognizedClientException"


def test_administration_is_judged_and_recorded(node, tmp_path):
    path = policy(tmp_path, allow("iam:*", "arn:aws:iam::111111111111:user/team-*"))
    key = user(node, "lead", "--policy", path)
    env = {
        "AWS_ENDPOINT_URL": node.endpoint,
        "AWS_ACCESS_KEY_ID": key["accessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["secretAccessKey"],
        "AWS_REGION": "us-east-1",
    }

    def lead(*arguments: str):
        return subprocess.run([binary(), *arguments], env=env, capture_output=True, text=True, timeout=60)

    assert lead("account", "user", "create", "team-ann").returncode == 0
    refused = lead("account", "user", "create", "bob")
    assert refused.returncode == 1 and "not authorized to perform: iam:CreateUser" in refused.stderr
    for bad, words in ((["a b"], "no name"), (["team-x", "--path", "x"], "no path"), (["team-ann"], "already exists")):
        done = cairn(node, "account", "user", "create", *bad, check=False)
        assert done.returncode == 1 and words in done.stderr, done.stderr
    made = until(
        lambda: [
            record
            for event in node.client("cloudtrail").lookup_events(
                LookupAttributes=[{"AttributeKey": "EventSource", "AttributeValue": "iam.amazonaws.com"}]
            )["Events"]
            if (record := json.loads(event["CloudTrailEvent"]))["eventName"] == "CreateAccessKey"
        ]
    )
    assert made[0]["requestParameters"]["user"] == "lead"
    assert key["secretAccessKey"] not in json.dumps(made)
