"""Where delivered code comes from."""

from dataclasses import asdict, dataclass
from typing import Any

from apps.accounts.models import User, UserKind
from apps.deploys.models import Deploy


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The commit that code was taken from, as far as it is known: `repository` as people know it,
    `url` of the commit's page at the provider. All of it may be hostile text.
    """

    repository: str = ""
    branch: str = ""
    path: str = ""
    commit: str = ""
    author: str = ""
    message: str = ""
    url: str = ""

    @property
    def reason(self) -> str:
        """Return the origin in one line for revision and audit log, empty where it is not known."""
        if not self.commit:
            return ""
        folder = f", folder {self.path}" if self.path else ""
        place = ", ".join(one for one in (self.branch, self.repository) if one)
        return f"Commit {self.commit[:12]}{' of ' if place else ''}{place}{folder}"

    def fields(self, *, source: Deploy.Source) -> dict[str, Any]:
        """Return the columns of a deploy that came in some way."""
        return {
            "source": source,
            "git_repository": self.repository[:300],
            "git_branch": self.branch[:255],
            "git_path": self.path[:500],
            "git_commit": self.commit[:64],
            "git_author": self.author[:200],
            "git_message": self.message[:500],
            "git_url": self.url[:1000] if self.url.startswith("https://") else "",
        }

    def as_json(self) -> dict[str, str]:
        """Return the origin as a preview keeps it, until it is deployed: `Origin(**kept)`."""
        return asdict(self)


def source_of(actor: User | None) -> Deploy.Source:
    """Return how code came, which follows from who delivers; no actor means git."""
    if actor is None:
        return Deploy.Source.GIT
    is_person = actor.kind == UserKind.PERSON
    return Deploy.Source.HAND if is_person else Deploy.Source.TOKEN


NOT_KNOWN = Origin()
