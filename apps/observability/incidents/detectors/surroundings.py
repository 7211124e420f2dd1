"""What is wrong around an Airflow: pods, volumes, its database, changes by others."""

from collections.abc import Iterator
from datetime import timedelta

from apps.core.words import bytes_in_words
from apps.dataplane.status import Notice
from apps.observability.incidents.detectors.seen import Finding, Seen, finding_of, utc
from apps.observability.incidents.evidence import evidence
from apps.observability.incidents.kinds import Severity

VOLUME_SOON, VOLUME_NOW = 0.1, 0.03
DATABASE_LARGE, DATABASE_HUGE = 50 * 2**30, 75 * 2**30
RECENT_NOTICE = timedelta(minutes=10)
MOUNTS = ("FailedMount", "FailedAttachVolume")


def pods(look: Seen) -> Iterator[Finding]:
    notices = _recent_notices(look)
    for kind, title, kept in (
        (
            "unschedulable",
            "Pods cannot be scheduled",
            [one for one in notices if one.reason == "FailedScheduling"],
        ),
        (
            "quota",
            "A quota of the namespace is used up",
            [one for one in notices if one.reason == "FailedCreate" and "quota" in one.message],
        ),
        (
            "volume",
            "A volume cannot be attached",
            [one for one in notices if one.reason in MOUNTS],
        ),
    ):
        if kept:
            yield finding_of(
                kind,
                title=title,
                summary=kept[0].message,
                proof=evidence(
                    columns=("Object", "What the cluster says", "Times", "Last"),
                    rows=[(one.object, one.message, one.count, utc(one.last_at)) for one in kept],
                ),
            )


def _recent_notices(look: Seen) -> list[Notice]:
    said = look.observation
    if said is None:
        return []
    return [
        one
        for one in said.notices or ()
        if not one.is_over and said.observed_at - one.last_at < RECENT_NOTICE
    ]


def volume_full(look: Seen) -> Iterator[Finding]:
    size, free = look.number("volume_bytes"), look.number("volume_free")
    if not size or free is None or free / size >= VOLUME_SOON:
        return
    yield finding_of(
        "volume-full",
        severity=Severity.CRITICAL if free / size < VOLUME_NOW else None,
        title="The volume of task logs is nearly full",
        summary=f"{bytes_in_words(int(free))} of {bytes_in_words(int(size))} are free. Without "
        "room tasks fail, because they cannot write their logs.",
        proof=evidence(
            facts=[("Free", bytes_in_words(int(free))), ("Size", bytes_in_words(int(size)))]
        ),
    )


def database_large(look: Seen) -> Iterator[Finding]:
    size = look.number("database_bytes") or 0
    if size > DATABASE_LARGE:
        yield finding_of(
            "database-large",
            severity=Severity.WARNING if size > DATABASE_HUGE else None,
            title=f"The metadata database has {bytes_in_words(int(size))}",
            summary="Queries of the scheduler become slow. Shorten the history that is kept, and "
            "look for large XComs.",
            proof=evidence(facts=[("Size", bytes_in_words(int(size)))]),
        )


def drift(look: Seen) -> Iterator[Finding]:
    said = look.observation
    if said is None or not said.drift or not look.is_settled:
        return
    is_corrected = look.configuration is None or look.configuration.corrects_drift
    then = (
        "The portal reverts such changes, and did not succeed yet."
        if is_corrected
        else "This Deployment does not revert such changes by itself."
    )
    count = len(said.drift)
    yield finding_of(
        "drift",
        title=f"{count} object{'' if count == 1 else 's'} changed outside the portal",
        summary=then,
        proof=evidence(
            columns=("Object", "Fields"),
            rows=[
                (one.object, "gone" if one.is_gone else ", ".join(map(one.described, one.fields)))
                for one in said.drift
            ],
        ),
    )
