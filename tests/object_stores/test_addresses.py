"""Addresses that a cluster gets: signed as botocore's own client signs them."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.config import Config
from botocore.session import Session

from apps.core.outbound.guarded_http import Reach
from apps.object_stores import client

SECONDS = 600
FIELDS = {"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires"}


def bucket_of(**changes: Any) -> client.Bucket:
    fields: dict[str, Any] = {
        "endpoint": "https://s3.example.test",
        "name": "lake",
        "region": "eu-north-1",
        "is_path_style": True,
        "access_key_id": "AKIAEXAMPLE",
        "secret": "canary-of-the-bucket",
        "reach": Reach(networks=(), setting="TEST", allows_http=False, ca=""),
    }
    return client.Bucket(**{**fields, **changes})


def by_botocore(bucket: client.Bucket, method: str, **parameters: Any) -> str:
    style = "path" if bucket.is_path_style else "virtual"
    made: Any = Session().create_client(
        "s3",
        endpoint_url=bucket.endpoint,
        region_name=bucket.region,
        aws_access_key_id=bucket.access_key_id,
        aws_secret_access_key=bucket.secret,
        config=Config(signature_version="s3v4", s3={"addressing_style": style}),
    )
    parameters = {"Bucket": bucket.name, **parameters}
    return str(made.generate_presigned_url(method, Params=parameters, ExpiresIn=SECONDS))


def query_of(address: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(address).query)


@pytest.fixture(autouse=True)
def _one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let both sign at the same second."""
    from botocore import auth  # noqa: PLC0415 - an extra

    moment = auth.get_current_datetime()
    monkeypatch.setattr(auth, "get_current_datetime", lambda *_, **__: moment)


@pytest.mark.parametrize("is_path_style", [True, False])
def test_an_object_is_handed_out_by_an_address_that_botocore_would_sign(
    is_path_style: bool,
) -> None:
    bucket = bucket_of(is_path_style=is_path_style)
    found = client.object_address(bucket, "a/b.dump", good_for_seconds=SECONDS)
    theirs = by_botocore(bucket, "get_object", Key="a/b.dump")

    assert urlsplit(found)[:3] == urlsplit(theirs)[:3]
    assert query_of(found) == query_of(theirs)
    assert query_of(found).keys() >= FIELDS
    assert bucket.secret not in found


def test_a_part_has_an_address_for_its_number_upload_and_method_alone() -> None:
    bucket = bucket_of()
    names = {"Key": "a/b.dump", "UploadId": "up+1/=", "PartNumber": 7}

    def part(**changes: Any) -> str:
        fields = {"upload": "up+1/=", "number": 7, "good_for_seconds": SECONDS, **changes}
        return client.part_address(bucket, "a/b.dump", **fields)

    assert query_of(part()) == query_of(by_botocore(bucket, "upload_part", **names))
    signatures = {
        query_of(one)["X-Amz-Signature"][0]
        for one in (
            part(),
            part(number=8),
            part(upload="other"),
            part(good_for_seconds=SECONDS + 1),
            client.object_address(bucket, "a/b.dump", good_for_seconds=SECONDS),
        )
    }
    assert len(signatures) == 5
