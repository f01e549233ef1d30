-- The managed dashboards: built in, the same for everybody, read-only. Ours, Apache-2.0.
--
-- A dashboard is a line "-- dashboard:" with its name, then its widgets: "-- widget:" is the title,
-- "-- view:" what it is drawn as and by which columns, then one SELECT up to a semicolon.
-- $EventDataStoreId$, '$StartTime$', '$EndTime$' and '$Period$' stand for what a refresh puts in.
-- Of the names, only AWSCloudTrail-Highlights is AWS's; the others are ours, after the titles in the
-- user guide.

-- dashboard: AWSCloudTrail-Highlights
-- What stands out of the last hours in one event data store.

-- widget: Account activity
-- view: LineChart XAxisColumn=period YAxisColumn=events
SELECT date_trunc('$Period$', eventTime) AS period, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
GROUP BY 1
ORDER BY 1
LIMIT 1000;

-- widget: Top services
-- view: BarChart LabelColumn=eventSource ValueColumn=events
SELECT eventSource, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
GROUP BY 1
ORDER BY events DESC
LIMIT 10;

-- widget: Top users
-- view: BarChart LabelColumn=arn ValueColumn=events
SELECT userIdentity.arn, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND userIdentity.arn IS NOT NULL
GROUP BY 1
ORDER BY events DESC
LIMIT 10;

-- widget: Top errors
-- view: BarChart LabelColumn=errorCode ValueColumn=events
SELECT errorCode, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND errorCode IS NOT NULL
GROUP BY 1
ORDER BY events DESC
LIMIT 10;

-- widget: Top access denied events
-- view: Table
SELECT eventSource, eventName, count(*) AS denials
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND (errorCode LIKE '%AccessDenied%' OR errorCode LIKE '%Unauthorized%')
GROUP BY 1, 2
ORDER BY denials DESC
LIMIT 10;

-- widget: Cross-account access
-- view: LineChart XAxisColumn=period YAxisColumn=events
SELECT date_trunc('$Period$', eventTime) AS period, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND userIdentity.accountId <> recipientAccountId
GROUP BY 1
ORDER BY 1
LIMIT 1000;

-- widget: Root user activity
-- view: Table
SELECT eventTime, eventSource, eventName, sourceIPAddress, errorCode
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND userIdentity.type = 'Root'
ORDER BY eventTime DESC
LIMIT 50;

-- widget: Destructive actions
-- view: Table
SELECT userIdentity.arn, eventName, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND (eventName LIKE 'Delete%' OR eventName LIKE 'Terminate%' OR eventName LIKE 'Remove%' OR eventName LIKE 'Revoke%')
    AND errorCode IS NULL
GROUP BY 1, 2
ORDER BY events DESC
LIMIT 10;

-- widget: Active Regions
-- view: BarChart LabelColumn=awsRegion ValueColumn=events
SELECT awsRegion, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
GROUP BY 1
ORDER BY events DESC
LIMIT 10;

-- dashboard: AWSCloudTrail-SecurityMonitoring
-- Refusals, sign-ins, and changes that weaken what protects.

-- widget: Top access denied events
-- view: Table
SELECT eventSource, eventName, count(*) AS denials
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND (errorCode LIKE '%AccessDenied%' OR errorCode LIKE '%Unauthorized%')
GROUP BY 1, 2
ORDER BY denials DESC
LIMIT 10;

-- widget: Failed console sign-ins by use of MFA
-- view: PieChart LabelColumn=mfa_used ValueColumn=attempts
SELECT coalesce(element_at(additionalEventData, 'MFAUsed'), 'unknown') AS mfa_used, count(*) AS attempts
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventName = 'ConsoleLogin'
    AND element_at(responseElements, 'ConsoleLogin') = 'Failure'
GROUP BY 1
ORDER BY attempts DESC
LIMIT 10;

-- widget: Failed console sign-ins by address
-- view: BarChart LabelColumn=sourceIPAddress ValueColumn=attempts
SELECT sourceIPAddress, count(*) AS attempts
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventName = 'ConsoleLogin'
    AND element_at(responseElements, 'ConsoleLogin') = 'Failure'
GROUP BY 1
ORDER BY attempts DESC
LIMIT 10;

-- widget: Console sign-ins of the root user
-- view: Table
SELECT eventTime, recipientAccountId, sourceIPAddress, element_at(responseElements, 'ConsoleLogin') AS outcome
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventName = 'ConsoleLogin'
    AND userIdentity.type = 'Root'
ORDER BY eventTime DESC
LIMIT 50;

-- widget: Destructive actions
-- view: Table
SELECT eventTime, userIdentity.arn, eventName, eventSource, errorCode
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND (eventName LIKE 'Delete%' OR eventName LIKE 'Terminate%' OR eventName LIKE 'Remove%' OR eventName LIKE 'Revoke%')
ORDER BY eventTime DESC
LIMIT 50;

-- widget: Top cross-account access
-- view: Table
SELECT userIdentity.accountId AS calling_account, eventName, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND userIdentity.accountId <> recipientAccountId
GROUP BY 1, 2
ORDER BY events DESC
LIMIT 10;

