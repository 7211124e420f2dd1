"""A server that speaks S3: moto's, which compares signatures once `must_sign` was called."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.config import Config
from botocore.session import Session
from moto.core import enable_iam_authentication
from moto.server import ThreadedMotoServer

from apps.accounts.models import User
from apps.object_stores.models import ObjectStore
from apps.object_stores.services import StoreData, save_store
from apps.organizations.models import Organization

BUCKET, REGION = "lake", "us-east-1"


@dataclass
class Server:
    """`url` is its address, `key_id` and `secret` are those of a user that it knows."""

    url: str
    key_id: str = "AKIAEXAMPLE"
    secret: str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

    def client(self, service: str = "s3") -> Any:
        return Session().create_client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=self.key_id,
            aws_secret_access_key=self.secret,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )

    def objects(self, bucket: str = BUCKET) -> dict[str, bytes]:
        s3 = self.client()
        found = s3.list_objects_v2(Bucket=bucket).get("Contents", ())
        return {
            one["Key"]: s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read() for one in found
        }


@contextmanager
def s3_server() -> Iterator[Server]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield Server(f"http://{host}:{port}")
    finally:
        server.stop()


@contextmanager
def signatures_compared(server: Server) -> Iterator[Server]:
    """Give the server a user, and let it refuse whatever that one has not signed."""
    iam, name = server.client("iam"), secrets.token_hex(4)
    iam.create_user(UserName=name)
    iam.put_user_policy(
        UserName=name,
        PolicyName="all",
        PolicyDocument='{"Version": "2012-10-17", "Statement": '
        '[{"Effect": "Allow", "Action": "*", "Resource": "*"}]}',
    )
    key = iam.create_access_key(UserName=name)["AccessKey"]
    with enable_iam_authentication():
        yield Server(server.url, key["AccessKeyId"], key["SecretAccessKey"])


def make_store(
    server: Server,
    actor: User,
    organization: Organization,
    use: ObjectStore.Use = ObjectStore.Use.BACKUPS,
    **changes: Any,
) -> ObjectStore:
    fields = {
        "endpoint": server.url,
        "bucket": BUCKET,
        "region": REGION,
        "access_key_id": server.key_id,
        "secret": server.secret,
    }
    data = StoreData(**{**fields, **changes})
    return save_store(actor=actor, organization=organization, use=use, data=data)
