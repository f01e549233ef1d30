"""Organizations: what members do goes into the organization's trail and event data store, and nowhere else."""

import json
import os
import re
import subprocess
import time

import pytest

from conftest import list_keys, raw_log_file, until
from test_access import cairn, client, refusal, rows, told

MANAGEMENT, MEMBER, DELEGATE, STRANGER = "111111111111", "222222222222", "333333333333", "444444444444"
BUCKET = "organization-logs"


@pytest.fixture
def accounts(node) -> dict:
    return organized(node)


def organized(node) -> dict:
    """An organization of the operator's account with a member and a delegated administrator, and a stranger."""
    keys = {id: told(node, "account", "create", f"account-{id[0]}", "--id", id) for id in (MEMBER, DELEGATE, STRANGER)}
    cairn(node, "account", "organization", "create")
    for member in (MEMBER, DELEGATE):
        cairn(node, "account", "organization", "add", member)
    node.client("cloudtrail").register_organization_delegated_admin(MemberAccountId=DELEGATE)
    return keys


@pytest.fixture
def organization(node, accounts) -> str:
    return organization_of(node)


def organization_of(node) -> str:
    return told(node, "account", "organization", "show")["organizations"][0]["organization"]


def aws(node, key: dict, *arguments: str) -> subprocess.CompletedProcess:
    """The AWS CLI, as whoever has the key."""
    credentials = {"AWS_ACCESS_KEY_ID": key["accessKeyId"], "AWS_SECRET_ACCESS_KEY": key["secretAccessKey"]}
    env = {**node.env, **credentials, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return subprocess.run(["aws", *arguments], env=env, capture_output=True, text=True, timeout=120)


def bucket_with_policy(node, organization: str, arn: str) -> None:
    """The policy that AWS documents for organization trails: one may have been an account's before."""
    s3 = node.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    service = {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}}
    source = {"aws:SourceArn": arn}
    write = {**source, "s3:x-amz-acl": "bucket-owner-full-control"}
    folder = f"arn:aws:s3:::{BUCKET}/AWSLogs"
    statements = [
        {**service, "Action": "s3:GetBucketAcl", "Resource": f"arn:aws:s3:::{BUCKET}", "Condition": {"StringEquals": source}},
        {**service, "Action": "s3:PutObject", "Resource": f"{folder}/{MANAGEMENT}/*", "Condition": {"StringEquals": write}},
        {**service, "Action": "s3:PutObject", "Resource": f"{folder}/{organization}/*", "Condition": {"StringEquals": write}},
    ]
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))


def touch(node, key: dict, name: str) -> None:
    """A management event in the account of the key."""
    assert refusal(lambda: client(node, key).get_trail(Name=name))[0] == "TrailNotFoundException"


def delivered(node, folder: str) -> str:
    """All that lies in log files under a folder."""
    s3 = node.client("s3")
    keys = [key for key in list_keys(s3, BUCKET) if key.startswith(folder) and "/CloudTrail/" in key and key.endswith(".gz")]
    return "".join(raw_log_file(s3, BUCKET, key).decode() for key in keys)


