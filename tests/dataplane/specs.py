"""Specs for tests: one small Deployment, changed by keyword."""

import hashlib
import io
import stat
import zipfile
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from apps.dataplane.spec import (
    AirflowSecrets,
    CodeSpec,
    DeploymentSpec,
    RuntimeSpec,
    SignInSpec,
    WorkerQueue,
)

PORTAL_URL = "http://portal.test"
OLDER = "3.2.2"  # the oldest Airflow that has a runtime
SIGN_IN_KEY = Ed25519PrivateKey.generate()
DEFAULT_QUEUE = WorkerQueue(name="default", concurrency=2, min_workers=1, max_workers=3)


def make_runtime(airflow_version: str = "3.3.2") -> RuntimeSpec:
    return RuntimeSpec(
        version=f"{airflow_version}-1",
        airflow_version=airflow_version,
        image=f"apache/airflow:{airflow_version}",
        lock_path=f"locks/airflow-{airflow_version}.txt",
    )


def make_spec(ref: str = "tidy-comet", **changes: Any) -> DeploymentSpec:
    public_key = SIGN_IN_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    fields: dict[str, Any] = {
        "ref": ref,
        "name": "Tidy Comet",
        "revision": 1,
        "runtime": make_runtime(),
        "executor": "celery",
        "queues": (DEFAULT_QUEUE,),
        "variables": (),
        "code": None,
        "secrets": AirflowSecrets(
            fernet_key="7T512UXSSmBOkpWimFHIVb8jK6lfmSAvx4mO6Arehnc=",
            jwt_secret="j" * 64,
            api_secret_key="k" * 40,
        ),
        "sign_in": SignInSpec(
            portal_url=PORTAL_URL,
            issuer=PORTAL_URL,
            audience=f"airflow:{ref}",
            public_key_pem=public_key.decode(),
        ),
    }
    return DeploymentSpec(**{**fields, **changes})


def make_code(folder: Path, files: dict[str, str]) -> CodeSpec:
    """Pack files as the portal does; a script is executable."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            member = zipfile.ZipInfo(name)
            mode = 0o755 if name.endswith(".sh") else 0o644
            member.external_attr = (stat.S_IFREG | mode) << 16
            archive.writestr(member, text)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    path = folder / f"{digest}.zip"
    path.write_bytes(buffer.getvalue())
    return CodeSpec(digest=digest, archive_path=str(path))