-- widget: Users who disabled MFA
-- view: Table
SELECT eventTime, userIdentity.arn, eventName, element_at(requestParameters, 'userName') AS user_name, errorCode
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventName IN ('DeactivateMFADevice', 'DeleteVirtualMFADevice')
ORDER BY eventTime DESC
LIMIT 50;

-- widget: Recent security group and network ACL changes
-- view: Table
SELECT eventTime, userIdentity.arn, eventName, requestParameters, errorCode
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'ec2.amazonaws.com'
    AND (eventName LIKE '%SecurityGroup%' OR eventName LIKE '%NetworkAcl%')
    AND readOnly = false
ORDER BY eventTime DESC
LIMIT 50;

-- widget: Security groups opened to the world
-- view: Table
SELECT eventTime, userIdentity.arn, eventName, element_at(requestParameters, 'groupId') AS group_id, element_at(requestParameters, 'ipPermissions') AS permissions
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventName = 'AuthorizeSecurityGroupIngress'
    AND errorCode IS NULL
    AND (eventJson LIKE '%0.0.0.0/0%' OR eventJson LIKE '%::/0%')
ORDER BY eventTime DESC
LIMIT 50;

-- widget: Potential disabling of CloudTrail
-- view: Table
SELECT eventTime, userIdentity.arn, eventName, requestParameters, errorCode
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'cloudtrail.amazonaws.com'
    AND eventName IN ('StopLogging', 'DeleteTrail', 'UpdateTrail', 'PutEventSelectors', 'DeleteEventDataStore', 'StopEventDataStoreIngestion', 'UpdateEventDataStore')
ORDER BY eventTime DESC
LIMIT 50;

-- dashboard: AWSCloudTrail-IAM
-- Who uses and changes IAM.

-- widget: Top APIs
-- view: BarChart LabelColumn=eventName ValueColumn=events
SELECT eventName, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'iam.amazonaws.com'
GROUP BY 1
ORDER BY events DESC
LIMIT 10;

-- widget: Top callers
-- view: BarChart LabelColumn=arn ValueColumn=events
SELECT userIdentity.arn, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'iam.amazonaws.com'
    AND userIdentity.arn IS NOT NULL
GROUP BY 1
ORDER BY events DESC
LIMIT 10;

-- widget: Success and failure
-- view: PieChart LabelColumn=outcome ValueColumn=events
SELECT if(errorCode IS NULL, 'Success', 'Failure') AS outcome, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'iam.amazonaws.com'
GROUP BY 1
ORDER BY events DESC;

-- widget: Top errors
-- view: BarChart LabelColumn=errorCode ValueColumn=events
SELECT errorCode, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'iam.amazonaws.com'
    AND errorCode IS NOT NULL
GROUP BY 1
ORDER BY events DESC
LIMIT 10;

-- widget: Top access denied APIs
-- view: BarChart LabelColumn=eventName ValueColumn=denials
SELECT eventName, count(*) AS denials
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'iam.amazonaws.com'
    AND (errorCode LIKE '%AccessDenied%' OR errorCode LIKE '%Unauthorized%')
GROUP BY 1
ORDER BY denials DESC
LIMIT 10;

-- widget: Top source IP addresses
-- view: BarChart LabelColumn=sourceIPAddress ValueColumn=events
SELECT sourceIPAddress, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'iam.amazonaws.com'
GROUP BY 1
ORDER BY events DESC
LIMIT 10;

-- widget: Recent policy changes
-- view: Table
SELECT eventTime, userIdentity.arn, eventName, requestParameters, errorCode
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'iam.amazonaws.com'
    AND eventName LIKE '%Policy%'
    AND readOnly = false
ORDER BY eventTime DESC
LIMIT 50;

-- widget: Recent user changes
-- view: Table
SELECT eventTime, userIdentity.arn, eventName, element_at(requestParameters, 'userName') AS user_name, errorCode
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'iam.amazonaws.com'
    AND (eventName LIKE '%User%' OR eventName LIKE '%AccessKey%' OR eventName LIKE '%LoginProfile%')
    AND readOnly = false
ORDER BY eventTime DESC
LIMIT 50;

-- widget: Top assumed roles
-- view: BarChart LabelColumn=role_arn ValueColumn=events
SELECT element_at(requestParameters, 'roleArn') AS role_arn, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'sts.amazonaws.com'
    AND eventName LIKE 'AssumeRole%'
GROUP BY 1
ORDER BY events DESC
LIMIT 10;

-- dashboard: AWSCloudTrail-UserActivity
-- What users do, and who is refused.

-- widget: Activity by ARN
-- view: LineChart XAxisColumn=period YAxisColumn=events LabelColumn=arn
SELECT date_trunc('$Period$', eventTime) AS period, userIdentity.arn, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND userIdentity.arn IS NOT NULL
GROUP BY 1, 2
ORDER BY 1, events DESC
LIMIT 1000;

-- widget: Activity by API
-- view: LineChart XAxisColumn=period YAxisColumn=events LabelColumn=eventName
SELECT date_trunc('$Period$', eventTime) AS period, eventName, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
GROUP BY 1, 2
ORDER BY 1, events DESC
LIMIT 1000;