def test_the_organization_is_told_of_as_aws_does(node, accounts, organization):
    described = node.aws_json("organizations", "describe-organization")["Organization"]
    assert re.fullmatch(r"o-[a-z0-9]{10}", described["Id"]) and described["Id"] == organization
    assert described["MasterAccountId"] == MANAGEMENT and described["FeatureSet"] == "ALL"
    assert described["Arn"] == f"arn:aws:organizations::{MANAGEMENT}:organization/{organization}"
    member = client(node, accounts[MEMBER], "organizations")
    assert member.describe_organization()["Organization"]["Id"] == organization
    assert refusal(member.list_accounts)[0] == "AccessDeniedException"
    stranger = client(node, accounts[STRANGER], "organizations")
    assert refusal(stranger.describe_organization)[0] == "AWSOrganizationsNotInUseException"
    own = client(node, accounts[DELEGATE], "organizations")
    listed = [one["Id"] for page in own.get_paginator("list_accounts").paginate(PaginationConfig={"PageSize": 1}) for one in page["Accounts"]]
    assert listed == [MANAGEMENT, MEMBER, DELEGATE]
    assert [one["Id"] for one in own.list_delegated_administrators()["DelegatedAdministrators"]] == [DELEGATE]
    # Only the operator declares.
    env = {"AWS_ENDPOINT_URL": node.endpoint, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": accounts[MEMBER]["accessKeyId"],
           "AWS_SECRET_ACCESS_KEY": accounts[MEMBER]["secretAccessKey"]}
    from conftest import binary

    done = subprocess.run([binary(), "account", "organization", "add", STRANGER], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "Only principals of account 111111111111" in done.stderr
    names = [event["EventName"] for event in until(lambda: node.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventSource", "AttributeValue": "organizations.amazonaws.com"}])["Events"])]
    assert {"CreateOrganization", "InviteAccountToOrganization", "DescribeOrganization"} <= set(names)
    # It survives a restart.
    node.kill()
    node.start()
    assert node.client("organizations").describe_organization()["Organization"] == described


def test_three_accounts_can_be_delegated_administrators(node, accounts):
    own = node.client("cloudtrail")
    more = ["555555555555", "666666666666", "777777777777"]
    for account in more:
        cairn(node, "account", "create", f"account-{account[0]}", "--id", account)
        cairn(node, "account", "organization", "add", account)
    for account in more[:2]:
        own.register_organization_delegated_admin(MemberAccountId=account)
    refused = refusal(lambda: own.register_organization_delegated_admin(MemberAccountId=more[2]))
    assert refused[0] == "DelegatedAdminAccountLimitExceededException"
    member = client(node, accounts[MEMBER])
    refused = refusal(lambda: member.register_organization_delegated_admin(MemberAccountId=more[2]))
    assert refused[0] == "NotOrganizationManagementAccountException"
    stranger = client(node, accounts[STRANGER])
    refused = refusal(lambda: stranger.register_organization_delegated_admin(MemberAccountId=MEMBER))
    assert refused[0] == "OrganizationsNotInUseException"


def test_a_member_s_logs_lie_in_the_organization_s_folder_and_validate(node, accounts, organization):
    arn = f"arn:aws:cloudtrail:us-east-1:{MANAGEMENT}:trail/everybody"
    bucket_with_policy(node, organization, arn)
    delegate, member, stranger = (client(node, accounts[id]) for id in (DELEGATE, MEMBER, STRANGER))
    given = {"Name": "everybody", "S3BucketName": BUCKET, "IsOrganizationTrail": True, "EnableLogFileValidation": True}
    assert refusal(lambda: member.create_trail(**given))[0] == "NotOrganizationMasterAccountException"
    assert refusal(lambda: stranger.create_trail(**given))[0] == "OrganizationsNotInUseException"
    # The management account owns what a delegated administrator makes.
    made = delegate.create_trail(**given)
    assert made["TrailARN"] == arn and made["IsOrganizationTrail"] is True
    assert refusal(lambda: delegate.start_logging(Name="everybody"))[0] == "TrailNotFoundException"
    delegate.start_logging(Name=arn)

    # Members see it and cannot change it; strangers do not see it.
    assert [trail["TrailARN"] for trail in member.describe_trails()["trailList"]] == [arn]
    assert [trail["TrailARN"] for trail in member.list_trails()["Trails"]] == [arn]
    assert member.get_trail(Name=arn)["Trail"]["IsOrganizationTrail"] is True
    assert member.get_trail_status(Name=arn)["IsLogging"] is True
    assert refusal(lambda: member.stop_logging(Name="everybody"))[0] == "TrailNotFoundException"
    for change in (
        lambda: member.stop_logging(Name=arn),
        lambda: member.delete_trail(Name=arn),
        lambda: member.update_trail(Name=arn, IsMultiRegionTrail=True),
        lambda: member.add_tags(ResourceId=arn, TagsList=[{"Key": "mine"}]),
        lambda: delegate.update_trail(Name=arn, IsOrganizationTrail=False),
    ):
        assert refusal(change)[0] == "NotOrganizationMasterAccountException"
    assert stranger.describe_trails()["trailList"] == []
    assert refusal(lambda: stranger.get_trail(Name=arn))[0] == "TrailNotFoundException"

    touch(node, accounts[MEMBER], "by-the-member")
    touch(node, accounts[STRANGER], "by-the-stranger")
    folder = f"AWSLogs/{organization}"
    until(lambda: "by-the-member" in delivered(node, f"{folder}/{MEMBER}/CloudTrail/"))
    # A new member is taken in, one that left no longer.
    cairn(node, "account", "organization", "add", STRANGER)
    touch(node, accounts[STRANGER], "after-joining")
    until(lambda: "after-joining" in delivered(node, f"{folder}/{STRANGER}/CloudTrail/"))
    cairn(node, "account", "organization", "remove", STRANGER)
    touch(node, accounts[STRANGER], "after-leaving")
    touch(node, accounts[MEMBER], "much-later")
    until(lambda: "much-later" in delivered(node, f"{folder}/{MEMBER}/CloudTrail/"))
    everything = delivered(node, "")
    assert "by-the-stranger" not in everything and "after-leaving" not in everything
    assert "by-the-member" not in delivered(node, f"{folder}/{STRANGER}/")
    assert all(key.startswith(f"{folder}/") for key in list_keys(node.client("s3"), BUCKET))

    # Digests of each, which the AWS CLI verifies.
    def verified(account: str) -> str:
        done = node.aws("cloudtrail", "validate-logs", "--trail-arn", arn, "--account-id", account, "--start-time", "2020-01-01T00:00:00Z", "--verbose", check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    for account in (MEMBER, STRANGER, MANAGEMENT):
        until(lambda account=account: re.search(r"[1-9]\d*/\d+ log files valid", verified(account)), wait=60, every=2)
    # The chain of the one that left has ended.
    digests = lambda: [key for key in list_keys(node.client("s3"), BUCKET) if f"{folder}/{STRANGER}/CloudTrail-Digest/" in key]
    time.sleep(4)
    ended = digests()
    time.sleep(5)
    assert digests() == ended
    done = cairn(node, "verify", f"s3://{BUCKET}", check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_who_was_a_member_and_what_the_trail_was_counts_at_the_event_also_after_a_kill(node_with):
    """Nothing is delivered before the kill, so all of it is judged again from the journal."""
    node = node_with("--flush-interval", "4s")
    keys, organization = organized(node), organization_of(node)
    cloudtrail = node.client("cloudtrail")
    arn = f"arn:aws:cloudtrail:us-east-1:{MANAGEMENT}:trail/turning"
    bucket_with_policy(node, organization, arn)
    cloudtrail.create_trail(Name="turning", S3BucketName=BUCKET, EnableLogFileValidation=True)
    cloudtrail.start_logging(Name="turning")
    touch(node, keys[MEMBER], "before-the-turn")
    assert cloudtrail.update_trail(Name="turning", IsOrganizationTrail=True)["IsOrganizationTrail"] is True
    touch(node, keys[MEMBER], "as-a-member")
    touch(node, keys[DELEGATE], "as-a-delegate")
    cairn(node, "account", "organization", "remove", MEMBER)
    touch(node, keys[MEMBER], "outside")
    cairn(node, "account", "organization", "add", MEMBER)
    touch(node, keys[MEMBER], "back-again")
    assert cloudtrail.update_trail(Name="turning", IsOrganizationTrail=False)["IsOrganizationTrail"] is False
    touch(node, keys[MEMBER], "after-the-turn")
    refusal(lambda: cloudtrail.get_trail(Name="the-last"))
    node.kill()
    node.start()
    until(lambda: "the-last" in delivered(node, f"AWSLogs/{MANAGEMENT}/CloudTrail/"))
    folder = f"AWSLogs/{organization}"
    until(lambda: "back-again" in delivered(node, f"{folder}/{MEMBER}/"))
    until(lambda: "as-a-delegate" in delivered(node, f"{folder}/{DELEGATE}/"))
    everything = delivered(node, "")
    assert "as-a-member" in everything
    assert not [word for word in ("before-the-turn", "outside", "after-the-turn") if word in everything]
    done = cairn(node, "verify", f"s3://{BUCKET}", check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_organization_s_store_takes_every_member_and_delegated_administrators_ask_it(node, accounts, organization):
    own = node.client("cloudtrail")
    delegate, member, stranger = (client(node, accounts[id]) for id in (DELEGATE, MEMBER, STRANGER))
    assert refusal(lambda: member.create_event_data_store(Name="all", OrganizationEnabled=True))[0] == "NotOrganizationMasterAccountException"
    made = delegate.create_event_data_store(Name="all", OrganizationEnabled=True, TerminationProtectionEnabled=False)
    arn = made["EventDataStoreArn"]
    assert made["OrganizationEnabled"] is True and f":{MANAGEMENT}:" in arn
    store = arn.rsplit("/", 1)[1]
    touch(node, accounts[MEMBER], "by-the-member")
    touch(node, accounts[STRANGER], "by-the-stranger")
    touch(node, accounts[DELEGATE], "by-the-delegate")
    statement = f"SELECT recipientAccountId FROM {store} WHERE eventName = 'GetTrail' ORDER BY recipientAccountId"
    until(lambda: rows(own, statement) == [[MEMBER], [DELEGATE]])

    # The generated policy names them, and lets them in.
    policy = json.loads(own.get_resource_policy(ResourceArn=arn)["DelegatedAdminResourcePolicy"])
    assert policy["Statement"][0]["Principal"]["AWS"] == [f"arn:aws:iam::{DELEGATE}:root"]
    assert rows(delegate, statement) == [[MEMBER], [DELEGATE]]
    assert delegate.get_event_data_store(EventDataStore=arn)["OrganizationEnabled"] is True
    assert [one["EventDataStoreArn"] for one in delegate.list_event_data_stores()["EventDataStores"]] == [arn]
    delegate.stop_event_data_store_ingestion(EventDataStore=arn)
    delegate.start_event_data_store_ingestion(EventDataStore=arn)
    assert refusal(lambda: delegate.update_event_data_store(EventDataStore=arn, OrganizationEnabled=False))[0] == "NotOrganizationMasterAccountException"
    # Members and strangers do not even see it.
    for other in (member, stranger):
        assert other.list_event_data_stores()["EventDataStores"] == []
        assert refusal(lambda other=other: other.start_query(QueryStatement=statement))[0] == "InvalidQueryStatementException"
        assert refusal(lambda other=other: other.get_event_data_store(EventDataStore=arn))[0] == "AccessDeniedException"
        assert refusal(lambda other=other: other.delete_event_data_store(EventDataStore=arn))[0] == "EventDataStoreNotFoundException"
    # One that is no longer a delegated administrator is a member like others.
    own.deregister_organization_delegated_admin(DelegatedAdminAccountId=DELEGATE)
    assert refusal(lambda: delegate.get_event_data_store(EventDataStore=arn))[0] == "AccessDeniedException"
    assert refusal(lambda: own.get_resource_policy(ResourceArn=arn))[0] == "ResourcePolicyNotFoundException"
    # The management account makes it its own, and the members' events stay out from then on.
    assert own.update_event_data_store(EventDataStore=arn, OrganizationEnabled=False)["OrganizationEnabled"] is False
    touch(node, accounts[MEMBER], "too-late")
    refusal(lambda: own.get_trail(Name="own"))
    until(lambda: rows(own, statement) == [[MANAGEMENT], [MEMBER], [DELEGATE]])


def test_policies_can_ask_for_the_organization(node, accounts, organization, tmp_path):
    """`aws:PrincipalOrgID` on a bucket: members get in, strangers do not."""
    s3 = node.client("s3")
    s3.create_bucket(Bucket="shared")
    s3.put_object(Bucket="shared", Key="k", Body=b"for members")
    statement = {
        "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::shared/*",
        "Condition": {"StringEquals": {"aws:PrincipalOrgID": organization}},
    }
    s3.put_bucket_policy(Bucket="shared", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    assert client(node, accounts[MEMBER], "s3").get_object(Bucket="shared", Key="k")["Body"].read() == b"for members"
    assert refusal(lambda: client(node, accounts[STRANGER], "s3").get_object(Bucket="shared", Key="k"))[0] == "AccessDenied"
