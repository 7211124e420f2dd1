"""Why a Job of a backup failed, in messages for the person who wants it. Pure."""

import re

from apps.dataplane.errors import DataPlaneError, Permanent, Temporary
from apps.dataplane.kubernetes.apply.rollout import explained
from apps.dataplane.kubernetes.backups.manifests import DUMP_GIB
from apps.dataplane.kubernetes.projects.answers import Answer
from apps.dataplane.untrusted import text_of

# PostgreSQL's programs say so; details, contexts and statements would quote rows.
PROBLEM = "error: "
MOST_LINES = 5
OTHER_VERSION = re.compile(r"server version: (\d{1,2})\b.*pg_dump version")
CODE = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")
FULL = ("QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded")


def failure_of(answer: Answer) -> DataPlaneError:
    """Return the error of an answer that names a failure."""
    if answer.failed == "dump":
        return _of_dump(answer.detail)
    if answer.failed == "bucket-refused":
        return _of_bucket(answer.detail)
    return _FAILURES.get(answer.failed, _UNKNOWN)


def newer_server(answer: Answer) -> int | None:
    """Return the major version of a server that is too new for the pg_dump that was used."""
    found = OTHER_VERSION.search(text_of(answer.detail, 2_000))
    return int(found[1]) if answer.failed == "dump" and found else None


def problems_in(text: str) -> tuple[str, ...]:
    """Return the lines of PostgreSQL's programs that are safe to show."""
    lines = [text_of(line, 300) for line in text.splitlines() if PROBLEM in line]
    return tuple(lines[-MOST_LINES:])


def reason_in(line: str) -> str:
    """Return what such a line says, without the program's name."""
    return line.partition(PROBLEM)[2]


def _of_dump(detail: str) -> DataPlaneError:
    lines = problems_in(detail)
    if "No space left" in " ".join(lines):
        return NO_ROOM
    reason = f" {reason_in(lines[0])}" if lines else ""
    return Permanent(
        f"PostgreSQL could not back up the metadata database.{reason}{explained(lines)}", log=lines
    )


def _of_bucket(detail: str) -> DataPlaneError:
    code = found[1] if (found := CODE.search(detail)) else ""
    if code in FULL or detail.startswith("507"):
        return Permanent("The bucket is full. Make room there, or raise its quota.")
    if code in ("AccessDenied", "RequestExpired", "ExpiredToken"):
        return Temporary("The bucket refuses the Job, which may have begun too late. Try again.")
    if code in ("NoSuchKey", "NoSuchUpload"):
        return Permanent("The bucket does not have the object any more. Try again.")
    word = f", {code}" if code else ""
    return Permanent(f"The bucket refuses the Job (status {detail[:3]}{word}).")


NO_ROOM = Permanent(
    f"The node has no room for the backup, which is written to its disk first: up to {DUMP_GIB} "
    "GiB. Free some space there, or shorten the history that Airflow keeps."
)
_UNKNOWN = Permanent("The Job of the backup failed.")
_FAILURES: dict[str, DataPlaneError] = {
    "bucket-away": Temporary(
        "The bucket does not answer from this cluster, whose pods need the same address as the "
        "portal. Check the cluster's network."
    ),
    "bucket-untrusted": Permanent(
        "The certificate of the bucket's server is not trusted on this cluster. Enter its CA "
        "certificate in Settings, Buckets."
    ),
    "dump-large": Permanent(
        f"The backup is larger than the {DUMP_GIB} GiB that a cluster sends. Use the backups of "
        "your PostgreSQL server, or shorten the history that Airflow keeps."
    ),
    "dump-damaged": Permanent("The object in the bucket is damaged: its checksum is another one."),
    "disk-full": NO_ROOM,
}
