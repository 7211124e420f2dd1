"""Dumps of metadata databases, while Airflow runs: a Job reads one snapshot and sends it."""

import re
import secrets

from apps.dataplane.errors import DataPlaneError, Permanent
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.backups.errors import failure_of, newer_server
from apps.dataplane.kubernetes.backups.manifests import SECONDS, SHARE, DumpJob
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.projects.answers import Answer
from apps.dataplane.kubernetes.projects.running import run_job
from apps.dataplane.kubernetes.render.components.data import DATABASE_MAJOR
from apps.dataplane.spec import DeploymentSpec, DumpTarget
from apps.dataplane.status import SentDump
from apps.dataplane.untrusted import text_of

SHA256 = re.compile(r"[0-9a-f]{64}")
MOST_BYTES = 2**40
# The programs of PostgreSQL that may be asked for; no newer one is known.
MAJORS = range(DATABASE_MAJOR + 1, 20)


class _NewerServer(Permanent):
    major: int


def back_up_to(
    api: Api, config: ClusterConfig, *, spec: DeploymentSpec, target: DumpTarget
) -> SentDump:
    """Dump the metadata database into a bucket; see `SupportsBackupsToBuckets`.

    A server that is newer than PostgreSQL of the image is asked again with programs of its own age.
    """
    try:
        return _run(api, config, spec, target, DATABASE_MAJOR)
    except _NewerServer as error:
        return _run(api, config, spec, target, error.major)


def _run(
    api: Api, config: ClusterConfig, spec: DeploymentSpec, target: DumpTarget, postgres: int
) -> SentDump:
    job = DumpJob(
        name=f"backup-{secrets.token_hex(4)}",
        spec=spec,
        config=config,
        image=spec.runtime.image,
        program="send_dump",
        script="write_dump",
        postgres=postgres,
        is_written=True,
        task={
            "part_bytes": target.part_bytes,
            "ca": f"{target.ca_certificate}{spec.settings.ca_bundle}",
        },
        credential={"parts": list(target.part_urls)},
        share=SHARE,
        seconds=SECONDS,
    )
    answer = run_job(api, job, failure=_failure)
    return _sent(answer, target, spec, postgres)


def _failure(answer: Answer) -> DataPlaneError:
    major = newer_server(answer)
    if major is None or major not in MAJORS:
        return failure_of(answer)
    error = _NewerServer(failure_of(answer).message)
    error.major = major
    return error


def _sent(answer: Answer, target: DumpTarget, spec: DeploymentSpec, postgres: int) -> SentDump:
    size, tags = answer.fields.get("size"), answer.fields.get("tags")
    sha256 = text_of(answer.fields.get("sha256"), 80)
    is_size = isinstance(size, int) and not isinstance(size, bool) and 0 < size < MOST_BYTES
    if not is_size or not isinstance(tags, list) or not SHA256.fullmatch(sha256):
        raise Permanent("The Job of the backup did not say what it sent. Try again.")
    named = tuple(text_of(one, 200) for one in tags[: len(target.part_urls)])
    if not all(named):
        raise Permanent("The bucket does not confirm the parts of an object.")
    return SentDump(
        airflow_version=spec.runtime.airflow_version,
        size_bytes=int(size or 0),
        sha256=sha256,
        tags=named,
        postgres=postgres,
    )