-- widget: Most recent activity
-- view: Table
SELECT eventTime, userIdentity.arn, eventName, eventSource, sourceIPAddress, errorCode
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND userIdentity.arn IS NOT NULL
ORDER BY eventTime DESC
LIMIT 50;

-- widget: Top users with errors
-- view: Table
SELECT userIdentity.arn, errorCode, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND userIdentity.arn IS NOT NULL
    AND errorCode IS NOT NULL
GROUP BY 1, 2
ORDER BY events DESC
LIMIT 10;

-- widget: Top users with access denied
-- view: Table
SELECT userIdentity.arn, eventName, count(*) AS denials
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND userIdentity.arn IS NOT NULL
    AND (errorCode LIKE '%AccessDenied%' OR errorCode LIKE '%Unauthorized%')
GROUP BY 1, 2
ORDER BY denials DESC
LIMIT 10;

-- widget: Users with destructive actions
-- view: Table
SELECT userIdentity.arn, eventName, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND (eventName LIKE 'Delete%' OR eventName LIKE 'Terminate%' OR eventName LIKE 'Remove%' OR eventName LIKE 'Revoke%')
    AND errorCode IS NULL
GROUP BY 1, 2
ORDER BY events DESC
LIMIT 10;

-- widget: Users who change IAM policies
-- view: Table
SELECT userIdentity.arn, eventName, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'iam.amazonaws.com'
    AND eventName LIKE '%Policy%'
    AND readOnly = false
GROUP BY 1, 2
ORDER BY events DESC
LIMIT 10;

-- widget: Actions by privileged users
-- view: Table
SELECT userIdentity.arn, eventSource, eventName, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND (userIdentity.type = 'Root' OR lower(userIdentity.arn) LIKE '%admin%')
    AND readOnly = false
GROUP BY 1, 2, 3
ORDER BY events DESC
LIMIT 10;

-- dashboard: AWSCloudTrail-EnrichedEvents
-- Events with tags and condition keys of their context.

-- widget: Enriched events over time
-- view: LineChart XAxisColumn=period YAxisColumn=events
SELECT date_trunc('$Period$', eventTime) AS period, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventContext IS NOT NULL
GROUP BY 1
ORDER BY 1
LIMIT 1000;

-- widget: Top resource tags
-- view: Table
SELECT k AS tag_key, v AS tag_value, count(*) AS events
FROM $EventDataStoreId$
CROSS JOIN UNNEST(eventContext.tagContext.resourceTags) AS r(resource)
CROSS JOIN UNNEST(resource.tags) AS t(k, v)
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
GROUP BY 1, 2
ORDER BY events DESC
LIMIT 20;

-- widget: Resource tags with resources and users
-- view: Table
SELECT k AS tag_key, v AS tag_value, resource.arn AS resource_arn, userIdentity.arn AS user_arn, count(*) AS events
FROM $EventDataStoreId$
CROSS JOIN UNNEST(eventContext.tagContext.resourceTags) AS r(resource)
CROSS JOIN UNNEST(resource.tags) AS t(k, v)
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
GROUP BY 1, 2, 3, 4
ORDER BY events DESC
LIMIT 20;

-- widget: Top principal tags
-- view: Table
SELECT k AS tag_key, v AS tag_value, count(*) AS events
FROM $EventDataStoreId$
CROSS JOIN UNNEST(eventContext.tagContext.principalTags) AS t(k, v)
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
GROUP BY 1, 2
ORDER BY events DESC
LIMIT 20;

-- widget: Access denied by principal tag
-- view: Table
SELECT k AS tag_key, v AS tag_value, eventName, count(*) AS denials
FROM $EventDataStoreId$
CROSS JOIN UNNEST(eventContext.tagContext.principalTags) AS t(k, v)
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND (errorCode LIKE '%AccessDenied%' OR errorCode LIKE '%Unauthorized%')
GROUP BY 1, 2, 3
ORDER BY denials DESC
LIMIT 20;

-- widget: Condition keys of the principal
-- view: Table
SELECT k AS condition_key, v AS value, count(*) AS events
FROM $EventDataStoreId$
CROSS JOIN UNNEST(eventContext.requestContext) AS t(k, v)
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND k IN ('aws:PrincipalAccount', 'aws:PrincipalArn', 'aws:PrincipalIsAWSService', 'aws:PrincipalOrgID', 'aws:PrincipalServiceName', 'aws:PrincipalType', 'aws:userid', 'aws:username')
GROUP BY 1, 2
ORDER BY events DESC
LIMIT 20;

-- widget: Condition keys of the request
-- view: Table
SELECT k AS condition_key, v AS value, count(*) AS events
FROM $EventDataStoreId$
CROSS JOIN UNNEST(eventContext.requestContext) AS t(k, v)
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND k IN ('aws:RequestedRegion', 'aws:SecureTransport', 'aws:ViaAWSService', 'aws:SourceAccount', 'aws:SourceOrgID', 'aws:CurrentTime')
GROUP BY 1, 2
ORDER BY events DESC
LIMIT 20;

