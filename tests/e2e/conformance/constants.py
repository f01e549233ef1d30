"""What the node of the test is like, and what its data is made of."""

ACCOUNT = "111111111111"
# The accounts of an organization: its management account and five members, of which the last is never a delegated
# administrator.
ORGANIZED = [digit * 12 for digit in "345678"]
BUCKET = "conformance-logs"
TAGS = [{"Key": "team", "Value": "audit"}]
UNKNOWN_UUID = "4e0b29e5-2c1f-4a0a-a9b4-6d2b1c9c7f10"
# Room for all that cases make, and still to be reached within a second or two.
TRAILS_MAX = 40
STORES_MAX = 60
QUERIES_MAX = 10
CONFIG = f"""
trails_per_region_max = {TRAILS_MAX}
event_data_stores_per_region_max = {STORES_MAX}
flush_interval = "500ms"
digest_interval = "2s"
[queries]
unfinished_max = {QUERIES_MAX}
"""
# Every operator once.
OPERATORS = {name: ["Nonesuch"] for name in ("Equals", "StartsWith", "EndsWith", "NotEquals", "NotStartsWith", "NotEndsWith")}
EVERY_OPERATOR = [{"Field": "eventName", **OPERATORS}, {"Field": "eventCategory", "Equals": ["Management"]}]


def selectors(category: str) -> list[dict]:
    return [{"Name": category, "FieldSelectors": [{"Field": "eventCategory", "Equals": [category]}]}]
