-- Pages of an account's trails are in the order of their ARNs.
CREATE INDEX trails_by_account_and_arn ON trails (account, arn);