-- widget: Condition keys of the role session
-- view: Table
SELECT k AS condition_key, v AS value, count(*) AS events
FROM $EventDataStoreId$
CROSS JOIN UNNEST(eventContext.requestContext) AS t(k, v)
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND k IN ('aws:FederatedProvider', 'aws:TokenIssueTime', 'aws:MultiFactorAuthAge', 'aws:MultiFactorAuthPresent', 'aws:SourceIdentity')
GROUP BY 1, 2
ORDER BY events DESC
LIMIT 20;

-- dashboard: AWSCloudTrail-ErrorAnalysis
-- Which calls fail, where and why.

-- widget: Errors by service
-- view: BarChart LabelColumn=eventSource ValueColumn=errors
SELECT eventSource, count(*) AS errors
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND errorCode IS NOT NULL
GROUP BY 1
ORDER BY errors DESC
LIMIT 10;

-- widget: Errors by API
-- view: Table
SELECT eventSource, eventName, count(*) AS errors
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND errorCode IS NOT NULL
GROUP BY 1, 2
ORDER BY errors DESC
LIMIT 10;

-- widget: Errors by code
-- view: BarChart LabelColumn=errorCode ValueColumn=errors
SELECT errorCode, count(*) AS errors
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND errorCode IS NOT NULL
GROUP BY 1
ORDER BY errors DESC
LIMIT 10;

-- widget: Errors by message
-- view: Table
SELECT errorCode, errorMessage, count(*) AS errors
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND errorCode IS NOT NULL
GROUP BY 1, 2
ORDER BY errors DESC
LIMIT 10;

-- widget: Access denied by API
-- view: Table
SELECT eventSource, eventName, count(*) AS denials
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND (errorCode LIKE '%AccessDenied%' OR errorCode LIKE '%Unauthorized%')
GROUP BY 1, 2
ORDER BY denials DESC
LIMIT 10;

-- widget: Throttling by API
-- view: Table
SELECT eventSource, eventName, count(*) AS throttled
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND (errorCode LIKE '%Throttl%' OR errorCode LIKE '%LimitExceeded%' OR errorCode LIKE '%SlowDown%')
GROUP BY 1, 2
ORDER BY throttled DESC
LIMIT 10;

-- widget: Users with errors
-- view: Table
SELECT userIdentity.arn, errorCode, count(*) AS errors
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND errorCode IS NOT NULL
    AND userIdentity.arn IS NOT NULL
GROUP BY 1, 2
ORDER BY errors DESC
LIMIT 10;

-- dashboard: AWSCloudTrail-EC2
-- What happens to EC2 and its networks.

-- widget: Management activity
-- view: LineChart XAxisColumn=period YAxisColumn=events LabelColumn=eventName
SELECT date_trunc('$Period$', eventTime) AS period, eventName, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'ec2.amazonaws.com'
    AND readOnly = false
GROUP BY 1, 2
ORDER BY 1, events DESC
LIMIT 1000;

-- widget: Success and failure
-- view: PieChart LabelColumn=outcome ValueColumn=events
SELECT if(errorCode IS NULL, 'Success', 'Failure') AS outcome, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'ec2.amazonaws.com'
GROUP BY 1
ORDER BY events DESC;

-- widget: Top errors
-- view: BarChart LabelColumn=errorCode ValueColumn=errors
SELECT errorCode, count(*) AS errors
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'ec2.amazonaws.com'
    AND errorCode IS NOT NULL
GROUP BY 1
ORDER BY errors DESC
LIMIT 10;

-- widget: Access denied by API
-- view: BarChart LabelColumn=eventName ValueColumn=denials
SELECT eventName, count(*) AS denials
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'ec2.amazonaws.com'
    AND (errorCode LIKE '%AccessDenied%' OR errorCode LIKE '%Unauthorized%')
GROUP BY 1
ORDER BY denials DESC
LIMIT 10;

-- widget: Top launchers
-- view: BarChart LabelColumn=arn ValueColumn=launches
SELECT userIdentity.arn, count(*) AS launches
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'ec2.amazonaws.com'
    AND eventName = 'RunInstances'
    AND errorCode IS NULL
GROUP BY 1
ORDER BY launches DESC
LIMIT 10;

-- widget: Security group and network interface changes
-- view: Table
SELECT eventTime, userIdentity.arn, eventName, requestParameters, errorCode
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'ec2.amazonaws.com'
    AND (eventName LIKE '%SecurityGroup%' OR eventName LIKE '%NetworkInterface%')
    AND readOnly = false
ORDER BY eventTime DESC
LIMIT 50;

-- widget: VPC and route changes
-- view: Table
SELECT eventTime, userIdentity.arn, eventName, requestParameters, errorCode
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'ec2.amazonaws.com'
    AND (eventName LIKE '%Vpc%' OR eventName LIKE '%Route%' OR eventName LIKE '%Subnet%' OR eventName LIKE '%Gateway%')
    AND readOnly = false
ORDER BY eventTime DESC
LIMIT 50;

-- widget: Actions of the root user
-- view: Table
SELECT eventTime, eventName, sourceIPAddress, errorCode
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'ec2.amazonaws.com'
    AND userIdentity.type = 'Root'
