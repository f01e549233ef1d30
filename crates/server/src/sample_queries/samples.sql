-- Sample queries: what SearchSampleQueries finds and GenerateQuery starts from. Ours, Apache-2.0.
--
-- A sample is lines of "-- name:", "-- description:" and perhaps "-- words:" (more words to find it
-- by), then one SELECT up to a semicolon, its clauses each at the start of a line. Conditions of a
-- WHERE are joined by AND, so that another can be added; "-- slots: none" says that none can.
-- $EDS_ID stands for the event data store.

-- name: Newest events
-- description: The 100 newest events with who did them, from where, and whether they failed.
-- words: latest recent list show all activity
SELECT eventTime, eventSource, eventName, userIdentity.arn, sourceIPAddress, awsRegion, errorCode
FROM $EDS_ID
ORDER BY eventTime DESC
LIMIT 100;

-- name: Number of events
-- description: How many events there are in all.
-- words: count total how many
SELECT count(*) AS events
FROM $EDS_ID;

-- name: Events per hour
-- description: How many events happened in each hour.
-- words: trend volume over time rate histogram hourly
SELECT date_trunc('hour', eventTime) AS hour, count(*) AS events
FROM $EDS_ID
GROUP BY date_trunc('hour', eventTime)
ORDER BY hour DESC
LIMIT 1000;

-- name: Events per day
-- description: How many events happened on each day.
-- words: trend volume over time daily date
SELECT date_trunc('day', eventTime) AS day, count(*) AS events
FROM $EDS_ID
GROUP BY date_trunc('day', eventTime)
ORDER BY day DESC
LIMIT 1000;

-- name: Most frequent API calls
-- description: Services and API calls by number of events.
-- words: top apis popular used event names
SELECT eventSource, eventName, count(*) AS events
FROM $EDS_ID
GROUP BY eventSource, eventName
ORDER BY events DESC
LIMIT 20;

-- name: Most active users
-- description: Users and roles by number of events.
-- words: top callers principals busiest identities people
SELECT userIdentity.arn, count(*) AS events, max(eventTime) AS newest
FROM $EDS_ID
WHERE userIdentity.arn IS NOT NULL
GROUP BY userIdentity.arn
ORDER BY events DESC
LIMIT 20;

-- name: Most used services
-- description: Services by number of events, and how many different users they had.
-- words: top event sources popular
SELECT eventSource, count(*) AS events, approx_distinct(userIdentity.arn) AS users
FROM $EDS_ID
GROUP BY eventSource
ORDER BY events DESC
LIMIT 50;

-- name: Activity by Region
-- description: Regions by number of events, with the newest event of each.
-- words: top regions geography where unused
SELECT awsRegion, count(*) AS events, max(eventTime) AS newest
FROM $EDS_ID
GROUP BY awsRegion
ORDER BY events DESC
LIMIT 50;

-- name: Most frequent source IP addresses
-- description: Addresses by number of events, with the number of users behind each.
-- words: top ips clients origin network
SELECT sourceIPAddress, count(*) AS events, approx_distinct(userIdentity.arn) AS users
FROM $EDS_ID
GROUP BY sourceIPAddress
ORDER BY events DESC
LIMIT 20;

-- name: Number of different source IP addresses per user
-- description: Users who came from the most addresses.
-- words: distinct unique ips shared credentials anomaly
SELECT userIdentity.arn, count(DISTINCT sourceIPAddress) AS addresses, count(*) AS events
FROM $EDS_ID
WHERE userIdentity.arn IS NOT NULL
GROUP BY userIdentity.arn
ORDER BY addresses DESC
LIMIT 20;

-- name: Events from one source IP address
-- description: What was done from an address, newest first. Put the address in.
-- words: ip investigate origin
SELECT eventTime, userIdentity.arn, eventSource, eventName, errorCode
FROM $EDS_ID
WHERE sourceIPAddress = '192.0.2.1'
ORDER BY eventTime DESC
LIMIT 100;

