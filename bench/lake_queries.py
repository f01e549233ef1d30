"""The questions of the lake's benchmark, in the words of each engine.

Each must give the same rows everywhere: so every order is total (ties are broken by the columns),
texts are compared by their bytes, and a missing text counts as an empty one.
"""

# What takes the place of {…} in the texts: the rare user's name, one eventID, and the table.
NAMES = {
    "count": "count",
    "top_calls": "top 10 (source, name)",
    "errors": "errors by user and code",
    "rare_user": "50 newest events of a rare user",
    "one_event": "one event by eventID",
    "per_hour": "events per hour",
    "addresses": "distinct IP addresses",
    "buckets": "top 10 bucketName of S3 calls",
}

DUCKDB = {
    "count": "SELECT count(*) FROM events",
    "top_calls": "SELECT eventSource, eventName, count(*) AS n FROM events GROUP BY 1, 2 ORDER BY n DESC, 1, 2 LIMIT 10",
    "errors": """SELECT coalesce(arn, '') AS who, errorCode, count(*) AS n FROM events
                 WHERE errorCode IS NOT NULL GROUP BY 1, 2 ORDER BY n DESC, 1, 2 LIMIT 100""",
    "rare_user": """SELECT eventTime, eventSource, eventName, errorCode, sourceIPAddress, eventID FROM events
                    WHERE userName = '{rare_user}' ORDER BY eventTime DESC, eventID LIMIT 50""",
    "one_event": """SELECT eventTime, eventSource, eventName, sourceIPAddress, userAgent FROM events
                    WHERE eventID = '{event_id}'""",
    "per_hour": "SELECT date_trunc('hour', eventTime) AS hour, count(*) AS n FROM events GROUP BY 1 ORDER BY 1",
    "addresses": "SELECT count(DISTINCT sourceIPAddress) FROM events",
    "buckets": """SELECT requestParameters->>'bucketName' AS bucket, count(*) AS n FROM events
                  WHERE eventSource = 's3.amazonaws.com' AND bucket IS NOT NULL
                  GROUP BY 1 ORDER BY n DESC, 1 LIMIT 10""",
}

CLICKHOUSE = {
    "count": "SELECT count() FROM events",
    "top_calls": "SELECT eventSource, eventName, count() AS n FROM events GROUP BY 1, 2 ORDER BY n DESC, 1, 2 LIMIT 10",
    "errors": """SELECT userIdentity.arn AS arn, errorCode, count() AS n FROM events
                 WHERE errorCode != '' GROUP BY 1, 2 ORDER BY n DESC, 1, 2 LIMIT 100""",
    # ClickHouse orders UUIDs by their second half.
    "rare_user": """SELECT eventTime, eventSource, eventName, errorCode, sourceIPAddress, eventID FROM events
                    WHERE userIdentity.userName = '{rare_user}' ORDER BY eventTime DESC, toString(eventID) LIMIT 50""",
    "one_event": """SELECT eventTime, eventSource, eventName, sourceIPAddress, userAgent FROM events
                    WHERE eventID = '{event_id}'""",
    "per_hour": "SELECT toStartOfHour(eventTime) AS hour, count() AS n FROM events GROUP BY 1 ORDER BY 1",
    "addresses": "SELECT uniqExact(sourceIPAddress) FROM events",
    "buckets": """SELECT JSONExtractString(requestParameters, 'bucketName') AS bucket, count() AS n FROM events
                  WHERE eventSource = 's3.amazonaws.com' AND bucket != ''
                  GROUP BY 1 ORDER BY n DESC, 1 LIMIT 10""",
}

# CloudTrail Lake's own dialect; {table} is the event data store's UUID.
CAIRN = {
    "count": "SELECT count(*) FROM {table}",
    "top_calls": "SELECT eventSource, eventName, count(*) AS n FROM {table} GROUP BY 1, 2 ORDER BY n DESC, 1, 2 LIMIT 10",
    "errors": """SELECT coalesce(userIdentity.arn, '') AS arn, errorCode, count(*) AS n FROM {table}
                 WHERE errorCode IS NOT NULL GROUP BY 1, 2 ORDER BY n DESC, 1, 2 LIMIT 100""",
    "rare_user": """SELECT eventTime, eventSource, eventName, errorCode, sourceIPAddress, eventID FROM {table}
                    WHERE userIdentity.userName = '{rare_user}' ORDER BY eventTime DESC, eventID LIMIT 50""",
    "one_event": """SELECT eventTime, eventSource, eventName, sourceIPAddress, userAgent FROM {table}
                    WHERE eventID = '{event_id}'""",
    "per_hour": "SELECT date_trunc('hour', eventTime) AS hour, count(*) AS n FROM {table} GROUP BY 1 ORDER BY 1",
    "addresses": "SELECT count(DISTINCT sourceIPAddress) FROM {table}",
    "buckets": """SELECT element_at(requestParameters, 'bucketName') AS bucket, count(*) AS n FROM {table}
                  WHERE eventSource = 's3.amazonaws.com' AND element_at(requestParameters, 'bucketName') IS NOT NULL
                  GROUP BY 1 ORDER BY n DESC, 1 LIMIT 10""",
}

# Straight over the log files, without an import.
DIRECT = "top_calls"


def same_form(rows) -> list[list[str]]:
    """Rows as texts, alike for every engine: nulls are empty, times have whole seconds."""
    return [["" if value is None else str(value).removesuffix(".000") for value in row] for row in rows]
