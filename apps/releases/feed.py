"""The signed feed of runtimes: one JSON document at an https address, or a file.

    {"payload": "<base64 of JSON>", "signature": "<base64, Ed25519>"}

The signature covers `astro-portal-runtimes/1`, a line break, and the payload's bytes. The payload
has a `serial` that only grows, `issued` and `expires` (ISO 8601, UTC), and `runtimes` with the
fields of runtime/catalogue.toml; `lock` is the text of the lock. What was accepted last stays until
a newer one is accepted: a feed that is away, forged, older or expired changes nothing.
"""

import base64
import json
import logging
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from django.conf import settings

from apps.core.errors import PortalError
from apps.core.outbound.guarded_http import Guard, Reach, get
from apps.dataplane.local.private_files import write_private
from apps.releases.models import Source
from apps.runtimes import additions

logger = logging.getLogger(__name__)

PREFIX = b"astro-portal-runtimes/1\n"
MOST_BYTES, SECONDS = 16 * 1024**2, 30.0
MOST_RUNTIMES = 200
EARLY = timedelta(days=1)
PEM = re.compile(r"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)
RUNTIME = re.compile(r"\d{1,3}\.\d{1,3}\.\d{1,3}-\d{1,3}")
AIRFLOW = re.compile(r"\d{1,3}\.\d{1,3}\.\d{1,3}")
PIN = re.compile(r"[A-Za-z0-9][\w.-]*==\S+")
STALE = "The feed expired on {day}. What it said last still holds; nothing newer was published."


class FeedRefused(PortalError):
    """The feed cannot be believed, or is of no use. What was accepted before stays."""


def look(*, now: datetime) -> bool:
    """Read the feed that is configured, and accept it if it is newer; return whether it was. What
    goes wrong is said on the source.
    """
    if not settings.RUNTIME_FEED:
        return False
    source, _ = Source.objects.get_or_create(name="feed")
    source.checked_at = now
    try:
        is_new = _look(source, now)
    except PortalError as error:
        logger.warning("feed of runtimes not taken", extra={"reason": error.message})
        source.problem, is_new = error.message[:500], False
    source.save()
    return is_new


def _look(source: Source, now: datetime) -> bool:
    payload = opened(read_source(settings.RUNTIME_FEED), keys=public_keys())
    before = int(source.data.get("serial", 0))
    if payload["serial"] < before:
        raise FeedRefused(
            f"The feed has serial number {payload['serial']}, which is older than {before}: it was "
            "refused."
        )
    check_dates(payload, now)
    source.problem = ""
    if payload["serial"] == before:
        return False
    try:
        _accept(payload)
    except OSError as error:
        raise FeedRefused(f"The folder of runtimes cannot be written: {error.strerror}.") from error
    source.data = {name: payload[name] for name in ("serial", "issued", "expires")}
    return True


def read_source(address: str) -> bytes:
    """Return the bytes of the feed. Raises FeedRefused or ExchangeFailed."""
    if "://" not in address:
        return _read_file(Path(address))
    reach = Reach(
        networks=settings.RUNTIME_NETWORKS, setting="PORTAL_RUNTIME_NETWORKS", allows_http=False
    )
    answer = get(
        address, headers={}, guard=Guard(reach=reach, seconds=SECONDS, most_bytes=MOST_BYTES)
    )
    if answer.status != 200:
        raise FeedRefused(f"The address of the feed answered with status {answer.status}.")
    return answer.body


def opened(document: bytes, *, keys: Sequence[Ed25519PublicKey]) -> dict[str, Any]:
    """Return the payload of a document that one of the keys signed. Raises FeedRefused."""
    if not keys:
        raise FeedRefused("PORTAL_RUNTIME_FEED_KEYS is not set, so no feed can be believed.")
    try:
        envelope = json.loads(document)
        payload = base64.b64decode(envelope["payload"], validate=True)
        signature = base64.b64decode(envelope["signature"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise FeedRefused("The feed is not a signed document.") from None
    if not any(_is_signed(key, signature, PREFIX + payload) for key in keys):
        raise FeedRefused("The signature of the feed is of none of the configured keys.")
    return _checked(payload)


def check_dates(payload: dict[str, Any], now: datetime) -> None:
    """Raise FeedRefused for a feed of the future, or one that has expired."""
    issued, expires = _moment(payload["issued"]), _moment(payload["expires"])
    if issued > now + EARLY:
        raise FeedRefused("The feed was issued in the future. Check the clock of this machine.")
    if expires < now:
        raise FeedRefused(STALE.format(day=f"{expires:%Y-%m-%d}"))


def public_keys() -> list[Ed25519PublicKey]:
    """Return the keys of the setting. Raises FeedRefused for one that is no Ed25519 key."""
    keys = []
    for pem in PEM.findall(settings.RUNTIME_FEED_KEYS):
        try:
            key = load_pem_public_key(pem.encode())
        except ValueError:
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise FeedRefused("PORTAL_RUNTIME_FEED_KEYS holds a key that is not of Ed25519.")
        keys.append(key)
    return keys


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(MOST_BYTES)
    except OSError as error:
        raise FeedRefused(f"The file of the feed cannot be read: {error.strerror}.") from error


def _is_signed(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _checked(text: bytes) -> dict[str, Any]:
    """Return a signed payload that has every field in its form."""
    try:
        payload = json.loads(text)
        runtimes = [_checked_runtime(one) for one in payload["runtimes"][:MOST_RUNTIMES]]
        found = {name: str(payload[name]) for name in ("issued", "expires")}
        _moment(found["issued"]), _moment(found["expires"])
        return {**found, "serial": int(payload["serial"]), "runtimes": runtimes}
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError, RecursionError):
        raise FeedRefused("The feed is signed, but this portal does not understand it.") from None


def _checked_runtime(one: dict[str, Any]) -> dict[str, Any]:
    version, airflow, lock = str(one["version"]), str(one["airflow_version"]), str(one["lock"])
    pins = [line for line in lock.splitlines() if line and line[0] not in " #"]
    is_good = bool(RUNTIME.fullmatch(version) and AIRFLOW.fullmatch(airflow))
    is_good = is_good and version.startswith(f"{airflow}-") and all(map(PIN.match, pins))
    if not is_good or f"apache-airflow=={airflow}" not in lock or "--hash=sha256:" not in lock:
        raise ValueError(version)
    return {
        "version": version,
        "airflow_version": airflow,
        "python_versions": [str(python)[:5] for python in one["python_versions"]],
        "released": date.fromisoformat(one["released"]).isoformat(),
        "supported_until": date.fromisoformat(one["supported_until"]).isoformat(),
        "image": str(one["image"])[:500],
        "yanked": str(one.get("yanked", ""))[:200],
        "source": "feed",
        "lock": lock,
    }


def _accept(payload: dict[str, Any]) -> None:
    """Write the locks, then the list that names them: readers see all of a feed or nothing."""
    for one in payload["runtimes"]:
        path = additions.folder() / "locks" / f"runtime-{one['version']}.txt"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, one["lock"])
        one["lock"] = str(path)
    write_private(additions.folder() / additions.FEED, json.dumps(payload, sort_keys=True))


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return found if found.tzinfo else found.replace(tzinfo=UTC)
