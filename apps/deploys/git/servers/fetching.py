"""What the portal asks of a git server: which commits branches are at, and one commit's folder.

Every function checks the server's address first and connects to what was checked. Failures become
sentences for people; what the server says itself is hostile text and shown in part at most.
"""

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from django.conf import settings
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from apps.core.errors import PortalError
from apps.core.outbound.addresses import AddressRefused, NameUnknown, allowed_addresses
from apps.deploys.git.servers.program import Access, Answer, GitMissing, Workbench
from apps.deploys.git.servers.remotes import Remote

SETTING = "PORTAL_GIT_NETWORKS"
ASK_SECONDS, FETCH_SECONDS, READ_SECONDS = 20.0, 120.0, 30.0
MOST_SHOWN = 200
MOST_NAMED = 3
MOST_BRANCHES = 500
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
LFS = "^version https://git-lfs.github.com/spec/v1$"
SUBMODULE, SYMLINK = "160000", "120000"


class GitFailed(PortalError):
    """The repository could not be read; nothing has changed. The message says what to do."""


class HostKeyChanged(GitFailed):
    """The ssh server shows another key than the one that was pinned."""


class FolderMissing(GitFailed):
    """The commit has no such folder."""


@dataclass(frozen=True, kw_only=True)
class Login:
    """A credential: for https `username` and a token, for ssh the private key as `secret` and the
    pinned `host_key`.
    """

    username: str = ""
    secret: str = ""
    host_key: str = ""

    def __repr__(self) -> str:
        return "Login(…)"


@dataclass(frozen=True, kw_only=True)
class Heads:
    """Commits by branch, the default branch, and the key that the ssh server showed."""

    commits: dict[str, str]
    default: str = ""
    host_key: str = ""


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A commit as its author described it: hostile text, cut and made printable."""

    sha: str
    author: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder of a commit: the hash of its content, and sentences about what is left out of it."""

    tree: str
    notes: tuple[str, ...]


class Checkout:
    """One fetched commit, as long as its workbench exists."""

    def __init__(self, bench: Workbench, commit: Commit) -> None:
        self._bench = bench
        self.commit = commit

    def tree_of(self, path: str) -> str:
        """Return the hash of a folder's content; raises FolderMissing."""
        if not path:
            return self._read("rev-parse", f"{self.commit.sha}^{{tree}}").decode().strip()
        listed = self._read("ls-tree", "-z", self.commit.sha, "--", path)
        for entry in listed.split(b"\0"):
            kind, _, name = entry.partition(b"\t")
            if name == path.encode() and kind.split()[1:2] == [b"tree"]:
                return kind.split()[2].decode()
        raise FolderMissing(
            f"The commit has no folder {path}. Correct the path or push the folder."
        )

    def notes_on(self, path: str) -> tuple[str, ...]:
        """Say what of a folder is not delivered as people may expect: submodules and LFS files."""
        tree = self.tree_of(path)
        listed = self._read("ls-tree", "-r", "-l", "-z", tree).split(b"\0")
        entries = [entry.partition(b"\t") for entry in listed if entry]
        submodules = [name for kind, _, name in entries if kind.split()[0] == SUBMODULE.encode()]
        small = {name for kind, _, name in entries if _is_small(kind)}
        pointers = [name for name in self._with_text(tree) if name in small]
        notes = []
        if submodules:
            notes.append(f"Submodules are left out: {_named(submodules)}.")
        if pointers:
            notes.append(
                f"Files of Git LFS are delivered as pointers, without content: {_named(pointers)}."
            )
        return tuple(notes)

    def archive(self, path: str) -> Path:
        """Write a folder as a zip into the workbench and return where it is."""
        target = self._bench.folder / "code.zip"
        target.unlink(missing_ok=True)
        tree = self.tree_of(path)
        answer = self._bench.run(
            "archive", "--format=zip", f"--output={target}", tree, seconds=READ_SECONDS
        )
        _check(answer)
        return target

    def _with_text(self, tree: str) -> list[bytes]:
        """List the files of a tree with the first line of an LFS pointer."""
        # It exits with 1 when there is none.
        answer = self._bench.run("grep", "-z", "-l", "-I", "-e", LFS, tree, seconds=READ_SECONDS)
        if answer.code not in (0, 1):
            _check(answer)
        prefix = f"{tree}:".encode()
        return [name.removeprefix(prefix) for name in answer.output.split(b"\0") if name]

    def _read(self, *arguments: str) -> bytes:
        answer = self._bench.run(*arguments, seconds=READ_SECONDS)
        _check(answer)
        return answer.output


