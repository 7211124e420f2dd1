"""The commit that a program delivers, as the Astro CLI says it."""

from typing import Annotated

from pydantic import StringConstraints

from apps.api.wire.shapes import Like, Shape
from apps.deploys.deliveries.origins import Origin
from apps.deploys.git.reported import origin_of

Text = Annotated[str, StringConstraints(max_length=2_000)]
Sha = Annotated[str, Like(r"^[0-9A-Fa-f]{4,64}$", "3f1c9a0d5b7e")]


class CommitBody(Shape):
    """Only `commitSha` is needed. `account` and `repo` are those of GitHub, for other servers
    `remoteUrl` is the address of the repository; a password in it is not kept.
    """

    commit_sha: Sha
    account: Text = ""
    repo: Text = ""
    remote_url: Text = ""
    branch: Text = ""
    path: Text = ""
    author_name: Text = ""
    commit_url: Text = ""

    def origin(self, *, message: str) -> Origin:
        github = f"https://github.com/{self.account}/{self.repo}"
        return origin_of(
            remote=self.remote_url or (github if self.account and self.repo else ""),
            commit=self.commit_sha,
            branch=self.branch,
            path=self.path,
            author=self.author_name,
            message=message,
            url=self.commit_url,
        )
