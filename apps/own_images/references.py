"""Names of images: `registry.example.org/team/etl:1.4`, with a tag or a digest.

Source: Distribution, reference grammar. A name without a registry is one of Docker Hub.
"""

import re
from dataclasses import dataclass

from apps.core.errors import Invalid

LONGEST = 400
HUB = "docker.io"
# Where Docker Hub answers.
HUB_API = "registry-1.docker.io"
_HOST = re.compile(r"(?=.{1,253}(?::|$))[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?")
_PART = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class ImageNameWrong(Invalid):
    def __init__(self, reason: str) -> None:
        super().__init__(
            f"{reason} Write it like registry.example.org/team/etl:1.4.", field="image"
        )


@dataclass(frozen=True)
class Reference:
    """A registry (host, perhaps with a port), a repository in it, and a tag, a digest or both."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def api_host(self) -> str:
        return HUB_API if self.registry == HUB else self.registry

    @property
    def name(self) -> str:
        """The whole name, as people type it."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"

    def pinned(self, digest: str) -> str:
        """Return the name by digest alone, which never means another image."""
        return f"{self.registry}/{self.repository}@{digest}"


def reference_of(text: str) -> Reference:
    """Read a name. Raises ImageNameWrong; a name without tag and digest is refused, because what
    it means would change with every push.
    """
    text = text.strip()
    if len(text) > LONGEST:
        raise ImageNameWrong(f"The name of an image can have at most {LONGEST} characters.")
    rest, _, digest = text.partition("@")
    name, tag = _without_tag(rest)
    registry, repository = _split(name)
    if not _HOST.fullmatch(registry) or not _REPOSITORY.fullmatch(repository):
        raise ImageNameWrong("This is not the name of an image.")
    if (tag and not _TAG.fullmatch(tag)) or ("@" in text and not _DIGEST.fullmatch(digest)):
        raise ImageNameWrong("The tag or the digest of the image is not one.")
    if not tag and not digest:
        raise ImageNameWrong("The image needs a tag or a digest.")
    return Reference(registry, repository, tag, digest)


def _without_tag(text: str) -> tuple[str, str]:
    name, colon, tag = text.rpartition(":")
    has_tag = bool(colon) and "/" not in tag
    if has_tag and not tag:
        raise ImageNameWrong("The tag of the image is missing.")
    return (name, tag) if has_tag else (text, "")


def _split(name: str) -> tuple[str, str]:
    first, _, rest = name.partition("/")
    if rest and ("." in first or ":" in first or first == "localhost"):
        return first, rest
    return HUB, name if "/" in name else f"library/{name}"


def pinned_name(name: str, digest: str) -> str:
    """Return what a cluster runs of an image that was looked up: its name by digest alone."""
    return reference_of(name).pinned(digest)