ORDER BY eventTime DESC
LIMIT 50;

-- dashboard: AWSCloudTrail-Organizations
-- Activity of an organization and its member accounts.

-- widget: Activity of Organizations
-- view: LineChart XAxisColumn=period YAxisColumn=events
SELECT date_trunc('$Period$', eventTime) AS period, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'organizations.amazonaws.com'
GROUP BY 1
ORDER BY 1
LIMIT 1000;

-- widget: Management of member accounts
-- view: Table
SELECT eventTime, userIdentity.arn, eventName, requestParameters, errorCode
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'organizations.amazonaws.com'
    AND eventName IN ('CreateAccount', 'CreateGovCloudAccount', 'CloseAccount', 'InviteAccountToOrganization', 'RemoveAccountFromOrganization', 'LeaveOrganization', 'MoveAccount')
ORDER BY eventTime DESC
LIMIT 50;

-- widget: Top services of the accounts
-- view: BarChart LabelColumn=eventSource ValueColumn=events
SELECT eventSource, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
GROUP BY 1
ORDER BY events DESC
LIMIT 10;

-- widget: Active accounts by service
-- view: Table
SELECT eventSource, approx_distinct(recipientAccountId) AS accounts, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
GROUP BY 1
ORDER BY accounts DESC, events DESC
LIMIT 20;

-- widget: Top APIs of the accounts
-- view: Table
SELECT eventSource, eventName, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
GROUP BY 1, 2
ORDER BY events DESC
LIMIT 10;

-- widget: Most active accounts
-- view: BarChart LabelColumn=recipientAccountId ValueColumn=events
SELECT recipientAccountId, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
GROUP BY 1
ORDER BY events DESC
LIMIT 10;

-- widget: Access denied over time
-- view: LineChart XAxisColumn=period YAxisColumn=denials LabelColumn=recipientAccountId
SELECT date_trunc('$Period$', eventTime) AS period, recipientAccountId, count(*) AS denials
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND (errorCode LIKE '%AccessDenied%' OR errorCode LIKE '%Unauthorized%')
GROUP BY 1, 2
ORDER BY 1, denials DESC
LIMIT 1000;

-- widget: Accounts with access denied
-- view: Table
SELECT recipientAccountId, eventSource, count(*) AS denials
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND (errorCode LIKE '%AccessDenied%' OR errorCode LIKE '%Unauthorized%')
GROUP BY 1, 2
ORDER BY denials DESC
LIMIT 10;

-- widget: Changes to service control policies
-- view: Table
SELECT eventTime, userIdentity.arn, eventName, requestParameters, errorCode
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'organizations.amazonaws.com'
    AND eventName IN ('CreatePolicy', 'UpdatePolicy', 'DeletePolicy', 'AttachPolicy', 'DetachPolicy', 'EnablePolicyType', 'DisablePolicyType')
ORDER BY eventTime DESC
LIMIT 50;

-- dashboard: AWSCloudTrail-ResourceChanges
-- What is made, changed and removed.

-- widget: Creations and deletions
-- view: LineChart XAxisColumn=period YAxisColumn=events LabelColumn=change
SELECT date_trunc('$Period$', eventTime) AS period, if((eventName LIKE 'Delete%' OR eventName LIKE 'Terminate%'), 'Delete', 'Create') AS change, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND ((eventName LIKE 'Create%' OR eventName LIKE 'Run%') OR (eventName LIKE 'Delete%' OR eventName LIKE 'Terminate%'))
    AND errorCode IS NULL
GROUP BY 1, 2
ORDER BY 1, 2
LIMIT 1000;

-- widget: Top creators
-- view: BarChart LabelColumn=arn ValueColumn=creations
SELECT userIdentity.arn, count(*) AS creations
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND (eventName LIKE 'Create%' OR eventName LIKE 'Run%')
    AND errorCode IS NULL
    AND userIdentity.arn IS NOT NULL
GROUP BY 1
ORDER BY creations DESC
LIMIT 10;

-- widget: Top create APIs
-- view: Table
SELECT eventSource, eventName, count(*) AS creations
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND (eventName LIKE 'Create%' OR eventName LIKE 'Run%')
    AND errorCode IS NULL
GROUP BY 1, 2
ORDER BY creations DESC
LIMIT 10;

-- widget: Top delete APIs
-- view: Table
SELECT eventSource, eventName, count(*) AS deletions
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND (eventName LIKE 'Delete%' OR eventName LIKE 'Terminate%')
    AND errorCode IS NULL
GROUP BY 1, 2
ORDER BY deletions DESC
LIMIT 10;

-- widget: Created outside CloudFormation
-- view: Table
SELECT eventTime, userIdentity.arn, eventName, eventSource, userAgent
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND (eventName LIKE 'Create%' OR eventName LIKE 'Run%')
    AND errorCode IS NULL
    AND coalesce(userIdentity.invokedBy, '') <> 'cloudformation.amazonaws.com'
    AND coalesce(sourceIPAddress, '') <> 'cloudformation.amazonaws.com'
ORDER BY eventTime DESC
LIMIT 50;