def heads(remote: Remote, login: Login, *, branches: Sequence[str] = ()) -> Heads:
    """Ask which commits branches are at; without names, only for the default branch.

    Raises GitFailed. An unknown branch is missing in the answer.
    """
    with _workbench(remote, login) as bench:
        wanted = [f"refs/heads/{name}" for name in branches] or ["HEAD"]
        answer = bench.run("ls-remote", "--symref", "--", remote.url, *wanted, seconds=ASK_SECONDS)
        _check(answer)
        host_key = bench.seen_host_key()
    commits, default = {}, ""
    for line in answer.output.decode("utf-8", "replace").splitlines():
        value, _, name = line.partition("\t")
        if value.startswith("ref: refs/heads/") and name == "HEAD":
            default = value.removeprefix("ref: refs/heads/")[:MOST_SHOWN]
        elif COMMIT.fullmatch(value) and (name in wanted):
            commits[name.removeprefix("refs/heads/")] = value
    return Heads(commits=commits, default=default, host_key=host_key)


def branches_like(remote: Remote, login: Login, *, pattern: str) -> Heads:
    """Ask which commits the branches are at whose names match a pattern, `*` for anything: at most
    MOST_BRANCHES, by name. Only branches of the repository itself: pull requests of forks lie
    elsewhere. Raises GitFailed.
    """
    with _workbench(remote, login) as bench:
        wanted = f"refs/heads/{pattern}"
        answer = bench.run("ls-remote", "--", remote.url, wanted, seconds=ASK_SECONDS)
        _check(answer)
        host_key = bench.seen_host_key()
    found = {}
    for line in answer.output.decode("utf-8", "replace").splitlines():
        value, _, name = line.partition("\t")
        branch = name.removeprefix("refs/heads/")
        if branch != name and COMMIT.fullmatch(value) and fnmatchcase(branch, pattern):
            found[branch] = value
    commits = dict(sorted(found.items())[:MOST_BRANCHES])
    return Heads(commits=commits, host_key=host_key)


@contextmanager
def checkout(remote: Remote, login: Login, *, branch: str) -> Iterator[Checkout]:
    """Fetch the newest commit of a branch, without its history, for as long as the block lasts.

    Raises GitFailed.
    """
    with _workbench(remote, login) as bench:
        _check(bench.run("init", "--bare", "--quiet", str(bench.repository), seconds=READ_SECONDS))
        answer = bench.run(
            "fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules",
            "--no-write-fetch-head", "--", remote.url, f"+refs/heads/{branch}:refs/heads/fetched",
            seconds=FETCH_SECONDS,
        )  # fmt: skip
        _check(answer)
        yield Checkout(bench, _commit(bench))


def _commit(bench: Workbench) -> Commit:
    answer = bench.run(
        "log", "-1", "--no-show-signature", "--format=%H%x00%an%x00%s", "refs/heads/fetched",
        seconds=READ_SECONDS,
    )  # fmt: skip
    _check(answer)
    sha, author, message = answer.output.decode("utf-8", "replace").rstrip("\n").split("\0")[:3]
    return Commit(sha=sha, author=_printable(author, 200), message=_printable(message, 500))


@contextmanager
def _workbench(remote: Remote, login: Login) -> Iterator[Workbench]:
    try:
        addresses = allowed_addresses(
            host=remote.host,
            port=remote.port,
            networks=tuple(settings.GIT_NETWORKS),
            setting=SETTING,
        )
    except (AddressRefused, NameUnknown) as error:
        raise GitFailed(error.message) from None
    with tempfile.TemporaryDirectory(prefix="portal-git-") as name:
        folder = Path(name)
        access = Access(
            scheme=remote.scheme,
            host=remote.host,
            port=remote.port,
            addresses=addresses,
            username=login.username,
            secret=login.secret,
            host_key=login.host_key,
            ca_file=_ca_file(folder),
        )
        try:
            yield Workbench(folder, access)
        except GitMissing:
            raise GitFailed(
                "The program git is not installed where the portal runs. Its operator has to "
                "install git and openssh-client."
            ) from None