-- name: User agents
-- description: Which tools and SDKs the calls came from.
-- words: clients sdk cli tools software browser
SELECT userAgent, count(*) AS events
FROM $EDS_ID
GROUP BY userAgent
ORDER BY events DESC
LIMIT 50;

-- name: Changes made by a user
-- description: Everything a user did that was not just reading, newest first.
-- words: activity write actions modified trail investigate who
SELECT eventTime, eventSource, eventName, awsRegion, sourceIPAddress, errorCode
FROM $EDS_ID
WHERE readOnly = false
ORDER BY eventTime DESC
LIMIT 100;

-- name: Activity of an access key
-- description: What was done with an access key, newest first. Put the key's ID in.
-- words: credential leaked compromised akia investigate
SELECT eventTime, userIdentity.arn, eventSource, eventName, sourceIPAddress, errorCode
FROM $EDS_ID
WHERE userIdentity.accessKeyId = 'AKIAIOSFODNN7EXAMPLE'
ORDER BY eventTime DESC
LIMIT 100;

-- name: Errors by code
-- description: Error codes by number of events.
-- words: failures failed top error codes problems
SELECT errorCode, count(*) AS events
FROM $EDS_ID
WHERE errorCode IS NOT NULL
GROUP BY errorCode
ORDER BY events DESC
LIMIT 50;

-- name: Errors by user
-- description: Which users met which errors, most frequent first.
-- words: failures failed callers principals problems
SELECT userIdentity.arn, errorCode, count(*) AS events
FROM $EDS_ID
WHERE errorCode IS NOT NULL
GROUP BY userIdentity.arn, errorCode
ORDER BY events DESC
LIMIT 50;

-- name: Errors by service and API call
-- description: Which calls fail most, and why.
-- words: failures failed problems broken
SELECT eventSource, eventName, errorCode, arbitrary(errorMessage) AS example, count(*) AS events
FROM $EDS_ID
WHERE errorCode IS NOT NULL
GROUP BY eventSource, eventName, errorCode
ORDER BY events DESC
LIMIT 50;

-- name: Share of failing calls per service
-- description: For each service, how many calls there were and which part of them failed.
-- words: error rate success failure ratio percent reliability
SELECT eventSource, count(*) AS calls, count_if(errorCode IS NOT NULL) AS failed,
    round(100.0 * count_if(errorCode IS NOT NULL) / count(*), 2) AS failed_percent
FROM $EDS_ID
GROUP BY eventSource
ORDER BY failed DESC
LIMIT 50;

-- name: Access denied by user
-- description: Users who were refused access, to what, and how often.
-- words: unauthorized denied forbidden permission accessdenied unauthorizedoperation
SELECT userIdentity.arn, eventSource, eventName, count(*) AS denials, max(eventTime) AS newest
FROM $EDS_ID
WHERE (errorCode LIKE '%AccessDenied%' OR errorCode LIKE '%Unauthorized%')
GROUP BY userIdentity.arn, eventSource, eventName
ORDER BY denials DESC
LIMIT 50;

-- name: Newest access denials
-- description: The newest refused calls with their messages.
-- words: unauthorized denied forbidden permission accessdenied latest recent
SELECT eventTime, userIdentity.arn, eventSource, eventName, sourceIPAddress, errorMessage
FROM $EDS_ID
WHERE (errorCode LIKE '%AccessDenied%' OR errorCode LIKE '%Unauthorized%')
ORDER BY eventTime DESC
LIMIT 100;

-- name: Throttled calls
-- description: Calls that were slowed down because there were too many, by service and user.
-- words: throttling rate exceeded limit slowdown requestlimitexceeded
SELECT eventSource, eventName, userIdentity.arn, count(*) AS events
FROM $EDS_ID
WHERE (errorCode LIKE '%Throttl%' OR errorCode LIKE '%LimitExceeded%' OR errorCode LIKE '%SlowDown%')
GROUP BY eventSource, eventName, userIdentity.arn
ORDER BY events DESC
LIMIT 50;

