"""Addresses of git repositories, branches and folders: what is accepted, and where a commit is
shown. Knows nothing of the database.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from apps.core.errors import Invalid

HTTPS_PORT, SSH_PORT = 443, 22
# git@github.com:acme/dags.git, as providers show it.
SCP_LIKE = re.compile(r"(?P<user>[\w.-]+)@(?P<host>[\w.-]+):(?P<path>[^:].*)")
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
USER = re.compile(r"[\w.-]{1,64}", re.ASCII)
# Nothing that git, a shell or an ssh server would read as more than a name.
PATH = re.compile(r"/[\w.~+/-]+", re.ASCII)
BRANCH = re.compile(r"[^\x00-\x20\x7f~^:?*\[\\]+")
PROVIDERS = {
    "github.com": "github",
    "gitlab.com": "gitlab",
    "bitbucket.org": "bitbucket",
    "codeberg.org": "gitea",
}
COMMIT_PAGES = {
    "github": "https://{host}/{path}/commit/{commit}",
    "gitlab": "https://{host}/{path}/-/commit/{commit}",
    "gitea": "https://{host}/{path}/commit/{commit}",
    "bitbucket": "https://{host}/{path}/commits/{commit}",
}


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A repository's address in parts; `path` begins with a slash, `host` has no brackets."""

    scheme: str
    user: str
    host: str
    port: int
    path: str

    @property
    def url(self) -> str:
        """Return the address that git is given: one form for all that mean the same."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = SSH_PORT if self.scheme == "ssh" else HTTPS_PORT
        port = "" if self.port == usual else f":{self.port}"
        user = f"{self.user}@" if self.user else ""
        return f"{self.scheme}://{user}{host}{port}{self.path}"


def remote_of(address: str) -> Remote:
    """Read the address of a repository, of https or ssh; raises Invalid, with field "url"."""
    text = address.strip()
    if found := SCP_LIKE.fullmatch(text):
        text = f"ssh://{found['user']}@{found['host']}/{found['path'].lstrip('/')}"
    try:
        # What urlsplit would leave out without a word.
        if not text.isprintable():
            raise ValueError
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise Invalid("This is not the address of a repository.", field="url") from None
    if parts.scheme not in ("https", "ssh"):
        raise Invalid(
            "Use an address that begins with https:// or ssh://, or git@host:path.", field="url"
        )
    if parts.password or (parts.scheme == "https" and parts.username):
        raise Invalid(
            "Leave user and password out of the address: there are fields for them.", field="url"
        )
    host = parts.netloc.rpartition("@")[2]
    host = host if host.endswith("]") else re.sub(r":\d*$", "", host)
    path = parts.path.rstrip("/")
    if not HOST.fullmatch(host) or not _is_plain(path) or parts.query or parts.fragment:
        raise Invalid("This is not the address of a repository.", field="url")
    user = "" if parts.scheme == "https" else parts.username or "git"
    if user and (not USER.fullmatch(user) or user.startswith("-")):
        raise Invalid("This is not the address of a repository.", field="url")
    usual = SSH_PORT if parts.scheme == "ssh" else HTTPS_PORT
    return Remote(
        scheme=parts.scheme,
        user=user,
        host=host.strip("[]").lower(),
        port=port or usual,
        path=path,
    )


def _is_plain(path: str) -> bool:
    names = path.split("/")[1:]
    climbs = any(name in ("", ".", "..") or name.startswith("-") for name in names)
    return bool(PATH.fullmatch(path)) and not climbs


def provider_of(remote: Remote) -> str:
    """Return the provider that a host is known to be, `other` for any other host."""
    return PROVIDERS.get(remote.host, "other")


def commit_page(remote: Remote, *, provider: str, commit: str) -> str:
    """Return the address of a commit's page at the provider, empty where that is not known."""
    pattern = COMMIT_PAGES.get(provider)
    if pattern is None:
        return ""
    host = remote.host
    if remote.scheme == "https" and remote.port != HTTPS_PORT:
        host = f"{host}:{remote.port}"
    path = quote(remote.path.strip("/").removesuffix(".git"))
    return pattern.format(host=host, path=path, commit=commit)


def clean_branch(name: str) -> str:
    """Return the name of a branch; raises Invalid, with field "branch". The rules are those of
    `git check-ref-format`.
    """
    name = name.strip().removeprefix("refs/heads/")
    parts = name.split("/")
    is_bad = (
        not BRANCH.fullmatch(name)
        or not name.isprintable()
        or name.startswith("-")
        or name.endswith(".")
        or ".." in name
        or "@{" in name
        or name == "@"
        or any(not one or one.startswith(".") or one.endswith(".lock") for one in parts)
    )
    if is_bad or len(name) > 255:
        raise Invalid("This is not the name of a branch.", field="branch")
    return name


def clean_folder(path: str) -> str:
    """Return a folder inside of a repository without slashes around it, empty for all of it; raises
    Invalid, with field "path".
    """
    parts = [part for part in path.strip().split("/") if part not in ("", ".")]
    if ".." in parts or "\\" in path or not path.isprintable() or len(path) > 500:
        raise Invalid(
            "Give a folder inside of the repository, for example pipelines/dags.", field="path"
        )
    return "/".join(parts)
