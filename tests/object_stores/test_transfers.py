"""Files to a bucket of a real server and back."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apps.accounts.models import User
from apps.core.outbound import guarded_http
from apps.object_stores import client, transfers
from apps.object_stores.client import BucketFailed, ObjectMissing
from apps.object_stores.queries import opened
from apps.organizations.models import Organization
from tests.object_stores.servers import BUCKET, Server, make_store, signatures_compared

pytestmark = pytest.mark.django_db
MIB = 1024**2


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "WAITS_SECONDS", (0.0, 0.0))


def test_a_file_goes_there_in_parts_and_comes_back_the_same(
    server: Server, alice: User, organization: Organization, tmp_path: Path
) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(b"0123456789abcdef" * (12 * MIB // 16) + b"end")
    sha256 = hashlib.sha256(there.read_bytes()).hexdigest()
    size, key = there.stat().st_size, "a b/ü+&=?.dump"

    with signatures_compared(server) as signing:
        bucket = opened(make_store(signing, alice, organization))
        transfers.upload(bucket, key, there, part_bytes=5 * MIB)
        transfers.download(bucket, key, back, sha256=sha256, size=size, part_bytes=5 * MIB)
        head = signing.client().head_object(Bucket=BUCKET, Key=key)

    assert back.read_bytes() == there.read_bytes()
    assert back.stat().st_mode & 0o777 == 0o600
    assert head["ETag"].endswith('-3"'), "it went in one piece"
    assert {path.name for path in tmp_path.iterdir()} == {"there", "back"}


def test_a_wrong_secret_key_is_one_sentence(
    server: Server, alice: User, organization: Organization, tmp_path: Path
) -> None:
    (tmp_path / "one").write_bytes(b"x")
    with signatures_compared(server) as signing:
        bucket = opened(make_store(signing, alice, organization))
        with pytest.raises(BucketFailed, match="does not accept the access key"):
            transfers.upload(replace(bucket, secret="wrong"), "one", tmp_path / "one")


def test_what_breaks_half_way_leaves_no_object_and_no_part(
    server: Server,
    alice: User,
    organization: Organization,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket, path = opened(make_store(server, alice, organization)), tmp_path / "one"
    path.write_bytes(b"x" * 11 * MIB)
    send = client.put_part

    def breaking(*args: Any, number: int, **kwargs: Any) -> str:
        if number == 2:
            raise BucketFailed("The bucket lake is full. Make room there, or raise its quota.")
        return send(*args, number=number, **kwargs)

    monkeypatch.setattr(client, "put_part", breaking)
    with pytest.raises(BucketFailed, match="is full"):
        transfers.upload(bucket, "one", path, part_bytes=5 * MIB)

    assert server.objects() == {}
    assert "Uploads" not in server.client().list_multipart_uploads(Bucket=BUCKET)


def test_a_part_that_is_lost_on_the_way_is_sent_again(
    server: Server,
    alice: User,
    organization: Organization,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket, path = opened(make_store(server, alice, organization)), tmp_path / "one"
    path.write_bytes(b"x" * 100)
    send, left = client.request, ["first"]

    def losing(method: str, url: str, **kwargs: Any) -> guarded_http.Answer:
        if "partNumber" in url and left:
            left.pop()
            raise guarded_http.ExchangeFailed("It did not answer within 120 seconds.")
        return send(method, url, **kwargs)

    monkeypatch.setattr(client, "request", losing)
    transfers.upload(bucket, "one", path)

    assert server.objects() == {"one": b"x" * 100}


def test_another_checksum_or_a_cut_off_object_is_no_file(
    server: Server, alice: User, organization: Organization, tmp_path: Path
) -> None:
    bucket = opened(make_store(server, alice, organization))
    client.put(bucket, "one", b"content", {})
    good = hashlib.sha256(b"content").hexdigest()

    for sha256, size, reason in (
        ("0" * 64, 7, "checksum is another"),
        (good, 8, "cut off"),
    ):
        with pytest.raises(BucketFailed, match=reason):
            transfers.download(bucket, "one", tmp_path / "back", sha256=sha256, size=size)
    with pytest.raises(ObjectMissing):
        transfers.download(bucket, "two", tmp_path / "back", sha256=good, size=7)

    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (507, b"", "The bucket lake is full."),
        (403, b"<Error><Code>QuotaExceeded</Code></Error>", "The bucket lake is full."),
        (404, b"<Error><Code>NoSuchBucket</Code></Error>", "There is no bucket lake"),
        (301, b"<Error><Code>PermanentRedirect</Code></Error>", "Check the address and the region"),
        (403, b"<Error><Code>RequestTimeTooSkewed</Code></Error>", "the clock of this machine"),
        (403, b"", "refuses the access key"),
        (500, b"<Error><Code><b>x</b></Code></Error>", r"failed \(status 500\)"),
        (503, b"<Error><Code>SlowDown</Code></Error>", r"failed \(status 503, SlowDown\)"),
        (200, b"<UploadId></UploadId>", "does not take objects in parts"),
        (200, b"\xff\xfe not XML", "does not take objects in parts"),
    ],
)
def test_what_a_server_refuses_is_said(
    server: Server,
    alice: User,
    organization: Organization,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    body: bytes,
    sentence: str,
) -> None:
    bucket = opened(make_store(server, alice, organization))
    answer = guarded_http.Answer(status=status, body=body, headers={})
    monkeypatch.setattr(client, "request", lambda *args, **kwargs: answer)

    with pytest.raises(BucketFailed, match=sentence):
        client.begin_upload(bucket, "one")


def test_this_machine_is_not_reached_unless_the_operator_says_so(
    server: Server, alice: User, organization: Organization, settings: Any
) -> None:
    store = make_store(server, alice, organization)
    settings.BUCKET_NETWORKS = ()

    with pytest.raises(BucketFailed, match="PORTAL_BUCKET_NETWORKS"):
        client.put(opened(store), "one", b"", {})
    assert server.objects() == {}