-- name: Console sign-ins
-- description: Who signed in to the console, from where, whether with a second factor.
-- words: login logins consolelogin signin mfa browser
SELECT eventTime, userIdentity.arn, sourceIPAddress, element_at(responseElements, 'ConsoleLogin') AS outcome,
    element_at(additionalEventData, 'MFAUsed') AS mfa_used
FROM $EDS_ID
WHERE eventName = 'ConsoleLogin'
ORDER BY eventTime DESC
LIMIT 100;

-- name: Failed console sign-ins
-- description: Sign-ins to the console that did not succeed, by user and address.
-- words: login failure failures consolelogin brute force password signin
SELECT userIdentity.userName, sourceIPAddress, count(*) AS attempts, max(eventTime) AS newest
FROM $EDS_ID
WHERE eventName = 'ConsoleLogin'
    AND element_at(responseElements, 'ConsoleLogin') = 'Failure'
GROUP BY userIdentity.userName, sourceIPAddress
ORDER BY attempts DESC
LIMIT 50;

-- name: Console sign-ins without a second factor
-- description: Successful sign-ins to the console without MFA.
-- words: login logins consolelogin multi-factor signin no mfa
SELECT eventTime, userIdentity.arn, sourceIPAddress, userAgent
FROM $EDS_ID
WHERE eventName = 'ConsoleLogin'
    AND element_at(responseElements, 'ConsoleLogin') = 'Success'
    AND element_at(additionalEventData, 'MFAUsed') = 'No'
ORDER BY eventTime DESC
LIMIT 100;

-- name: Sign-ins by user and day
-- description: On which days each user signed in to the console.
-- words: login logins consolelogin daily activity
SELECT date_trunc('day', eventTime) AS day, userIdentity.arn, count(*) AS sign_ins
FROM $EDS_ID
WHERE eventName = 'ConsoleLogin'
GROUP BY date_trunc('day', eventTime), userIdentity.arn
ORDER BY day DESC
LIMIT 500;

-- name: Root user activity
-- description: What the root user did, newest first.
-- words: root account owner administrator
SELECT eventTime, eventSource, eventName, sourceIPAddress, userAgent, errorCode
FROM $EDS_ID
WHERE userIdentity.type = 'Root'
    AND userIdentity.invokedBy IS NULL
ORDER BY eventTime DESC
LIMIT 100;

-- name: Root user sign-ins
-- description: When the root user signed in to the console, and from where.
-- words: root login consolelogin signin owner
SELECT eventTime, sourceIPAddress, userAgent, element_at(responseElements, 'ConsoleLogin') AS outcome
FROM $EDS_ID
WHERE eventName = 'ConsoleLogin'
    AND userIdentity.type = 'Root'
ORDER BY eventTime DESC
LIMIT 100;

-- name: Created IAM users
-- description: Which users were created, when and by whom.
-- words: createuser new account identity
SELECT eventTime, userIdentity.arn AS created_by, element_at(requestParameters, 'userName') AS user_name, sourceIPAddress
FROM $EDS_ID
WHERE eventSource = 'iam.amazonaws.com'
    AND eventName = 'CreateUser'
ORDER BY eventTime DESC
LIMIT 100;

-- name: Created access keys
-- description: Which access keys were created, for whom and by whom.
-- words: createaccesskey credentials new secret iam
SELECT eventTime, userIdentity.arn AS created_by, element_at(requestParameters, 'userName') AS user_name, sourceIPAddress, errorCode
FROM $EDS_ID
WHERE eventSource = 'iam.amazonaws.com'
    AND eventName = 'CreateAccessKey'
ORDER BY eventTime DESC
LIMIT 100;

