"""Run the program `git` on what is not trusted. Knows nothing of Django.

It runs as a process of its own, which first limits what it and its children may take, then becomes
git: no environment but what stands here, no configuration but one file, no hooks, no submodules, no
helpers, no terminal; https and ssh alone; no redirects. What it answers goes to a file of bounded
size. All of its processes are killed when their time is over.

A secret is never an argument or a variable: https reads it from the configuration, ssh from the
file of the key, both in a folder of mode 0700 that is removed afterwards.
"""

import base64
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

MIB = 1024 * 1024
NULL = "/dev/null"
# What git and its children may write into one file: above all the pack that it is sent.
MOST_FILE_BYTES = 512 * MIB
MOST_MEMORY_BYTES = 1536 * MIB
MOST_CPU_SECONDS = 150
MOST_ANSWER_BYTES = 16 * MIB
MOST_COMPLAINT_BYTES = 16 * 1024
CONNECT_SECONDS, SILENT_SECONDS = 10, 15
# Isolated from packages and from the environment, it limits itself and becomes git.
STARTER = """
import json, os, resource, sys
limits, environment, command = json.loads(sys.argv[1])
for name, value in limits.items():
    resource.setrlimit(getattr(resource, name), (value, value))
os.execvpe(command[0], command, environment)
"""
SEARCHED = "/usr/local/bin:/usr/bin:/bin"