-- widget: Changed in the console
-- view: Table
SELECT eventTime, userIdentity.arn, eventName, eventSource, requestParameters
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND sessionCredentialFromConsole = 'true'
    AND readOnly = false
ORDER BY eventTime DESC
LIMIT 50;

-- widget: Changes of access to S3
-- view: Table
SELECT eventTime, userIdentity.arn, eventName, element_at(requestParameters, 'bucketName') AS bucket, errorCode
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 's3.amazonaws.com'
    AND eventName IN ('PutBucketPolicy', 'DeleteBucketPolicy', 'PutBucketAcl', 'PutObjectAcl', 'PutBucketPublicAccessBlock', 'DeleteBucketPublicAccessBlock', 'PutAccountPublicAccessBlock', 'DeleteAccountPublicAccessBlock')
ORDER BY eventTime DESC
LIMIT 50;

-- widget: Changes of access to KMS keys
-- view: Table
SELECT eventTime, userIdentity.arn, eventName, element_at(requestParameters, 'keyId') AS key_id, errorCode
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'kms.amazonaws.com'
    AND eventName IN ('PutKeyPolicy', 'CreateGrant', 'RevokeGrant', 'RetireGrant', 'DisableKey', 'ScheduleKeyDeletion')
ORDER BY eventTime DESC
LIMIT 50;

-- dashboard: AWSCloudTrail-DataEvents
-- All data events.

-- widget: Data events over time
-- view: LineChart XAxisColumn=period YAxisColumn=events
SELECT date_trunc('$Period$', eventTime) AS period, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventCategory = 'Data'
GROUP BY 1
ORDER BY 1
LIMIT 1000;

-- widget: Top services
-- view: BarChart LabelColumn=eventSource ValueColumn=events
SELECT eventSource, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventCategory = 'Data'
GROUP BY 1
ORDER BY events DESC
LIMIT 10;

-- widget: Top APIs
-- view: Table
SELECT eventSource, eventName, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventCategory = 'Data'
GROUP BY 1, 2
ORDER BY events DESC
LIMIT 10;

-- widget: Top Regions
-- view: BarChart LabelColumn=awsRegion ValueColumn=events
SELECT awsRegion, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventCategory = 'Data'
GROUP BY 1
ORDER BY events DESC
LIMIT 10;

-- widget: Throttled APIs
-- view: Table
SELECT eventSource, eventName, count(*) AS throttled
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventCategory = 'Data'
    AND (errorCode LIKE '%Throttl%' OR errorCode LIKE '%LimitExceeded%' OR errorCode LIKE '%SlowDown%')
GROUP BY 1, 2
ORDER BY throttled DESC
LIMIT 10;

-- widget: Top users
-- view: BarChart LabelColumn=arn ValueColumn=events
SELECT userIdentity.arn, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventCategory = 'Data'
    AND userIdentity.arn IS NOT NULL
GROUP BY 1
ORDER BY events DESC
LIMIT 10;

-- dashboard: AWSCloudTrail-LambdaDataEvents
-- Invocations of Lambda functions.

-- widget: Activity
-- view: LineChart XAxisColumn=period YAxisColumn=events
SELECT date_trunc('$Period$', eventTime) AS period, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'lambda.amazonaws.com'
    AND eventCategory = 'Data'
GROUP BY 1
ORDER BY 1
LIMIT 1000;

-- widget: Success and failure
-- view: PieChart LabelColumn=outcome ValueColumn=events
SELECT if(errorCode IS NULL, 'Success', 'Failure') AS outcome, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'lambda.amazonaws.com'
    AND eventCategory = 'Data'
GROUP BY 1
ORDER BY events DESC;

-- widget: Top users
-- view: BarChart LabelColumn=arn ValueColumn=events
SELECT userIdentity.arn, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'lambda.amazonaws.com'
    AND eventCategory = 'Data'
    AND userIdentity.arn IS NOT NULL
GROUP BY 1
ORDER BY events DESC
LIMIT 10;

-- widget: Top functions
-- view: BarChart LabelColumn=function_name ValueColumn=events
SELECT element_at(requestParameters, 'functionName') AS function_name, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'lambda.amazonaws.com'
    AND eventCategory = 'Data'
GROUP BY 1
ORDER BY events DESC
LIMIT 10;

-- widget: Top errors
-- view: BarChart LabelColumn=errorCode ValueColumn=errors
SELECT errorCode, count(*) AS errors
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'lambda.amazonaws.com'
    AND eventCategory = 'Data'
    AND errorCode IS NOT NULL
GROUP BY 1
ORDER BY errors DESC
LIMIT 10;

-- widget: Throttled users
-- view: BarChart LabelColumn=arn ValueColumn=throttled
SELECT userIdentity.arn, count(*) AS throttled
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'lambda.amazonaws.com'
    AND eventCategory = 'Data'
    AND (errorCode LIKE '%Throttl%' OR errorCode LIKE '%LimitExceeded%' OR errorCode LIKE '%SlowDown%')
GROUP BY 1
ORDER BY throttled DESC
LIMIT 10;

-- dashboard: AWSCloudTrail-DynamoDBDataEvents
-- Reads and writes of DynamoDB tables.

