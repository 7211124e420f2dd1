"""SimpleSAMLphp as a SAML identity provider: Debian's packages, unpacked, with PHP's own server.

Nothing is installed: `apt-get download` and `dpkg -x` into the cache of the tests.
"""

import fcntl
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests.sso.peers.processes import PeerMissing, cache_folder, free_port, serving

RELEASE = "bookworm"
PACKAGES = [
    "simplesamlphp",
    "php-common",
    "php8.2-cli",
    "php8.2-common",
    "php8.2-opcache",
    "php8.2-xml",
    "php8.2-mbstring",
    "php8.2-sqlite3",
    "libsodium23",
    "libargon2-1",
    "libpcre2-8-0",
]
HERE = Path(__file__).parent / "simplesamlphp"
DOWNLOAD_SECONDS = 180
LEFT_OUT = "Left out: the tests with SimpleSAMLphp, because"


class SimpleSAMLphp:
    """An identity provider that runs. `people` is {name: {"password": …, "attributes": {…}}}."""

    def __init__(self, home: Path, url: str) -> None:
        self.home = home
        self.url = url
        self.metadata_url = f"{url}/simplesaml/saml2/idp/metadata.php"

    def trust(self, metadata: bytes) -> None:
        """Take the metadata of a service provider, as its administrator would upload it."""
        (self.home / "portal.xml").write_bytes(metadata)


@contextmanager
def running(people: dict[str, Any]) -> Iterator[SimpleSAMLphp]:
    """Serve an identity provider on a free port of loopback. Raises PeerMissing."""
    program = _unpacked()
    port = free_port()
    with TemporaryDirectory() as folder:
        peer = SimpleSAMLphp(Path(folder), f"http://127.0.0.1:{port}")
        (peer.home / "tmp").mkdir()
        (peer.home / "people.json").write_text(json.dumps(people))
        _write_key(peer.home)
        with serving(
            _command(program, port),
            port=port,
            log=peer.home / "server.log",
            LD_LIBRARY_PATH=":".join(map(str, program.glob("usr/lib/*-linux-gnu"))),
            PHP_INI_SCAN_DIR="",
            PHP_CLI_SERVER_WORKERS="2",
            SIMPLESAMLPHP_CONFIG_DIR=str(HERE),
            PEER_PROGRAM=str(program / "usr/share/simplesamlphp"),
            PEER_HOME=str(peer.home),
            PEER_URL=peer.url,
        ):
            yield peer


def _command(program: Path, port: int) -> list[str]:
    extensions = next(program.glob("usr/lib/php/2*"))
    return [
        str(program / "usr/bin/php8.2"),
        "-c",
        str(HERE / "php.ini"),
        "-d",
        f"extension_dir={extensions}",
        "-S",
        f"127.0.0.1:{port}",
        str(HERE / "router.php"),
    ]


def _unpacked() -> Path:
    """Return the folder with the packages, fetched if this is the first time."""
    release = platform.freedesktop_os_release().get("VERSION_CODENAME")
    if release != RELEASE or not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise PeerMissing(f"{LEFT_OUT} its packages are those of Debian {RELEASE}, by apt-get.")
    folder = cache_folder("simplesamlphp", pins=" ".join([*PACKAGES, platform.machine()]))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _fetch_into(folder)
    return folder


def _fetch_into(folder: Path) -> None:
    with TemporaryDirectory(dir=folder.parent) as work:
        unpacked = Path(work, "unpacked")
        try:
            _run(["apt-get", "download", "-q", *PACKAGES], cwd=work)
            for package in Path(work).glob("*.deb"):
                _run(["dpkg", "-x", str(package), str(unpacked)], cwd=work)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            said = str(error.stderr or "it took too long").strip().splitlines()[-1]
            raise PeerMissing(
                f"{LEFT_OUT} apt-get cannot fetch its packages ({said}). `apt-get update` may help."
            ) from None
        unpacked.rename(folder)


def _run(command: list[str], *, cwd: str) -> None:
    environment = {**os.environ, "LC_ALL": "C"}
    subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=DOWNLOAD_SECONDS,
    )


def _write_key(folder: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "SimpleSAMLphp of a test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    (folder / "peer.key").write_bytes(private)
    (folder / "peer.crt").write_bytes(certificate.public_bytes(pem))
