"""Requests that set the state of a commit, as each provider documents them. Pure.

GitHub: REST API, "Create a commit status". GitLab: Commits API, "Set commit pipeline status".
Gitea and Forgejo: "Create a commit status". Bitbucket Cloud: "Create a build status for a commit".
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from apps.deploys.git.servers.remotes import HTTPS_PORT, Remote
from apps.deploys.models import GitRepository

PENDING, SUCCESS, FAILURE = "pending", "success", "failure"
MOST_DESCRIPTION = 140
Provider = GitRepository.Provider
SUPPORTED = (Provider.GITHUB, Provider.GITLAB, Provider.GITEA, Provider.BITBUCKET)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What is told: `key` and `name` are of the Deployment, `url` is a page of the portal."""

    commit: str
    state: str
    key: str
    name: str
    description: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Request:
    url: str
    headers: Mapping[str, str]
    body: bytes


def request_for(
    report: Report, *, provider: str, remote: Remote, username: str, token: str
) -> Request | None:
    """Return the request for a provider, None for one without such an API. `token` is plaintext."""
    make = _MAKERS.get(provider)
    if make is None:
        return None
    url, headers, fields = make(report, remote, username, token)
    return Request(url=url, headers=headers, body=json.dumps(fields).encode())


def is_repeated(provider: str, status: int, body: bytes) -> bool:
    """Return whether a refusal says that the commit has this state already: GitLab refuses to set
    one twice.
    """
    return provider == Provider.GITLAB and status == 400 and b"Cannot transition status" in body


Made = tuple[str, dict[str, str], dict[str, Any]]


def _github(report: Report, remote: Remote, username: str, token: str) -> Made:
    base = (
        "https://api.github.com" if remote.host == "github.com" else f"{_origin_of(remote)}/api/v3"
    )
    headers = {
        "Accept": "application/vnd.github+json",
        "Authorization": f"Bearer {token}",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    fields = _like_github(report)
    return f"{base}/repos/{_path(remote)}/statuses/{report.commit}", headers, fields


def _gitea(report: Report, remote: Remote, username: str, token: str) -> Made:
    url = f"{_origin_of(remote)}/api/v1/repos/{_path(remote)}/statuses/{report.commit}"
    return url, {"Authorization": f"token {token}"}, _like_github(report)


def _like_github(report: Report) -> dict[str, Any]:
    return {
        "state": report.state,
        "context": report.name,
        "description": report.description[:MOST_DESCRIPTION],
        "target_url": report.url,
    }


def _gitlab(report: Report, remote: Remote, username: str, token: str) -> Made:
    project = quote(_path(remote), safe="")
    url = f"{_origin_of(remote)}/api/v4/projects/{project}/statuses/{report.commit}"
    states = {PENDING: "pending", SUCCESS: "success", FAILURE: "failed"}
    fields = {
        "state": states[report.state],
        "name": report.name,
        "description": report.description[:MOST_DESCRIPTION],
        "target_url": report.url,
    }
    return url, {"PRIVATE-TOKEN": token}, fields


def _bitbucket(report: Report, remote: Remote, username: str, token: str) -> Made:
    host = "https://api.bitbucket.org" if remote.host == "bitbucket.org" else _origin_of(remote)
    url = f"{host}/2.0/repositories/{_path(remote)}/commit/{report.commit}/statuses/build"
    states = {PENDING: "INPROGRESS", SUCCESS: "SUCCESSFUL", FAILURE: "FAILED"}
    fields = {
        "state": states[report.state],
        "key": report.key[:40],
        "name": report.name,
        "description": report.description[:MOST_DESCRIPTION],
        "url": report.url,
    }
    # Access tokens of a repository have the user x-token-auth; those of a person a real one.
    is_bearer = username in ("", "x-token-auth")
    pair = base64.b64encode(f"{username}:{token}".encode()).decode()
    return url, {"Authorization": f"Bearer {token}" if is_bearer else f"Basic {pair}"}, fields


def _origin_of(remote: Remote) -> str:
    """Return where the API of a server of one's own is: by https, on the port of the web pages."""
    is_https = remote.scheme == "https" and remote.port != HTTPS_PORT
    host = f"[{remote.host}]" if ":" in remote.host else remote.host
    return f"https://{host}:{remote.port}" if is_https else f"https://{host}"


def _path(remote: Remote) -> str:
    return quote(remote.path.strip("/").removesuffix(".git"))


_MAKERS: dict[str, Callable[[Report, Remote, str, str], Made]] = {
    Provider.GITHUB.value: _github,
    Provider.GITLAB.value: _gitlab,
    Provider.GITEA.value: _gitea,
    Provider.BITBUCKET.value: _bitbucket,
}
