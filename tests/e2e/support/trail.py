"""One trail named `audit`, its status, and events to deliver."""

from conftest import make_event, ndjson


def start_trail(node, bucket: str, **more) -> str:
    """Makes the trail `audit` with validation, lets it log, and gives its ARN."""
    cloudtrail = node.client("cloudtrail")
    arn = cloudtrail.create_trail(Name="audit", S3BucketName=bucket, EnableLogFileValidation=True, **more)["TrailARN"]
    cloudtrail.start_logging(Name="audit")
    return arn


def status(node) -> dict:
    return node.client("cloudtrail").get_trail_status(Name="audit")


def post(node, count: int = 10, **changes) -> set[str]:
    """Posts events that must all be accepted; their IDs."""
    events = [make_event(**changes) for _ in range(count)]
    code, answer = node.post(ndjson(events))
    assert (code, answer["accepted"]) == (200, count), answer
    return {event["eventID"] for event in events}


def both_ends(node, store) -> dict:
    """Environment for the AWS CLI and `cairn verify`: trails and keys from Cairn, files from the store."""
    return {"AWS_ENDPOINT_URL_CLOUDTRAIL": node.endpoint, "AWS_ENDPOINT_URL_S3": store.endpoint, "AWS_ENDPOINT_URL": ""}