def _ca_file(folder: Path) -> str:
    """Return a file with the public authorities, and those of the operator besides."""
    if not settings.GIT_CA:
        return str(DEFAULT_CA_BUNDLE_PATH)
    path = folder / "ca.pem"
    path.write_text(f"{Path(DEFAULT_CA_BUNDLE_PATH).read_text()}\n{settings.GIT_CA}\n")
    return str(path)


def _check(answer: Answer) -> None:
    """Raise what went wrong, as a sentence."""
    if answer.is_cut:
        raise GitFailed("The repository has more files than the portal reads. Deploy less at once.")
    if answer.code == 0:
        return
    text = answer.complaint
    if answer.is_late:
        raise GitFailed("The git server does not answer in time. The portal tries again later.")
    if "HOST IDENTIFICATION HAS CHANGED" in text or "Host key verification failed" in text:
        raise HostKeyChanged(
            "The server shows another host key than before, so nothing was sent to it. If its key "
            "was replaced, trust the new one on the page of the repository; if not, the connection "
            "may be intercepted."
        )
    raise GitFailed(
        _about_access(text) or _about_network(text) or _about_content(text) or _unknown(text)
    )


def _about_access(text: str) -> str:
    if "Permission denied" in text or "Too many authentication failures" in text:
        return (
            "The server does not accept the deploy key. Add its public half to the repository, "
            "with access to read."
        )
    if re.search(r"could not read (Username|Password)|Authentication failed|error: 40[13]\b", text):
        return "The server refuses the credential. Enter one that may read the repository."
    if re.search(r"error: 404\b|not found|not appear to be a git repository|no such", text, re.I):
        return (
            "The server knows no such repository, or the credential may not see it. Check the "
            "address and the credential."
        )
    if re.search(r"error: 30[12378]\b", text):
        return "The server leads to another address. Connect the repository by that address."
    return ""


def _about_network(text: str) -> str:
    if re.search(r"certificate|gnutls|SSL|TLS", text):
        return (
            "The certificate of the git server is not trusted. The operator of this portal can "
            "add its authority with PORTAL_GIT_CA."
        )
    if re.search(
        r"timed out|Operation too slow|Connection (refused|reset|closed)|Failed to connect"
        r"|Could ?n[o']t connect|No route|unreachable|early EOF|hung up|Timeout|error: 5\d\d\b",
        text,
    ):
        return "The git server does not answer. The portal tries again later."
    return ""


def _about_content(text: str) -> str:
    if "find remote ref" in text:
        return "The branch is not in the repository any more."
    if "No space left" in text:
        return "The portal's disk is full, so the repository was not fetched."
    if "File too large" in text or "signal 25" in text or "out of memory" in text.lower():
        return (
            "The repository is too large for the portal, even without its history. Keep data out "
            "of it."
        )
    if "fsck" in text or "bad object" in text:
        return "The repository holds damaged objects, which git refuses. Run git fsck on it."
    return ""


def _unknown(text: str) -> str:
    fatal = [line for line in text.splitlines() if line.startswith(("fatal:", "error:"))]
    said = _printable(fatal[0].partition(":")[2], MOST_SHOWN) if fatal else "nothing"
    return f"Git cannot read the repository. It said: {said}"


def _printable(text: str, most: int) -> str:
    kept = "".join(one if one.isprintable() else " " for one in text)
    return " ".join(kept.split())[:most]


def _is_small(kind: bytes) -> bool:
    """Return whether an entry of `ls-tree -l` is a file of the size of an LFS pointer."""
    fields = kind.split()
    return (
        len(fields) == 4 and fields[1] == b"blob" and fields[3].isdigit() and int(fields[3]) < 1024
    )


def _named(names: Sequence[bytes]) -> str:
    shown = [_printable(name.decode("utf-8", "replace"), 100) for name in names[:MOST_NAMED]]
    more = len(names) - MOST_NAMED
    return f"{', '.join(shown)} and {more} more" if more > 0 else ", ".join(shown)
