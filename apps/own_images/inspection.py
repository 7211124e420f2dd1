"""What the portal has to know of an image before it runs there: which Airflow, which Python."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.own_images.references import Reference, reference_of
from apps.own_images.registries import (
    PLATFORM,
    Credential,
    ImageUnavailable,
    fetch_image,
    wrong_platform,
)

# What people may set on images that are not made of Airflow's own.
LABEL = "dev.astro-portal.airflow-version"
VARIABLE, PYTHON_VARIABLE = "AIRFLOW_VERSION", "PYTHON_VERSION"
_VERSION = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?:[a-z0-9.+-]{0,20})")


@dataclass(frozen=True, kw_only=True)
class FoundImage:
    """An image that was looked up. `digest` is that of its manifest for linux/amd64;
    `python_version` is empty where the image does not say.
    """

    reference: Reference
    digest: str
    airflow_version: str
    python_version: str = ""

    @property
    def pinned(self) -> str:
        return self.reference.pinned(self.digest)


def find_image(*, name: str, credential: Credential | None = None) -> FoundImage:
    """Look an image up in its registry, and read what it is.

    Raises ImageNameWrong, or ImageUnavailable: not there, for another machine, or no Airflow.
    """
    reference = reference_of(name)
    fetched = fetch_image(reference=reference, credential=credential)
    configuration = fetched.configuration
    platform = (configuration.get("os"), configuration.get("architecture"))
    if platform != PLATFORM:
        raise ImageUnavailable(wrong_platform(["/".join(str(one)[:20] for one in platform)]))
    inner = configuration.get("config")
    settings = inner if isinstance(inner, dict) else {}
    labels, environment = _labels(settings), _environment(settings)
    airflow = _version(labels.get(LABEL)) or _version(environment.get(VARIABLE))
    if not airflow:
        raise ImageUnavailable(
            "No Airflow was found in this image. Build it FROM an image of Airflow, or name the "
            f"version with the label {LABEL}."
        )
    return FoundImage(
        reference=reference,
        digest=fetched.digest,
        airflow_version=airflow,
        python_version=_version(environment.get(PYTHON_VARIABLE)),
    )


def _labels(settings: Mapping[str, Any]) -> dict[str, Any]:
    labels = settings.get("Labels")
    return labels if isinstance(labels, dict) else {}


def _environment(settings: Mapping[str, Any]) -> dict[str, str]:
    listed = settings.get("Env")
    texts = [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []
    pairs = (text.partition("=") for text in texts)
    return {name: value for name, _, value in pairs}


def _version(text: Any) -> str:
    return text if isinstance(text, str) and _VERSION.fullmatch(text) else ""
