"""The commit that a program says it delivers. Nothing of it is checked with the repository."""

from urllib.parse import urlsplit

from apps.core.errors import Invalid
from apps.deploys.deliveries.origins import Origin
from apps.deploys.git.servers.remotes import commit_page, provider_of, remote_of


def origin_of(
    *, remote: str, commit: str, branch: str, path: str, author: str, message: str, url: str
) -> Origin:
    """Return where code comes from. `remote` is the address of the repository as git has it, `url`
    the page of the commit; without one it is that of the provider, where the host is a known one.

    Pipelines clone with a token in the address: nothing before the host is kept.
    """
    address = _without_user(remote)
    return Origin(
        repository=_shown(address),
        branch=branch,
        path=path.strip("/"),
        commit=commit.strip().lower(),
        author=author,
        message=message,
        url=url if _is_plain(url) else _page_of(address, commit),
    )


def _without_user(address: str) -> str:
    scheme, separator, rest = address.strip().partition("://")
    if not separator:
        scheme, rest = "", address.strip()
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"


def _shown(address: str) -> str:
    """Return `github.com/acme/dags`, as repositories that are connected are shown."""
    rest = address.rpartition("://")[2]
    return rest.partition("?")[0].partition("#")[0].rstrip("/").removesuffix(".git")


def _is_plain(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.netloc) and "@" not in parts.netloc


def _page_of(address: str, commit: str) -> str:
    try:
        remote = remote_of(address if "://" in address else f"git@{address}")
    except Invalid:
        return ""
    return commit_page(remote, provider=provider_of(remote), commit=commit)
