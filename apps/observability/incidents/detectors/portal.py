"""What the portal says in its own rows, whether the data plane answers or not."""

from collections.abc import Iterator
from datetime import timedelta

from django.utils import timezone

from apps.clusters.queries import EXPIRING, expiries_of
from apps.core.words import duration_in_words
from apps.deployments.models import RevisionState
from apps.observability.incidents.detectors.seen import Finding, Seen, finding_of, utc
from apps.observability.incidents.evidence import evidence
from apps.observability.incidents.kinds import Severity
from apps.runtimes.notes import runtime_note

CREDENTIAL_SOON, CREDENTIAL_NOW = timedelta(days=14), timedelta(days=2)
_WITHOUT_ACCESS = (
    "Without a valid one the portal can neither see nor change this Deployment. Airflow goes on."
)
_WITHOUT = {
    EXPIRING["database_ca_expires_at"]: "Without a valid one Airflow does not trust the server of "
    "its metadata database, where it checks the certificate, and stops. Enter its successor in "
    "the settings of the cluster.",
    EXPIRING["registry_ca_expires_at"]: "Without a valid one the portal does not trust the "
    "registry, and images cannot be deployed. Airflow goes on. Enter its successor in the "
    "settings of the cluster.",
}


def unreachable(look: Seen) -> Iterator[Finding]:
    cluster = look.deployment.cluster
    if cluster.unreachable_since is not None:
        yield finding_of(
            "unreachable",
            title=f"The cluster {cluster.name} does not answer",
            summary="Airflow there may be running. Its incidents stay as they were when it was "
            "last seen, and changes are applied when the cluster answers.",
            proof=evidence(
                facts=[
                    ("Cluster", cluster.name),
                    ("Silent since", utc(cluster.unreachable_since)),
                    ("Last error", cluster.last_error),
                    ("Last observation", utc(look.deployment.observed_at)),
                ]
            ),
        )
    elif look.is_old and look.is_settled and look.observation is not None:
        age = (look.now - look.observation.observed_at).total_seconds()
        yield finding_of(
            "unreachable",
            title="It has not been observed for a while",
            summary=f"The last observation is {duration_in_words(age)} old. The workers of the "
            "portal may be stopped or overloaded.",
            proof=evidence(facts=[("Last observation", utc(look.observation.observed_at))]),
        )


def revision_failed(look: Seen) -> Iterator[Finding]:
    wanted, applied = look.deployment.wanted, look.deployment.applied
    if wanted is None or wanted.state != RevisionState.FAILED:
        return
    runs = f"Revision {applied.number} is what runs." if applied else "Nothing runs yet."
    yield finding_of(
        "revision-failed",
        title=f"Revision {wanted.number} was not applied",
        summary=f"{runs} {wanted.failure}",
        proof=evidence(
            facts=[
                ("Wanted", f"Revision {wanted.number}"),
                ("Applied", f"Revision {applied.number}" if applied else "none"),
                ("What it changes", wanted.summary),
            ],
            excerpt=wanted.failure,
        ),
    )


def stopped_retrying(look: Seen) -> Iterator[Finding]:
    at = look.deployment.quarantined_at
    if at is not None:
        yield finding_of(
            "stopped-retrying",
            title="The portal has stopped retrying",
            summary=look.deployment.last_error,
            proof=evidence(facts=[("Stopped", utc(at))]),
        )


def delayed(look: Seen) -> Iterator[Finding]:
    deployment = look.deployment
    is_told = deployment.quarantined_at or deployment.cluster.unreachable_since
    if deployment.last_error and not is_told:
        yield finding_of(
            "delayed",
            title="Changes are delayed",
            summary=deployment.last_error,
            proof=evidence(facts=[("Failed passes in a row", deployment.failures or "")]),
        )


def credential_ends(look: Seen) -> Iterator[Finding]:
    cluster = look.deployment.cluster
    for one in expiries_of(cluster):
        left = one.at - look.now
        if left > CREDENTIAL_SOON:
            return
        ends = "expires soon" if left > timedelta(0) else "has expired"
        yield finding_of(
            "credential-ends",
            # The credential has no subject: what is told of it stays one incident.
            subject="" if one.what == "credential" else one.what,
            severity=Severity.CRITICAL if left <= CREDENTIAL_NOW else Severity.WARNING,
            title=f"The {one.what} of {cluster.name} {ends}",
            summary=_WITHOUT_ACCESS if one.is_access else _WITHOUT[one.what],
            proof=evidence(facts=[("Cluster", cluster.name), ("Expires", utc(one.at))]),
        )


def runtime_unsupported(look: Seen) -> Iterator[Finding]:
    if look.configuration is None:
        return
    version = look.configuration.runtime
    note = runtime_note(version, today=timezone.localdate(look.now))
    if note is not None and note.tone:
        yield finding_of(
            "runtime-unsupported",
            severity=Severity.WARNING if note.tone == "bad" else Severity.INFO,
            title=f"Runtime {version} should be replaced",
            summary=f"{note.message}. A runtime without support gets no corrections.",
            proof=evidence(facts=[("Runtime", version), ("Catalogue", note.message)]),
        )
