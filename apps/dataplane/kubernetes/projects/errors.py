"""Why a Job of a project failed, in messages for the person who deploys. Pure."""

from apps.dataplane.errors import DataPlaneError, Permanent, Temporary
from apps.dataplane.kubernetes.projects.answers import Answer
from apps.dataplane.project_checks.causes import INDEX_AWAY, known_cause
from apps.dataplane.untrusted import text_of

MOST_DETAIL = 300


def failure_of(answer: Answer) -> DataPlaneError:
    """Return the error of an answer that names a failure."""
    if answer.failed == "install":
        return _installation(answer.detail)
    known = _FAILURES.get(answer.failed, _UNKNOWN)
    detail = text_of(answer.detail, MOST_DETAIL)
    return type(known)(f"{known.message} {detail}".strip())


def index_away() -> Temporary:
    """Return the error of a package index that a cluster does not reach."""
    return Temporary(
        "The package index does not answer from this cluster. Check the cluster's network, or name "
        "an index that it reaches in the settings of the cluster."
    )


def _installation(output: str) -> DataPlaneError:
    cause = known_cause(output)
    if cause == INDEX_AWAY:
        return index_away()
    if cause:
        return Permanent(cause)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return Permanent(f"The packages could not be installed. {text_of(' '.join(lines[-2:]), 400)}")


_UNKNOWN = Permanent("The Job that prepares the packages failed.")
_FAILURES: dict[str, DataPlaneError] = {
    "registry-away": Temporary(
        "The registry of this cluster does not answer, so the image with the packages was not "
        "stored. What runs is unchanged; check it again when the registry is back."
    ),
    "registry-lost": Temporary(
        "The registry of this cluster went away while the image was being stored. What runs is "
        "unchanged; check it again."
    ),
    "late": Temporary("The package index took too long to answer. Try it again later."),
    "registry-refused": Permanent(
        "The registry refuses the credential of this cluster, or it may not push there. Someone "
        "who manages clusters can enter another one in the settings of the cluster."
    ),
    "registry-full": Permanent(
        "The registry of this cluster has no room for the image with the packages. What runs is "
        "unchanged; free some space there and check it again."
    ),
    "registry-failed": Permanent(
        "The registry of this cluster failed while the image was being stored. What runs is "
        "unchanged."
    ),
    "registry-broken": Permanent(
        "The registry of this cluster does not answer as a registry does."
    ),
    "registry-untrusted": Permanent(
        "The certificate of the registry is not trusted. Enter the CA certificate of the registry "
        "in the settings of the cluster."
    ),
    "image-missing": Permanent(
        "The image of the runtime was not found where the settings of the cluster look for it."
    ),
    "image-layout": Permanent(
        "In the image of the runtime, Airflow is not where packages can be put beside it."
    ),
    "no-uv": Permanent("The image of the runtime has no uv, which installs packages."),
    "replaces": Permanent(
        "The packages of the project would replace those of the runtime, for which they were not "
        "locked. Deploy the project again."
    ),
    "disk-full": Permanent(
        "The packages need more disk than their Job may use: 8 GiB with all that is downloaded."
    ),
}