-- name: Changes to IAM policies
-- description: Who attached, detached, wrote or deleted policies of users, groups and roles.
-- words: permissions privileges escalation attach put policy grant
SELECT eventTime, userIdentity.arn, eventName, element_at(requestParameters, 'policyArn') AS policy_arn,
    coalesce(element_at(requestParameters, 'userName'), element_at(requestParameters, 'roleName'), element_at(requestParameters, 'groupName')) AS changed
FROM $EDS_ID
WHERE eventSource = 'iam.amazonaws.com'
    AND eventName LIKE '%Policy%'
    AND readOnly = false
ORDER BY eventTime DESC
LIMIT 100;

-- name: Administrator access granted
-- description: Where the policy AdministratorAccess was attached.
-- words: admin privilege escalation attach policy
SELECT eventTime, userIdentity.arn, eventName, requestParameters
FROM $EDS_ID
WHERE eventName IN ('AttachUserPolicy', 'AttachRolePolicy', 'AttachGroupPolicy')
    AND element_at(requestParameters, 'policyArn') LIKE '%/AdministratorAccess'
ORDER BY eventTime DESC
LIMIT 100;

-- name: All changes in IAM
-- description: Who changed users, groups, roles, policies or keys.
-- words: identity access management write user role group
SELECT eventTime, userIdentity.arn, eventName, requestParameters, errorCode
FROM $EDS_ID
WHERE eventSource = 'iam.amazonaws.com'
    AND readOnly = false
ORDER BY eventTime DESC
LIMIT 100;

-- name: Disabled second factors
-- description: Users whose MFA device was deactivated or deleted, and by whom.
-- words: mfa deactivate multi-factor deletevirtualmfadevice
SELECT eventTime, userIdentity.arn AS disabled_by, eventName, element_at(requestParameters, 'userName') AS user_name
FROM $EDS_ID
WHERE eventName IN ('DeactivateMFADevice', 'DeleteVirtualMFADevice')
ORDER BY eventTime DESC
LIMIT 100;

-- name: Assumed roles
-- description: Which roles were assumed, by whom and how often.
-- words: assumerole sts role session switch
SELECT element_at(requestParameters, 'roleArn') AS role_arn, userIdentity.arn, count(*) AS times, max(eventTime) AS newest
FROM $EDS_ID
WHERE eventSource = 'sts.amazonaws.com'
    AND eventName LIKE 'AssumeRole%'
GROUP BY element_at(requestParameters, 'roleArn'), userIdentity.arn
ORDER BY times DESC
LIMIT 50;

-- name: Calls by principals of other accounts
-- description: Who called from another account than the one that was called.
-- words: cross-account cross account external foreign third party
SELECT userIdentity.accountId AS calling_account, recipientAccountId, eventSource, eventName, count(*) AS events
FROM $EDS_ID
WHERE userIdentity.accountId <> recipientAccountId
GROUP BY userIdentity.accountId, recipientAccountId, eventSource, eventName
ORDER BY events DESC
LIMIT 50;

-- name: Activity by account
-- description: Accounts by number of events, users and services.
-- words: accounts recipient member organization
SELECT recipientAccountId, count(*) AS events, approx_distinct(userIdentity.arn) AS users, approx_distinct(eventSource) AS services
FROM $EDS_ID
GROUP BY recipientAccountId
ORDER BY events DESC
LIMIT 50;

-- name: Destructive calls
-- description: Who deleted, terminated, removed or revoked something.
-- words: delete deleted terminate remove destroy drop disable revoke dangerous
SELECT eventTime, userIdentity.arn, eventSource, eventName, requestParameters, errorCode
FROM $EDS_ID
WHERE (eventName LIKE 'Delete%' OR eventName LIKE 'Terminate%' OR eventName LIKE 'Remove%' OR eventName LIKE 'Revoke%')
ORDER BY eventTime DESC
LIMIT 100;

