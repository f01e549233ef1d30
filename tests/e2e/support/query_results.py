"""What `aws cloudtrail verify-query-results` (AWS CLI v2 only) does, written anew from its contract:
the sign file, each file's hash, the key by its fingerprint, the signature."""

import base64
import hashlib
import json
from datetime import datetime, timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

SIGN_FILE = "result_sign.json"


class Unverified(Exception):
    pass


def verify(s3, cloudtrail_of_region, bucket: str, prefix: str) -> dict:
    """Checks all that lies under `prefix` and returns the sign file. `cloudtrail_of_region` makes a
    client for the Region that the sign file names."""
    sign = json.loads(_read(s3, bucket, f"{prefix}{SIGN_FILE}"))
    if sign["version"] != "1.0" or sign["hashAlgorithm"] != "SHA-256" or sign["signatureAlgorithm"] != "SHA256withRSA":
        raise Unverified(f"unknown algorithms: {sign}")
    hashes = []
    for file in sign["files"]:
        found = hashlib.sha256(_read(s3, bucket, prefix + file["fileName"])).hexdigest()
        if found != file["fileHashValue"]:
            raise Unverified(f"{file['fileName']} is not what was signed")
        hashes.append(found)
    if not hashes:
        raise Unverified("the sign file names no file")
    key = _public_key(cloudtrail_of_region(sign["region"]), sign)
    try:
        key.verify(bytes.fromhex(sign["hashSignature"]), " ".join(hashes).encode(), padding.PKCS1v15(), SHA256())
    except InvalidSignature as wrong:
        raise Unverified("the signature is wrong") from wrong
    return sign


def _public_key(cloudtrail, sign: dict):
    """One page of keys that were valid at the query's end or in the 20 days after it."""
    completed = datetime.fromisoformat(sign["queryCompleteTime"].replace("Z", "+00:00"))
    listed = cloudtrail.list_public_keys(StartTime=completed, EndTime=completed + timedelta(days=20))
    for key in listed["PublicKeyList"]:
        if key["Fingerprint"] == sign["publicKeyFingerprint"]:
            value = key["Value"]
            assert hashlib.md5(value).hexdigest() == key["Fingerprint"]
            return load_der_public_key(value if isinstance(value, bytes) else base64.b64decode(value))
    raise Unverified(f"No public keys found for key with fingerprint: {sign['publicKeyFingerprint']}")


def _read(s3, bucket: str, key: str) -> bytes:
    """The bytes as they are stored: boto3 does not unpack."""
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()