-- widget: Activity
-- view: LineChart XAxisColumn=period YAxisColumn=events
SELECT date_trunc('$Period$', eventTime) AS period, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'dynamodb.amazonaws.com'
    AND eventCategory = 'Data'
GROUP BY 1
ORDER BY 1
LIMIT 1000;

-- widget: Success and failure
-- view: PieChart LabelColumn=outcome ValueColumn=events
SELECT if(errorCode IS NULL, 'Success', 'Failure') AS outcome, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'dynamodb.amazonaws.com'
    AND eventCategory = 'Data'
GROUP BY 1
ORDER BY events DESC;

-- widget: Top APIs
-- view: BarChart LabelColumn=eventName ValueColumn=events
SELECT eventName, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'dynamodb.amazonaws.com'
    AND eventCategory = 'Data'
GROUP BY 1
ORDER BY events DESC
LIMIT 10;

-- widget: Top users
-- view: BarChart LabelColumn=arn ValueColumn=events
SELECT userIdentity.arn, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'dynamodb.amazonaws.com'
    AND eventCategory = 'Data'
    AND userIdentity.arn IS NOT NULL
GROUP BY 1
ORDER BY events DESC
LIMIT 10;

-- widget: Top errors
-- view: BarChart LabelColumn=errorCode ValueColumn=errors
SELECT errorCode, count(*) AS errors
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'dynamodb.amazonaws.com'
    AND eventCategory = 'Data'
    AND errorCode IS NOT NULL
GROUP BY 1
ORDER BY errors DESC
LIMIT 10;

-- widget: Throttled users
-- view: BarChart LabelColumn=arn ValueColumn=throttled
SELECT userIdentity.arn, count(*) AS throttled
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'dynamodb.amazonaws.com'
    AND eventCategory = 'Data'
    AND (errorCode LIKE '%Throttl%' OR errorCode LIKE '%LimitExceeded%' OR errorCode LIKE '%SlowDown%')
GROUP BY 1
ORDER BY throttled DESC
LIMIT 10;

-- widget: Throttled APIs
-- view: BarChart LabelColumn=eventName ValueColumn=throttled
SELECT eventName, count(*) AS throttled
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'dynamodb.amazonaws.com'
    AND eventCategory = 'Data'
    AND (errorCode LIKE '%Throttl%' OR errorCode LIKE '%LimitExceeded%' OR errorCode LIKE '%SlowDown%')
GROUP BY 1
ORDER BY throttled DESC
LIMIT 10;

-- widget: Throttled tables
-- view: BarChart LabelColumn=table_name ValueColumn=throttled
SELECT element_at(requestParameters, 'tableName') AS table_name, count(*) AS throttled
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 'dynamodb.amazonaws.com'
    AND eventCategory = 'Data'
    AND (errorCode LIKE '%Throttl%' OR errorCode LIKE '%LimitExceeded%' OR errorCode LIKE '%SlowDown%')
GROUP BY 1
ORDER BY throttled DESC
LIMIT 10;

-- dashboard: AWSCloudTrail-S3DataEvents
-- Reads and writes of S3 objects.

-- widget: Account activity
-- view: LineChart XAxisColumn=period YAxisColumn=events LabelColumn=recipientAccountId
SELECT date_trunc('$Period$', eventTime) AS period, recipientAccountId, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 's3.amazonaws.com'
    AND eventCategory = 'Data'
GROUP BY 1, 2
ORDER BY 1, events DESC
LIMIT 1000;

-- widget: Most accessed objects
-- view: Table
SELECT element_at(requestParameters, 'bucketName') AS bucket, element_at(requestParameters, 'key') AS object_key, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 's3.amazonaws.com'
    AND eventCategory = 'Data'
GROUP BY 1, 2
ORDER BY events DESC
LIMIT 10;

-- widget: Top users
-- view: BarChart LabelColumn=arn ValueColumn=events
SELECT userIdentity.arn, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 's3.amazonaws.com'
    AND eventCategory = 'Data'
    AND userIdentity.arn IS NOT NULL
GROUP BY 1
ORDER BY events DESC
LIMIT 10;

-- widget: Top actions
-- view: BarChart LabelColumn=eventName ValueColumn=events
SELECT eventName, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventSource = 's3.amazonaws.com'
    AND eventCategory = 'Data'
GROUP BY 1
ORDER BY events DESC
LIMIT 10;

-- dashboard: AWSCloudTrail-Insights
-- Insights events; over an event data store of another kind its queries fail.

-- widget: Types of Insights
-- view: PieChart LabelColumn=insightType ValueColumn=insights
SELECT insightType, count(*) AS insights
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND insightState = 'Start'
GROUP BY 1
ORDER BY insights DESC
LIMIT 10;

-- widget: Insights by date
-- view: LineChart XAxisColumn=period YAxisColumn=insights LabelColumn=insightType
SELECT date_trunc('$Period$', eventTime) AS period, insightType, count(*) AS insights
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND insightState = 'Start'
GROUP BY 1, 2
ORDER BY 1, 2
LIMIT 1000;