-- name: Users who deleted the most
-- description: Users by number of successful delete and terminate calls.
-- words: destructive remove destroy top
SELECT userIdentity.arn, count(*) AS deletions, array_join(slice(array_agg(DISTINCT eventName), 1, 10), ', ') AS calls
FROM $EDS_ID
WHERE (eventName LIKE 'Delete%' OR eventName LIKE 'Terminate%')
    AND errorCode IS NULL
GROUP BY userIdentity.arn
ORDER BY deletions DESC
LIMIT 20;

-- name: Created resources
-- description: Who created what, newest first.
-- words: create new launch run resources
SELECT eventTime, userIdentity.arn, eventSource, eventName, awsRegion, requestParameters
FROM $EDS_ID
WHERE (eventName LIKE 'Create%' OR eventName LIKE 'Run%')
    AND errorCode IS NULL
ORDER BY eventTime DESC
LIMIT 100;

-- name: Changes made in the console
-- description: Changes that somebody made by hand in the console.
-- words: manual click browser write modified drift
SELECT eventTime, userIdentity.arn, eventSource, eventName, requestParameters
FROM $EDS_ID
WHERE sessionCredentialFromConsole = 'true'
    AND readOnly = false
ORDER BY eventTime DESC
LIMIT 100;

-- name: Resources created outside CloudFormation
-- description: What was created by something else than a CloudFormation stack.
-- words: manual drift infrastructure as code terraform
SELECT eventTime, userIdentity.arn, eventSource, eventName, userAgent
FROM $EDS_ID
WHERE eventName LIKE 'Create%'
    AND errorCode IS NULL
    AND coalesce(userIdentity.invokedBy, '') <> 'cloudformation.amazonaws.com'
    AND coalesce(sourceIPAddress, '') <> 'cloudformation.amazonaws.com'
ORDER BY eventTime DESC
LIMIT 100;

-- name: Changes to trails and event data stores
-- description: Who stopped, changed or deleted the recording of events.
-- words: cloudtrail stoplogging deletetrail disable audit tamper logging evasion
SELECT eventTime, userIdentity.arn, eventName, requestParameters, sourceIPAddress, errorCode
FROM $EDS_ID
WHERE eventSource = 'cloudtrail.amazonaws.com'
    AND readOnly = false
    AND eventName NOT IN ('StartQuery', 'CancelQuery', 'GenerateQuery', 'StartDashboardRefresh')
ORDER BY eventTime DESC
LIMIT 100;

-- name: Changes to security groups
-- description: Who opened or closed which security group, and how.
-- words: firewall ingress egress network authorizesecuritygroupingress ec2 port
SELECT eventTime, userIdentity.arn, eventName, element_at(requestParameters, 'groupId') AS group_id, requestParameters, errorCode
FROM $EDS_ID
WHERE eventSource = 'ec2.amazonaws.com'
    AND eventName LIKE '%SecurityGroup%'
    AND readOnly = false
ORDER BY eventTime DESC
LIMIT 100;

-- name: Security groups opened to the world
-- description: Rules that let in traffic from any address.
-- words: firewall public internet 0.0.0.0/0 ingress exposed ec2
SELECT eventTime, userIdentity.arn, element_at(requestParameters, 'groupId') AS group_id, element_at(requestParameters, 'ipPermissions') AS permissions
FROM $EDS_ID
WHERE eventName = 'AuthorizeSecurityGroupIngress'
    AND errorCode IS NULL
    AND (eventJson LIKE '%0.0.0.0/0%' OR eventJson LIKE '%::/0%')
ORDER BY eventTime DESC
LIMIT 100;

-- name: Changes to networks
-- description: Who changed VPCs, routes, gateways, network ACLs or peerings.
-- words: vpc route table internet gateway nacl acl subnet peering ec2
SELECT eventTime, userIdentity.arn, eventName, requestParameters, errorCode
FROM $EDS_ID
WHERE eventSource = 'ec2.amazonaws.com'
    AND readOnly = false
    AND (eventName LIKE '%Vpc%' OR eventName LIKE '%Route%' OR eventName LIKE '%Gateway%' OR eventName LIKE '%NetworkAcl%')
