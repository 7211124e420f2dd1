"""The job of an import: claim the row, read it into an archive, keep what was found.

A worker that was killed leaves a claim that ends and no archive; another one begins again. The
source is only read. Its secrets are forgotten as soon as it was read.
"""

import logging
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db.models import F, Q
from django.utils import timezone
from django.utils.module_loading import import_string

from apps.airflow_imports.models import UNFINISHED, AirflowImport, ImportState
from apps.airflow_imports.services import KEPT
from apps.airflow_imports.source.sealing import ImportSecrets, open_secrets, seal_secrets
from apps.core.encryption.crypto import SecretUnreadable
from apps.dataplane.errors import DataPlaneError
from apps.dataplane.imports.scratch import Scratch, ScratchBusy
from apps.dataplane.imports.types import (
    Encryption,
    FoundAirflow,
    ImportedDatabase,
    ImportSource,
    SourceServer,
)

logger = logging.getLogger(__name__)

MOST_SECONDS = 7_200
LEASE = timedelta(seconds=MOST_SECONDS + 60)
MOST_ATTEMPTS = 3
SETTING = "PORTAL_IMPORT_NETWORKS"
# What a worker writes at the end. The rest may have changed meanwhile.
WRITTEN = (
    "state",
    "failure",
    "ended_at",
    "expires_at",
    "lease_until",
    "airflow_version",
    "size_bytes",
    "sha256",
    "postgres",
    "report",
    "sealed",
)
INTERRUPTED = "Reading was cut off three times, so it was given up. Bring the Airflow again."
TOO_LONG = "Reading took longer than two hours, so it was given up."


def read_import(*, import_id: str, now: datetime) -> bool:
    """Read one import, unless another worker does, or this machine reads another one. Return
    whether it was this one. Raises only unexpected errors.
    """
    row = _claim(import_id, now)
    if row is None:
        return False
    try:
        _read(row)
    except ScratchBusy:
        _give_back(row)
        return False
    except SoftTimeLimitExceeded:
        _end(row, failure=TOO_LONG)
    except (DataPlaneError, SecretUnreadable) as error:
        _end(row, failure=getattr(error, "message", "") or str(error))
    else:
        _end(row)
    return True


def scratch() -> Scratch:
    """Return where this machine reads."""
    return Scratch(folder=Path(settings.IMPORT_FOLDER), most_bytes=settings.IMPORT_SCRATCH_BYTES)


def _claim(import_id: str, now: datetime) -> AirflowImport | None:
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    rows = AirflowImport.objects.filter(free, pk=import_id, state__in=UNFINISHED)
    if rows.filter(attempts__gte=MOST_ATTEMPTS).update(
        state=ImportState.FAILED,
        failure=INTERRUPTED,
        ended_at=now,
        expires_at=now + KEPT,
        lease_until=None,
        sealed=None,
    ):
        return None
    if not rows.update(
        state=ImportState.RUNNING, lease_until=now + LEASE, attempts=F("attempts") + 1
    ):
        return None
    return AirflowImport.objects.select_related("workspace").get(pk=import_id)


def _give_back(row: AirflowImport) -> None:
    """Let the row wait: the next sweep, or the end of the other one, brings it to a worker."""
    AirflowImport.objects.filter(pk=row.pk).update(
        state=ImportState.WAITING, lease_until=None, attempts=F("attempts") - 1
    )


def _read(row: AirflowImport) -> None:
    row.archive.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    imported: ImportedDatabase = import_string(settings.IMPORT_READER)(
        home=settings.PORTAL_HOME, scratch=scratch(), source=_source(row), path=row.archive
    )
    row.airflow_version = imported.found.airflow_version
    row.size_bytes, row.sha256 = imported.size_bytes, imported.sha256
    row.postgres = imported.postgres
    row.report = report_of(imported.found)
    row.sealed = seal_secrets(row, ImportSecrets(fernet_keys=(imported.fernet_key,)))


def report_of(found: FoundAirflow) -> dict[str, Any]:
    """Return what was found as a row keeps it."""
    return {name: value for name, value in asdict(found).items() if name != "airflow_version"}


def _source(row: AirflowImport) -> ImportSource:
    secrets = open_secrets(row)
    encryption: Encryption = "verified"
    if row.encryption in ("unverified", "none"):
        encryption = row.encryption  # type: ignore[assignment]  # one of the names above
    server = SourceServer(
        host=row.host,
        port=row.port,
        database=row.database,
        user=row.user,
        password=secrets.password,
        encryption=encryption,
        ca=row.ca_certificate,
        networks=settings.IMPORT_NETWORKS,
        setting=SETTING,
    )
    return ImportSource(
        key=row.pk.hex,
        dump_path="" if row.host else str(row.upload),
        server=server if row.host else None,
        fernet_keys=secrets.fernet_keys,
    )


def _end(row: AirflowImport, failure: str = "") -> None:
    now = timezone.now()
    row.state = ImportState.FAILED if failure else ImportState.READY
    row.failure, row.ended_at, row.lease_until = failure[:500], now, None
    row.expires_at = now + KEPT
    if failure:
        row.sealed = None
        logger.warning("import failed", extra={"import": str(row.pk)})
    row.save(update_fields=WRITTEN)
    row.upload.unlink(missing_ok=True)