-- widget: API call rate by source
-- view: BarChart LabelColumn=insightEventSource ValueColumn=insights
SELECT insightEventSource, count(*) AS insights
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND insightState = 'Start'
    AND insightType = 'ApiCallRateInsight'
GROUP BY 1
ORDER BY insights DESC
LIMIT 10;

-- widget: API error rate by source
-- view: BarChart LabelColumn=insightEventSource ValueColumn=insights
SELECT insightEventSource, count(*) AS insights
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND insightState = 'Start'
    AND insightType = 'ApiErrorRateInsight'
GROUP BY 1
ORDER BY insights DESC
LIMIT 10;

-- widget: Top users
-- view: Table
SELECT attribution.insightValue AS user_arn, count(*) AS insights
FROM $EventDataStoreId$
CROSS JOIN UNNEST(insightContext.attributions) AS t(attribution)
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND attribution.attribute = 'userIdentityArn'
GROUP BY 1
ORDER BY insights DESC
LIMIT 10;

-- widget: List of Insights
-- view: Table
SELECT eventTime, insightType, insightState, insightEventSource, insightEventName, insightErrorCode, insightContext.baselineAverage, insightContext.insightAverage
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND insightState IS NOT NULL
ORDER BY eventTime DESC
LIMIT 100;

-- dashboard: AWSCloudTrail-Management
-- Management events: refusals, sign-ins, TLS.

-- widget: Access denied
-- view: Table
SELECT eventSource, eventName, count(*) AS denials
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND managementEvent = true
    AND (errorCode LIKE '%AccessDenied%' OR errorCode LIKE '%Unauthorized%')
GROUP BY 1, 2
ORDER BY denials DESC
LIMIT 10;

-- widget: Errors by user
-- view: Table
SELECT userIdentity.arn, errorCode, count(*) AS errors
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND managementEvent = true
    AND errorCode IS NOT NULL
    AND userIdentity.arn IS NOT NULL
GROUP BY 1, 2
ORDER BY errors DESC
LIMIT 10;

-- widget: Console sign-ins
-- view: Table
SELECT eventTime, userIdentity.arn, sourceIPAddress, element_at(responseElements, 'ConsoleLogin') AS outcome, element_at(additionalEventData, 'MFAUsed') AS mfa_used
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND eventName = 'ConsoleLogin'
ORDER BY eventTime DESC
LIMIT 50;

-- widget: Destructive actions
-- view: Table
SELECT eventTime, userIdentity.arn, eventName, eventSource, errorCode
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND managementEvent = true
    AND (eventName LIKE 'Delete%' OR eventName LIKE 'Terminate%' OR eventName LIKE 'Remove%' OR eventName LIKE 'Revoke%')
ORDER BY eventTime DESC
LIMIT 50;

-- widget: TLS versions
-- view: PieChart LabelColumn=tlsVersion ValueColumn=events
SELECT tlsDetails.tlsVersion, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND managementEvent = true
    AND tlsDetails.tlsVersion IS NOT NULL
GROUP BY 1
ORDER BY events DESC
LIMIT 10;

-- widget: Outdated TLS by user
-- view: Table
SELECT userIdentity.arn, tlsDetails.tlsVersion, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND managementEvent = true
    AND tlsDetails.tlsVersion IN ('TLSv1', 'TLSv1.0', 'TLSv1.1')
GROUP BY 1, 2
ORDER BY events DESC
LIMIT 10;

-- dashboard: AWSCloudTrail-Overview
-- An account at a glance.

-- widget: Account activity
-- view: LineChart XAxisColumn=period YAxisColumn=events LabelColumn=access
SELECT date_trunc('$Period$', eventTime) AS period, if(readOnly, 'Read', 'Write') AS access, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
GROUP BY 1, 2
ORDER BY 1, 2
LIMIT 1000;

-- widget: Top errors
-- view: BarChart LabelColumn=errorCode ValueColumn=errors
SELECT errorCode, count(*) AS errors
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND errorCode IS NOT NULL
GROUP BY 1
ORDER BY errors DESC
LIMIT 10;

-- widget: Most active Regions
-- view: BarChart LabelColumn=awsRegion ValueColumn=events
SELECT awsRegion, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
GROUP BY 1
ORDER BY events DESC
LIMIT 10;

-- widget: Top services
-- view: BarChart LabelColumn=eventSource ValueColumn=events
SELECT eventSource, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
GROUP BY 1
ORDER BY events DESC
LIMIT 10;

-- widget: Most throttled events
-- view: Table
SELECT eventSource, eventName, count(*) AS throttled
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND (errorCode LIKE '%Throttl%' OR errorCode LIKE '%LimitExceeded%' OR errorCode LIKE '%SlowDown%')
GROUP BY 1, 2
ORDER BY throttled DESC
LIMIT 10;

-- widget: Top users
-- view: BarChart LabelColumn=arn ValueColumn=events
SELECT userIdentity.arn, count(*) AS events
FROM $EventDataStoreId$
WHERE eventTime >= '$StartTime$' AND eventTime < '$EndTime$'
    AND userIdentity.arn IS NOT NULL
GROUP BY 1
ORDER BY events DESC
LIMIT 10;