ORDER BY eventTime DESC
LIMIT 100;

-- name: Launched instances
-- description: Who launched EC2 instances, of which type and image.
-- words: runinstances ec2 start virtual machine server
SELECT eventTime, userIdentity.arn, awsRegion, element_at(requestParameters, 'instanceType') AS instance_type, errorCode
FROM $EDS_ID
WHERE eventSource = 'ec2.amazonaws.com'
    AND eventName = 'RunInstances'
ORDER BY eventTime DESC
LIMIT 100;

-- name: Stopped and terminated instances
-- description: Who stopped or terminated EC2 instances.
-- words: terminateinstances stopinstances ec2 shutdown virtual machine server
SELECT eventTime, userIdentity.arn, eventName, awsRegion, element_at(requestParameters, 'instancesSet') AS instances, errorCode
FROM $EDS_ID
WHERE eventSource = 'ec2.amazonaws.com'
    AND eventName IN ('TerminateInstances', 'StopInstances')
ORDER BY eventTime DESC
LIMIT 100;

-- name: Shared snapshots and images
-- description: Who changed who may use a snapshot or an image.
-- words: public exfiltration modifysnapshotattribute modifyimageattribute ami ebs ec2 share
SELECT eventTime, userIdentity.arn, eventName, requestParameters, errorCode
FROM $EDS_ID
WHERE eventName IN ('ModifySnapshotAttribute', 'ModifyImageAttribute', 'ModifyDBSnapshotAttribute', 'ModifyDBClusterSnapshotAttribute')
ORDER BY eventTime DESC
LIMIT 100;

-- name: Changes to buckets and their policies
-- description: Who made, deleted or reconfigured S3 buckets, their policies, ACLs and public access.
-- words: s3 putbucketpolicy bucket policy acl public access block
SELECT eventTime, userIdentity.arn, eventName, element_at(requestParameters, 'bucketName') AS bucket, errorCode
FROM $EDS_ID
WHERE eventSource = 's3.amazonaws.com'
    AND managementEvent = true
    AND readOnly = false
ORDER BY eventTime DESC
LIMIT 100;

-- name: Most active buckets
-- description: S3 buckets by number of calls.
-- words: s3 top storage objects bucketname
SELECT element_at(requestParameters, 'bucketName') AS bucket, count(*) AS events, approx_distinct(userIdentity.arn) AS users
FROM $EDS_ID
WHERE eventSource = 's3.amazonaws.com'
    AND element_at(requestParameters, 'bucketName') IS NOT NULL
GROUP BY element_at(requestParameters, 'bucketName')
ORDER BY events DESC
LIMIT 10;

-- name: Most read objects
-- description: S3 objects by number of reads. Needs data events.
-- words: s3 getobject download files top
SELECT element_at(requestParameters, 'bucketName') AS bucket, element_at(requestParameters, 'key') AS object_key, count(*) AS reads
FROM $EDS_ID
WHERE eventSource = 's3.amazonaws.com'
    AND eventName = 'GetObject'
GROUP BY element_at(requestParameters, 'bucketName'), element_at(requestParameters, 'key')
ORDER BY reads DESC
LIMIT 50;

-- name: Deleted objects
-- description: Who deleted S3 objects. Needs data events.
-- words: s3 deleteobject deleteobjects files remove ransomware
SELECT eventTime, userIdentity.arn, eventName, element_at(requestParameters, 'bucketName') AS bucket, element_at(requestParameters, 'key') AS object_key
FROM $EDS_ID
WHERE eventSource = 's3.amazonaws.com'
    AND eventName IN ('DeleteObject', 'DeleteObjects')
ORDER BY eventTime DESC
LIMIT 100;

