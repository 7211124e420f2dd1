"""What the Jobs of a project share: their input, how they run uv, and how they answer.

They run in an Airflow's image, in pods of their own, and use the standard library alone. An answer
is JSON, compressed, in lines of the log that begin with a mark. The portal reads it as text of a
stranger.
"""

import base64
import contextlib
import hashlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import traceback
import urllib.request
import zlib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

INPUT = Path(os.environ.get("PORTAL_INPUT", "/opt/portal/input"))
CREDENTIAL = Path(os.environ.get("PORTAL_CREDENTIAL", "/opt/portal/credential/credential.json"))
MARK = "portal-answer"
# Of Debian and of Red Hat.
CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
# A kubelet splits longer lines.
LINE_BYTES = 8_000
MOST_OUTPUT_BYTES = 256 * 1024
UV_SECONDS = 300


class Failed(Exception):
    """The Job cannot do its work. `code` says why, `detail` quotes what was seen."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail[-20_000:]


def run(work: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Do the work of a Job and write its answer; a failure is an answer, too."""
    try:
        said = work(json.loads((INPUT / "job.json").read_text()))
    except Failed as failed:
        said = {"failed": failed.code, "detail": failed.detail}
    except OSError as error:
        is_full = error.errno in (28, 122)
        said = {"failed": "disk-full" if is_full else "broken", "detail": str(error)}
    except Exception:
        said = {"failed": "broken", "detail": traceback.format_exc()[-2_000:]}
    sys.stdout.write(answer(said))
    sys.stdout.flush()


def answer(said: dict[str, Any]) -> str:
    """Return the lines of an answer; the last has the SHA-256 of all of them joined."""
    packed = base64.b64encode(zlib.compress(json.dumps(said).encode(), 9)).decode()
    lines = [packed[at : at + LINE_BYTES] for at in range(0, len(packed), LINE_BYTES)]
    end = f"{MARK} end {hashlib.sha256(packed.encode()).hexdigest()}\n"
    return "".join(f"{MARK} {line}\n" for line in lines) + end


def joined(name: str) -> bytes:
    """Return an input file that came in parts, because a ConfigMap holds 1 MiB."""
    return b"".join(part.read_bytes() for part in sorted(INPUT.glob(f"{name}.part-*")))


def installed() -> dict[str, str]:
    """Return name → version of all packages of this image."""
    found = metadata.distributions()
    return {canonical(one.metadata["Name"]): one.version for one in found if one.metadata["Name"]}


def canonical(name: str) -> str:
    """Return a package's name as indexes compare it (PEP 503)."""
    return "-".join(
        part for part in name.lower().replace("_", "-").replace(".", "-").split("-") if part
    )


def trust(ca: str, of_indexes: str = "") -> ssl.SSLContext:
    """Return a context that trusts the system's certificates and those in `ca` (PEM). uv does so
    from now on, and trusts those `of_indexes` besides, which may not speak for a registry.
    """
    context = ssl.create_default_context()
    public = public_certificates()
    if ca:
        context.load_verify_locations(cadata=ca)
    if ca or of_indexes:
        bundle = Path(tempfile.gettempdir()) / "ca.pem"
        bundle.write_text(f"{public}\n{ca}\n{of_indexes}")
        os.environ["SSL_CERT_FILE"] = str(bundle)
    return context


class NotFollowed(urllib.request.HTTPRedirectHandler):
    """Leaves redirects to us: a credential must not go along to another host."""

    def redirect_request(self, *arguments: Any, **named: Any) -> None:
        return None


def opener(context: ssl.SSLContext) -> urllib.request.OpenerDirector:
    """Return what opens exactly the address that is asked for, by no proxy of the environment."""
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context), NotFollowed()
    )


def public_certificates() -> str:
    """Return the certificates that the system trusts, "" where they are in no file."""
    paths = ssl.get_default_verify_paths()
    for path in (os.environ.get("SSL_CERT_FILE"), paths.cafile, *CERTIFICATES):
        if path and Path(path).is_file():
            return Path(path).read_text()
    return ""


def credential() -> dict[str, Any]:
    """Return the secrets of this Job, of the `registry` and of `indexes`; empty without any."""
    try:
        found: dict[str, Any] = json.loads(CREDENTIAL.read_text())
    except FileNotFoundError:
        return {}
    return found


def sources(task: dict[str, Any]) -> dict[str, str]:
    """Return what tells uv where packages are. `task` has `index`, that of the cluster, empty for
    the public one, and `indexes` of people: [name, URL, whether it replaces those].
    """
    indexes = [tuple(one) for one in task.get("indexes") or []]
    only = next((one for one in indexes if one[2]), None)
    first = [f"{one[0]}={one[1]}" for one in indexes if one is not only]
    default = f"{only[0]}={only[1]}" if only else task["index"]
    found = {"UV_INDEX": " ".join(first), "UV_DEFAULT_INDEX": default}
    for name, (user, password) in (credential().get("indexes") or {}).items():
        found[f"UV_INDEX_{name.upper()}_USERNAME"] = user
        found[f"UV_INDEX_{name.upper()}_PASSWORD"] = password
    return {name: value for name, value in found.items() if value}


def uv(*arguments: str, folder: Path, sources: dict[str, str]) -> tuple[int, str]:
    """Run uv, which has no part in building packages; return its status and what it said.

    Raises Failed when the image has none, or its time is over.
    """
    program = shutil.which("uv")
    if program is None:
        raise Failed("no-uv")
    environment = {**os.environ, **sources}
    command = [program, *arguments, "--no-config", "--color", "never", "--no-progress"]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**environment, "UV_CACHE_DIR": str(folder / "cache"), "UV_NO_CONFIG": "1"},
            cwd=folder,
            start_new_session=True,
        )
        try:
            process.wait(timeout=UV_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failed("late", arguments[1]) from None
        finally:
            end_group(process)
        return process.returncode, tail_of(output)


def end_group(process: "subprocess.Popen[bytes]") -> None:
    """End a process with all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def tail_of(output: Any) -> str:
    """Return the end of what was written to a file."""
    end = output.seek(0, os.SEEK_END)
    output.seek(max(0, end - MOST_OUTPUT_BYTES))
    text: str = output.read().decode("utf-8", "replace")
    return text
