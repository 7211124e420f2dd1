"""Real git servers on this machine: over https by git's own `http-backend`, over ssh by OpenSSH.

A bare repository is what both serve; `Repository` commits to it without a work tree.
"""

import base64
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.kubernetes.certificates import Authority

BACKEND = Path("/usr/lib/git-core/git-http-backend")
SSHD = Path("/usr/sbin/sshd")
TOKEN = "canary-git-token-4be1"
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "Ana Kovač",
    "GIT_AUTHOR_EMAIL": "ana@example.org",
    "GIT_COMMITTER_NAME": "CI",
    "GIT_COMMITTER_EMAIL": "ci@example.org",
}


class Repository:
    """A bare repository in a folder of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._git("init", "--bare", "--quiet", "--initial-branch=main", str(path))
        self._git("config", "http.receivepack", "false")

    def commit(
        self,
        files: dict[str, bytes],
        *,
        branch: str = "main",
        message: str = "Change DAGs",
        more: str = "",
        parent: str = "",
    ) -> str:
        """Replace everything on a branch by these files, on top of nothing or of `parent`: a forced
        push.

        `more` are further lines for the index, as `git update-index --index-info` takes them.
        """
        lines = [
            f"100644 {self._git('hash-object', '-w', '--stdin', stdin=content)}\t{name}"
            for name, content in files.items()
        ]
        index = self.path / "index"
        index.unlink(missing_ok=True)
        text = "".join(f"{line}\n" for line in [*lines, *filter(None, [more])])
        self._git("update-index", "--add", "--index-info", stdin=text.encode())
        tree = self._git("write-tree")
        above = ("-p", parent) if parent else ()
        commit = self._git("commit-tree", "-m", message, *above, tree)
        self._git("update-ref", f"refs/heads/{branch}", commit)
        return commit

    def drop(self, branch: str) -> None:
        self._git("update-ref", "-d", f"refs/heads/{branch}")

    def _git(self, *arguments: str, stdin: bytes = b"") -> str:
        done = subprocess.run(
            ["git", *arguments],
            input=stdin,
            capture_output=True,
            check=True,
            env={**ENVIRONMENT, "GIT_DIR": str(self.path)},
        )
        return done.stdout.decode().strip()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    root: Path
    token: str
    moved_to: str

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self._body())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, body: bytes) -> None:
        if self.moved_to:
            return self._send(301, [("Location", f"{self.moved_to}{self.path}")], b"")
        wanted = f"Basic {base64.b64encode(f'ci:{self.token}'.encode()).decode()}"
        if self.token and self.headers.get("Authorization") != wanted:
            return self._send(401, [("WWW-Authenticate", 'Basic realm="git"')], b"")
        path, _, query = self.path.partition("?")
        done = subprocess.run(
            [BACKEND],
            input=body,
            capture_output=True,
            check=False,
            env={
                **ENVIRONMENT,
                "GIT_PROJECT_ROOT": str(self.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            },
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
        return self._send(status, [(n, v) for n, v in headers if n != "Status"], content)

    def _send(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def https_server(
    root: Path, authority: Authority, *, token: str = "", moved_to: str = ""
) -> Iterator[str]:
    """Serve the repositories of a folder; return the address they are below."""
    signed = authority.server("localhost", "127.0.0.1")
    certificate = root / f"server-{time.monotonic_ns()}.pem"
    certificate.write_text(signed.certificate + signed.key)
    handler = type("Handler", (_Handler,), {"root": root, "token": token, "moved_to": moved_to})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def silent_server() -> Iterator[str]:
    """Accept connections and never say a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"


class SshServer:
    """OpenSSH's server on loopback, for one key at a time; `new_host_key` replaces its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700)
        self.authorized = folder / "authorized_keys"
        self.authorized.touch(mode=0o600)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self.new_host_key()

    def new_host_key(self) -> None:
        self.stop()
        key = self.folder / "host_key"
        key.unlink(missing_ok=True)
        Path(f"{key}.pub").unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        self._start(key)

    def allow(self, public_key: str) -> None:
        self.authorized.write_text(f"restrict {public_key}\n")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def _start(self, key: Path) -> None:
        # A server that is not started by root cannot change to a user; it serves its own.
        Path("/run/sshd").mkdir(exist_ok=True)
        configuration = self.folder / "sshd_config"
        configuration.write_text(
            f"HostKey {key}\nAuthorizedKeysFile {self.authorized}\nStrictModes no\nUsePAM no\n"
            "PasswordAuthentication no\nPermitRootLogin prohibit-password\nPidFile none\n"
        )
        command = [SSHD, "-D", "-e", "-f", configuration, "-p", str(self.port)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "-o", "ListenAddress=127.0.0.1"], stderr=log
            )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError((self.folder / "log").read_text())


def why_no_ssh() -> str:
    """Return why there can be no ssh server here, empty if there can."""
    if not SSHD.exists() or shutil.which("ssh") is None:
        return "no OpenSSH server and client here (Debian: openssh-server, openssh-client)"
    return "" if os.geteuid() == 0 else "the server of OpenSSH is started as root here"