-- name: Use of KMS keys
-- description: Which keys were used for what, and by whom.
-- words: kms encryption decrypt encrypt generatedatakey
SELECT resource.arn AS key_arn, eventName, count(*) AS events, approx_distinct(userIdentity.arn) AS users
FROM $EDS_ID
CROSS JOIN UNNEST(resources) AS t(resource)
WHERE eventSource = 'kms.amazonaws.com'
GROUP BY resource.arn, eventName
ORDER BY events DESC
LIMIT 50;

-- name: KMS keys disabled or scheduled for deletion
-- description: Who disabled a key or scheduled its deletion.
-- words: kms schedulekeydeletion disablekey encryption ransomware
SELECT eventTime, userIdentity.arn, eventName, element_at(requestParameters, 'keyId') AS key_id, errorCode
FROM $EDS_ID
WHERE eventSource = 'kms.amazonaws.com'
    AND eventName IN ('ScheduleKeyDeletion', 'DisableKey')
ORDER BY eventTime DESC
LIMIT 100;

-- name: Read secrets
-- description: Who read which secrets and parameters.
-- words: secretsmanager getsecretvalue getparameter ssm password credentials
SELECT eventTime, userIdentity.arn, eventName,
    coalesce(element_at(requestParameters, 'secretId'), element_at(requestParameters, 'name'), element_at(requestParameters, 'names')) AS secret, sourceIPAddress, errorCode
FROM $EDS_ID
WHERE eventName IN ('GetSecretValue', 'BatchGetSecretValue', 'GetParameter', 'GetParameters', 'GetParametersByPath')
ORDER BY eventTime DESC
LIMIT 100;

-- name: Changes to Lambda functions
-- description: Who created, changed or deleted functions.
-- words: lambda updatefunctioncode serverless deploy
SELECT eventTime, userIdentity.arn, eventName, element_at(requestParameters, 'functionName') AS function_name, errorCode
FROM $EDS_ID
WHERE eventSource = 'lambda.amazonaws.com'
    AND readOnly = false
ORDER BY eventTime DESC
LIMIT 100;

-- name: Changes to databases
-- description: Who created, changed or deleted RDS databases and snapshots.
-- words: rds database db instance cluster snapshot aurora
SELECT eventTime, userIdentity.arn, eventName, element_at(requestParameters, 'dBInstanceIdentifier') AS instance, errorCode
FROM $EDS_ID
WHERE eventSource = 'rds.amazonaws.com'
    AND readOnly = false
ORDER BY eventTime DESC
LIMIT 100;

-- name: Changes to DynamoDB tables
-- description: Who created, changed or deleted tables.
-- words: dynamodb table nosql database
SELECT eventTime, userIdentity.arn, eventName, element_at(requestParameters, 'tableName') AS table_name, errorCode
FROM $EDS_ID
WHERE eventSource = 'dynamodb.amazonaws.com'
    AND managementEvent = true
    AND readOnly = false
ORDER BY eventTime DESC
LIMIT 100;

-- name: History of a resource
-- description: What was done with a resource, newest first. Put its ARN in.
-- words: resource arn object timeline who touched
SELECT eventTime, userIdentity.arn, eventSource, eventName, errorCode
FROM $EDS_ID
WHERE any_match(resources, r -> r.arn = 'arn:aws:s3:::example-bucket')
ORDER BY eventTime DESC
LIMIT 100;

-- name: Most used resources
-- description: Resources by number of events that name them.
-- words: top arn busiest
SELECT resource.type AS resource_type, resource.arn AS resource_arn, count(*) AS events
FROM $EDS_ID
CROSS JOIN UNNEST(resources) AS t(resource)
GROUP BY resource.type, resource.arn
ORDER BY events DESC
LIMIT 50;

-- name: TLS versions in use
-- description: Which versions of TLS the calls came over.
-- words: ssl encryption cipher protocol outdated
SELECT tlsDetails.tlsVersion, count(*) AS events, approx_distinct(userIdentity.arn) AS users
FROM $EDS_ID
WHERE tlsDetails.tlsVersion IS NOT NULL
GROUP BY tlsDetails.tlsVersion
ORDER BY events DESC
LIMIT 20;

