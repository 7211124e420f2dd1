"""npm's oidc-provider, a certified OpenID Connect provider, from the lock file beside this one."""

import fcntl
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.sso.peers.processes import PeerMissing, cache_folder, free_port, serving

HERE = Path(__file__).parent
CLIENT_ID, CLIENT_SECRET = "astro-portal", "client-secret-of-the-test-" * 2
INSTALL_SECONDS = 240
LEFT_OUT = "Left out: the tests with oidc-provider, because"


class OIDCProvider:
    """An issuer that runs, until `stop`. `people` is {subject: {claim: value}}."""

    def __init__(self, home: Path, program: Path, people: dict[str, Any]) -> None:
        self.home, self.program, self.people = home, program, people
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self._process = ExitStack()

    def start(self, *, redirect_uri: str) -> None:
        """Start, or start again with the redirect URI that the portal has shown."""
        self.stop()
        client = {
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "redirect_uris": [redirect_uri],
            "token_endpoint_auth_method": "client_secret_post",
        }
        told = {
            "issuer": self.issuer,
            "port": self.port,
            "client": client,
            "people": self.people,
        }
        (self.home / "told.json").write_text(json.dumps(told))
        command = ["node", str(self.program / "openid_provider.mjs"), str(self.home / "told.json")]
        self._process.enter_context(serving(command, port=self.port, log=self.home / "server.log"))

    def stop(self) -> None:
        self._process.close()


@contextmanager
def running(people: dict[str, Any]) -> Iterator[OIDCProvider]:
    """Serve an issuer on a free port of loopback. Raises PeerMissing."""
    program = _installed()
    with TemporaryDirectory() as folder:
        peer = OIDCProvider(Path(folder), program, people)
        peer.start(redirect_uri="https://portal.invalid/not-known-yet")
        try:
            yield peer
        finally:
            peer.stop()


def _installed() -> Path:
    """Return the folder with the packages of the lock file, installed if this is the first time."""
    if not shutil.which("node") or not shutil.which("npm"):
        raise PeerMissing(f"{LEFT_OUT} node and npm are not installed.")
    names = ("package.json", "package-lock.json", "openid_provider.mjs")
    folder = cache_folder(
        "oidc-provider", pins="".join((HERE / name).read_text() for name in names)
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _install_into(folder, names)
    return folder


def _install_into(folder: Path, names: tuple[str, ...]) -> None:
    with TemporaryDirectory(dir=folder.parent) as work:
        made = Path(work, "made")
        made.mkdir()
        for name in names:
            shutil.copy(HERE / name, made)
        try:
            subprocess.run(
                ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=made,
                check=True,
                capture_output=True,
                text=True,
                timeout=INSTALL_SECONDS,
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            said = str(error.stderr or "it took too long").strip().splitlines()[-1]
            raise PeerMissing(f"{LEFT_OUT} npm cannot install it ({said}).") from None
        made.rename(folder)