class GitMissing(Exception):
    """The program git or ssh is not installed."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """How git gets to one repository. `addresses` are those that were checked; for https `username`
    and `secret` may be empty; for ssh `secret` is the private key and `host_key` the pinned one,
    empty when the first is to be accepted. `ca_file` has the certificates of trusted authorities.
    """

    scheme: str
    host: str
    port: int
    addresses: tuple[str, ...]
    username: str = ""
    secret: str = field(default="", repr=False)
    host_key: str = ""
    ca_file: str = ""


@dataclass(frozen=True)
class Answer:
    """What git wrote, and how it ended: `is_late` if it was killed. `complaint` is hostile text."""

    code: int
    output: bytes
    complaint: str
    is_late: bool = False
    is_cut: bool = False


class Workbench:
    """A folder (empty, owned by the caller) in which git works for one repository."""

    def __init__(self, folder: Path, access: Access) -> None:
        self.folder = folder
        self.repository = folder / "repository"
        self.known_hosts = folder / "known_hosts"
        _write(folder / "gitconfig", _configuration(folder, access))
        if access.scheme == "ssh":
            _write(folder / "key", access.secret)
            _write(self.known_hosts, f"repository {access.host_key}\n" if access.host_key else "")
            _write(folder / "ssh_config", _ssh_configuration(folder, access))

    def run(self, *arguments: str, seconds: float) -> Answer:
        """Run git with arguments; raises GitMissing."""
        limits = {
            "RLIMIT_CORE": 0,
            "RLIMIT_FSIZE": MOST_FILE_BYTES,
            "RLIMIT_AS": MOST_MEMORY_BYTES,
            "RLIMIT_CPU": MOST_CPU_SECONDS,
            "RLIMIT_NOFILE": 256,
        }
        command = ["git", "--literal-pathspecs", *arguments]
        job = json.dumps([limits, self._environment(), command])
        answer, complaint = self.folder / "answer", self.folder / "complaint"
        with answer.open("wb") as output, complaint.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", STARTER, job],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env={},
                cwd=self.folder,
                start_new_session=True,
            )
            is_late = _wait(process, seconds)
        text = _read(complaint, MOST_COMPLAINT_BYTES).decode("utf-8", "replace")
        if process.returncode == 1 and "FileNotFoundError" in text and "execvpe" in text:
            raise GitMissing
        is_cut = answer.stat().st_size > MOST_ANSWER_BYTES
        output_bytes = _read(answer, MOST_ANSWER_BYTES)
        return Answer(process.returncode, output_bytes, text, is_late, is_cut)

    def seen_host_key(self) -> str:
        """Return the key that the ssh server showed, as it is to be pinned; empty if none did."""
        if not self.known_hosts.exists():
            return ""
        line = _read(self.known_hosts, MOST_COMPLAINT_BYTES).decode("ascii", "replace")
        return " ".join(line.partition("\n")[0].split()[1:3])

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": SEARCHED,
            "HOME": str(self.folder),
            "LC_ALL": "C.UTF-8",
            "GIT_DIR": str(self.repository),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(self.folder / "gitconfig"),
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "/bin/false",
            "GIT_ALLOW_PROTOCOL": "https:ssh",
            "GIT_PROTOCOL_FROM_USER": "0",
            "GIT_SSH_VARIANT": "ssh",
            "GIT_SSH_COMMAND": f"ssh -F {self.folder / 'ssh_config'}",
            "SSH_ASKPASS_REQUIRE": "never",
            "TMPDIR": str(self.folder),
        }


def _wait(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """Wait for git and kill all that it began; return whether its time was over."""
    is_late = False
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        is_late = True
    finally:
        _kill_group(process.pid)
        process.wait()
    return is_late


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _configuration(folder: Path, access: Access) -> str:
    settings = {
        ("core", "hooksPath"): NULL,
        ("core", "symlinks"): "false",
        ("core", "fsmonitor"): "false",
        ("core", "attributesFile"): NULL,
        ("core", "packedGitLimit"): "128m",
        ("core", "packedGitWindowSize"): "16m",
        ("core", "bigFileThreshold"): "32m",
        ("credential", "helper"): "",
        ("fetch", "fsckObjects"): "true",
        ("fetch", "recurseSubmodules"): "false",
        ("fetch", "unpackLimit"): "1",
        ("gc", "auto"): "0",
        ("http", "followRedirects"): "false",
        ("http", "lowSpeedLimit"): "100",
        ("http", "lowSpeedTime"): str(SILENT_SECONDS),
        ("http", "proxy"): "",
        ("http", "sslVerify"): "true",
        ("init", "templateDir"): "",
        ("maintenance", "auto"): "false",
        ("pack", "threads"): "1",
        ("submodule", "recurse"): "false",
        ("uploadpack", "allowFilter"): "false",
    }
    if access.scheme == "https":
        settings |= _for_https(access)
    lines = [f"[{name}]\n\t{key} = {_quoted(value)}" for (name, key), value in settings.items()]
    return "\n".join([*lines, ""])


def _for_https(access: Access) -> dict[tuple[str, str], str]:
    addresses = [f"[{one}]" if ":" in one else one for one in access.addresses]
    # The connection goes to what was checked; the name is not looked up again.
    found = {("http", "curloptResolve"): f"{access.host}:{access.port}:{','.join(addresses)}"}
    if access.ca_file:
        found[("http", "sslCAInfo")] = access.ca_file
    if access.secret:
        pair = f"{access.username or 'git'}:{access.secret}"
        header = base64.b64encode(pair.encode()).decode()
        found[("http", "extraHeader")] = f"Authorization: Basic {header}"
    return found


def _quoted(value: str) -> str:
    if not value.isprintable():
        raise ValueError("A value of git's configuration has control characters.")
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _ssh_configuration(folder: Path, access: Access) -> str:
    options = {
        "HostName": access.addresses[0],
        # Keys are kept by repository: what another one was shown does not count.
        "HostKeyAlias": "repository",
        "IdentityFile": str(folder / "key"),
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "UserKnownHostsFile": str(folder / "known_hosts"),
        "GlobalKnownHostsFile": NULL,
        "StrictHostKeyChecking": "yes" if access.host_key else "accept-new",
        "UpdateHostKeys": "no",
        "HashKnownHosts": "no",
        "CheckHostIP": "no",
        "BatchMode": "yes",
        "PreferredAuthentications": "publickey",
        "ConnectTimeout": str(CONNECT_SECONDS),
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "3",
        "ClearAllForwardings": "yes",
        "ForwardAgent": "no",
        "PermitLocalCommand": "no",
        "ProxyCommand": "none",
        "ControlMaster": "no",
        "LogLevel": "ERROR",
    }
    return "\n".join(["Host *", *(f"  {key} {value}" for key, value in options.items()), ""])


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)


def _read(path: Path, most: int) -> bytes:
    with path.open("rb") as stream:
        return stream.read(most)