-- name: Users of outdated TLS
-- description: Who still calls over TLS 1.0 or 1.1, and with which tools.
-- words: ssl old deprecated protocol version cipher
SELECT userIdentity.arn, userAgent, tlsDetails.tlsVersion, count(*) AS events
FROM $EDS_ID
WHERE tlsDetails.tlsVersion IN ('TLSv1', 'TLSv1.0', 'TLSv1.1')
GROUP BY userIdentity.arn, userAgent, tlsDetails.tlsVersion
ORDER BY events DESC
LIMIT 50;

-- name: Calls through VPC endpoints
-- description: Which calls came through which VPC endpoint.
-- words: vpce private link network endpoint
SELECT vpcEndpointId, eventSource, count(*) AS events
FROM $EDS_ID
WHERE vpcEndpointId IS NOT NULL
GROUP BY vpcEndpointId, eventSource
ORDER BY events DESC
LIMIT 50;

-- name: Calls that services made for you
-- description: Which services called on somebody's behalf.
-- words: invokedby forward access session service role internal
SELECT userIdentity.invokedBy, eventSource, eventName, count(*) AS events
FROM $EDS_ID
WHERE userIdentity.invokedBy IS NOT NULL
GROUP BY userIdentity.invokedBy, eventSource, eventName
ORDER BY events DESC
LIMIT 50;

-- name: First and last time of each user
-- description: When each user was seen first and last.
-- words: new users inactive unused dormant appeared
SELECT userIdentity.arn, min(eventTime) AS first_seen, max(eventTime) AS last_seen, count(*) AS events
FROM $EDS_ID
WHERE userIdentity.arn IS NOT NULL
GROUP BY userIdentity.arn
ORDER BY last_seen DESC
LIMIT 100;

-- name: Calls that a user made for the first time today
-- description: Pairs of user and call that were never seen before today.
-- words: new unusual first anomaly never before
-- slots: none
SELECT userIdentity.arn, eventSource, eventName, min(eventTime) AS first_seen, count(*) AS events
FROM $EDS_ID
GROUP BY userIdentity.arn, eventSource, eventName
HAVING min(eventTime) >= date_trunc('day', current_timestamp)
ORDER BY first_seen DESC
LIMIT 100;

-- name: Busiest hour of each service
-- description: For each service the hour with the most events.
-- words: peak window rank maximum trend
-- slots: none
WITH hourly AS (
    SELECT eventSource, date_trunc('hour', eventTime) AS hour, count(*) AS events
    FROM $EDS_ID
    GROUP BY eventSource, date_trunc('hour', eventTime)
), ranked AS (
    SELECT eventSource, hour, events, row_number() OVER (PARTITION BY eventSource ORDER BY events DESC) AS place
    FROM hourly
)
SELECT eventSource, hour, events
FROM ranked
WHERE place = 1
ORDER BY events DESC
LIMIT 50;

-- name: Activity at night and at weekends
-- description: Changes made between 22 and 6 o'clock UTC or on Saturday and Sunday, by user.
-- words: off hours unusual time weekend night
SELECT userIdentity.arn, count(*) AS events, max(eventTime) AS newest
FROM $EDS_ID
WHERE readOnly = false
    AND (hour(eventTime) >= 22 OR hour(eventTime) < 6 OR day_of_week(eventTime) >= 6)
GROUP BY userIdentity.arn
ORDER BY events DESC
LIMIT 50;

-- name: One event by its ID
-- description: The whole record of an event. Put its ID in.
-- words: eventid record json raw details
SELECT eventJson
FROM $EDS_ID
WHERE eventID = '00000000-0000-0000-0000-000000000000';

-- name: Whole records as JSON
-- description: The newest events as the JSON in which they were recorded.
-- words: raw eventjson original full details
SELECT eventJson
FROM $EDS_ID
ORDER BY eventTime DESC
LIMIT 50;
