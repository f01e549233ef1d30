"""What the delivery crate writes, judged by the AWS CLI's own validator.

The example `delivery_tree` of crate `delivery` writes a bucket as a folder. `validate-logs` of the
installed, unmodified awscli then runs over it; only its two clients are replaced: S3 reads the
folder, CloudTrail returns the public keys.
"""

import gzip
import io
import json
import os
import pathlib
import shutil
import subprocess
import types

import pytest
from awscli.customizations.cloudtrail import validation
from botocore.exceptions import ClientError

REPO = pathlib.Path(__file__).resolve().parents[2]
ARN = "arn:aws:cloudtrail:us-east-1:111122223333:trail/audit"
BUCKET = "audit-logs"
DIGESTS, FILES = 40, 12


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tree")
    # Built by `make test`; building it here alone would build its dependencies with other features.
    program = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPO / "target")) / "debug/examples/delivery_tree"
    subprocess.run([program, str(folder), str(DIGESTS), str(FILES)], cwd=REPO, check=True)
    return folder


@pytest.fixture
def tree(written, tmp_path):
    shutil.copytree(written, tmp_path / "tree")
    return tmp_path / "tree"


class FolderS3:
    """The calls that validate-logs makes of S3, over a folder."""

    def __init__(self, root):
        self.root = root / "bucket"

    def get_object(self, Bucket, Key):
        path = self.root / Key
        if Bucket != BUCKET or not path.is_file():
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": Key}}, "GetObject")
        sidecar = pathlib.Path(f"{path}.metadata.json")
        metadata = json.loads(sidecar.read_text()) if sidecar.exists() else {}
        return {"Body": io.BytesIO(path.read_bytes()), "Metadata": metadata}

    def get_paginator(self, operation):
        assert operation == "list_objects"
        return self

    def paginate(self, Bucket, Marker, Prefix):
        keys = [str(path.relative_to(self.root)) for path in self.root.rglob("*.json.gz")]
        keys = sorted(key for key in keys if key.startswith(Prefix) and key > Marker)
        return types.SimpleNamespace(search=lambda expression: iter(keys))


def validate(tree, monkeypatch):
    """Runs validate-logs; returns its exit code and what it complained about."""
    keys = json.loads((tree / "keys.json").read_text())
    command = validation.CloudTrailValidateLogs.__new__(validation.CloudTrailValidateLogs)
    validation.CloudTrailValidateLogs.__init__(command, session=None)
    s3 = FolderS3(tree)
    cloudtrail = types.SimpleNamespace(list_public_keys=lambda **_: {"PublicKeyList": keys})

    def setup_services(parsed_globals):
        command._source_region = "us-east-1"
        command.s3_client_provider = types.SimpleNamespace(get_client=lambda bucket: s3)
        command.cloudtrail_client = cloudtrail
        command.organization_client = None

    command.setup_services = setup_services
    complaints = []
    write_status = command._write_status
    command._write_status = lambda message, is_error=False: (
        complaints.append(message) if is_error else write_status(message)
    )
    args = types.SimpleNamespace(
        trail_arn=ARN,
        verbose=True,
        s3_bucket=BUCKET,
        s3_prefix="prod",
        account_id=None,
        start_time="2026-09-12T00:00:00Z",
        end_time="2026-09-20T00:00:00Z",
    )
    code = command._run_main(args, None)
    return code, complaints, command


def log_files(tree):
    return sorted((tree / "bucket").rglob("*_CloudTrail_*.json.gz"))


def digests(tree):
    return sorted((tree / "bucket").rglob("*_CloudTrail-Digest_*.json.gz"))


def invalid(complaints):
    return [complaint for complaint in complaints if "INVALID" in complaint]


def test_hundreds_of_files_over_many_digests_are_valid(tree, monkeypatch):
    code, complaints, command = validate(tree, monkeypatch)
    assert code == 0, complaints
    assert command._valid_digests == DIGESTS == len(digests(tree))
    assert command._valid_logs == len(log_files(tree)) > 300
    # Logging was off once: said, and not held against the tree.
    assert len(complaints) == 1 and complaints[0].startswith("No log files were delivered")


def test_the_fingerprints_are_those_of_the_keys(tree):
    import base64
    import hashlib

    import rsa

    for key in json.loads((tree / "keys.json").read_text()):
        der = base64.b64decode(key["Value"])
        assert len(der) == 270
        assert rsa.PublicKey.load_pkcs1(der, format="DER").n.bit_length() == 2048
        assert hashlib.md5(der).hexdigest() == key["Fingerprint"]


@pytest.mark.parametrize("nth", [0, 100, -1])
def test_an_altered_log_file_is_named(tree, monkeypatch, nth):
    path = log_files(tree)[nth]
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"Put", b"Get")))
    code, complaints, _ = validate(tree, monkeypatch)
    assert code == 1
    assert [path.name in complaint for complaint in invalid(complaints)] == [True]


@pytest.mark.parametrize("nth", [0, 100, -1])
def test_a_removed_log_file_is_named(tree, monkeypatch, nth):
    path = log_files(tree)[nth]
    path.unlink()
    code, complaints, _ = validate(tree, monkeypatch)
    assert code == 1
    assert [path.name in complaint for complaint in invalid(complaints)] == [True]
    assert "not found" in invalid(complaints)[0]


@pytest.mark.parametrize("nth", [0, 100, -1])
def test_a_truncated_log_file_is_named(tree, monkeypatch, nth):
    path = log_files(tree)[nth]
    path.write_bytes(path.read_bytes()[:-20])
    code, complaints, _ = validate(tree, monkeypatch)
    assert code == 1
    assert [path.name in complaint for complaint in invalid(complaints)] == [True]


def test_swapped_log_files_are_both_named(tree, monkeypatch):
    a, b = log_files(tree)[3], log_files(tree)[200]
    from_a, from_b = a.read_bytes(), b.read_bytes()
    a.write_bytes(from_b)
    b.write_bytes(from_a)
    code, complaints, _ = validate(tree, monkeypatch)
    assert code == 1
    text = "\n".join(invalid(complaints))
    assert a.name in text and b.name in text and len(invalid(complaints)) == 2


@pytest.mark.parametrize("nth", [1, 7, DIGESTS - 1])
def test_an_altered_digest_is_named(tree, monkeypatch, nth):
    path = digests(tree)[nth]
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + b" "))
    code, complaints, _ = validate(tree, monkeypatch)
    assert code == 1
    assert any(path.name in c and "signature verification failed" in c for c in invalid(complaints))


@pytest.mark.parametrize("nth", [1, 7, DIGESTS - 2])
def test_a_removed_digest_is_named(tree, monkeypatch, nth):
    path = digests(tree)[nth]
    path.unlink()
    code, complaints, _ = validate(tree, monkeypatch)
    assert code == 1
    assert any(path.name in complaint and "not found" in complaint for complaint in complaints)


def test_swapped_digests_are_both_named(tree, monkeypatch):
    for ending in ["", ".metadata.json"]:
        a, b = (pathlib.Path(f"{digests(tree)[n]}{ending}") for n in (5, 9))
        from_a, from_b = a.read_bytes(), b.read_bytes()
        a.write_bytes(from_b)
        b.write_bytes(from_a)
    code, complaints, _ = validate(tree, monkeypatch)
    assert code == 1
    for n in (5, 9):
        name = digests(tree)[n].name
        assert any(name in c and "moved" in c for c in invalid(complaints)), complaints
