"""Canaille, an identity provider with groups that signs people in and pushes them by SCIM.

It comes from PyPI into an environment of its own in the cache of the tests. Its lock is made with
`uv pip compile --universal --python-version 3.11 --generate-hashes --no-header canaille.in`.
"""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from tests.sso.peers.processes import PeerMissing, cache_folder, free_port, serving

HERE = Path(__file__).parent
LOCK = HERE / "canaille.lock"
CLIENT_ID, CLIENT_SECRET = "astro-portal", "client-secret-of-the-test-" * 2
INSTALL_SECONDS = 240
LEFT_OUT = "Left out: the tests with Canaille, because"
CONFIGURATION = """
SECRET_KEY = {secret}
SERVER_NAME = {host}
PREFERRED_URL_SCHEME = "http"
[CANAILLE]
DATABASE = "sql"
[CANAILLE_SQL]
DATABASE_URI = {database}
[CANAILLE_OIDC]
TRUSTED_DOMAINS = ["localhost", "127.0.0.1"]
ACTIVE_JWKS = [{key}]
[CANAILLE_SCIM]
ENABLE_CLIENT = true
"""


class Canaille:
    """A Canaille that runs. What its commands change is pushed before they end."""

    def __init__(self, home: Path, program: Path, port: int) -> None:
        self.home, self.program, self.port = home, program, port
        self.issuer = f"http://127.0.0.1:{port}"
        self._console: subprocess.Popen[str] | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {"CANAILLE_CONFIG": str(self.home / "canaille.toml"), "HOME": str(self.home)}

    def run(self, *words: str) -> str:
        """Run one of its commands, as its administrator would, and return what it printed."""
        assert self._console is not None
        assert self._console.stdin is not None
        assert self._console.stdout is not None
        self._console.stdin.write(json.dumps(words) + "\n")
        self._console.stdin.flush()
        answer = json.loads(self._console.stdout.readline() or "{}")
        assert answer.get("problem") == "", (words[:2], answer, self.log())
        return str(answer["printed"])

    def trust(self, *, redirect_uri: str) -> None:
        """Let the portal sign people in who consent."""
        self.run(
            *("create", "client", "--client-id", CLIENT_ID, "--client-secret", CLIENT_SECRET),
            *("--client-name", "Astro Portal", "--redirect-uris", redirect_uri),
            *("--scope", "openid", "--scope", "profile", "--scope", "email", "--scope", "groups"),
            *("--grant-types", "authorization_code", "--response-types", "code"),
            *("--token-endpoint-auth-method", "client_secret_post"),
        )
        # Without an audience its ID tokens name none.
        self.run("set", "client", CLIENT_ID, "--audience", CLIENT_ID)

    def provision(self, *, address: str, token: str) -> None:
        """Push to an address from now on. Canaille sends the access token that it has for a client
        as bearer, and makes one up unless it was given one. An address of this machine is trusted:
        it hears of everybody, and nobody is asked for consent any more.
        """
        issued = ("--issue-date", datetime.now(UTC).isoformat(), "--lifetime", "3600")
        words = ("--token-id", "scim", "--access-token", token, "--client", CLIENT_ID, *issued)
        self.run("create", "token", *words)
        self.run("set", "client", CLIENT_ID, "--client-uri", address)

    def log(self) -> str:
        """Return the last that was logged of commands, pushes that failed among it."""
        return (self.home / "console.log").read_text()[-3000:]

    @contextmanager
    def console(self) -> Iterator[None]:
        with (
            (self.home / "console.log").open("ab") as said,
            subprocess.Popen(
                # -P: this folder has a module of the same name as the program.
                [str(self.program / "bin/python"), "-P", str(HERE / "canaille_console.py")],
                env={"PATH": os.environ["PATH"], **self.environment},
                cwd=self.home,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            ) as self._console,
        ):
            yield


@contextmanager
def running() -> Iterator[Canaille]:
    """Serve a Canaille on a free port of loopback. Raises PeerMissing."""
    program = _installed()
    with TemporaryDirectory() as folder:
        peer = Canaille(Path(folder), program, free_port())
        _configure(peer)
        command = [str(program / "bin/canaille"), "run", "--bind", f"127.0.0.1:{peer.port}"]
        with peer.console():
            peer.run("install")
            with serving(command, port=peer.port, log=peer.home / "server.log", **peer.environment):
                yield peer


def _configure(peer: Canaille) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    told = {"kid": "test", "alg": "RS256", "use": "sig", **RSAAlgorithm.to_jwk(key, as_dict=True)}
    told.pop("key_ops", None)
    text = CONFIGURATION.format(
        secret=json.dumps(os.urandom(16).hex()),
        host=json.dumps(f"127.0.0.1:{peer.port}"),
        database=json.dumps(f"sqlite:///{peer.home}/canaille.sqlite"),
        key="{" + ", ".join(f"{name} = {json.dumps(value)}" for name, value in told.items()) + "}",
    )
    (peer.home / "canaille.toml").write_text(text)


def _installed() -> Path:
    """Return the environment of the lock file, made if this is the first time."""
    pins = LOCK.read_text() + f"{sys.version_info[:2]}"
    folder = cache_folder("canaille", pins=pins)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _install_into(folder)
    return folder


def _install_into(folder: Path) -> None:
    """Make the environment in its place: programs in it name that place."""
    uv, python = [sys.executable, "-m", "uv"], str(folder / "bin" / "python")
    try:
        _run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)])
        _run(
            [*uv, "pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode"]
            + ["--python", python, str(LOCK)]
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = str(error.stderr or "it took too long").strip().splitlines()[-1]
        raise PeerMissing(f"{LEFT_OUT} uv cannot install it ({said}).") from None
    (folder / "complete").touch()


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
