"""A feed is believed when it is signed, newer and not expired; anything else changes nothing."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from apps.releases import feed
from apps.releases.models import Source
from apps.runtimes.catalogue import runtime_called, runtimes

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 28, 20, 0, tzinfo=UTC)
KEY = Ed25519PrivateKey.generate()
LOCK = f"apache-airflow==3.4.0 \\\n    --hash=sha256:{'0' * 64}\n"
RUNTIME = {
    "version": "3.4.0-1",
    "airflow_version": "3.4.0",
    "python_versions": ["3.12"],
    "released": "2026-11-20",
    "supported_until": "2028-05-20",
    "image": "apache/airflow:3.4.0",
    "lock": LOCK,
}


def payload(**changes: Any) -> dict[str, Any]:
    return {
        "serial": 7,
        "issued": "2026-11-28T00:00:00Z",
        "expires": "2027-01-28T00:00:00Z",
        "runtimes": [RUNTIME],
        **changes,
    }


def signed(data: Any, key: Ed25519PrivateKey = KEY, prefix: bytes = feed.PREFIX) -> bytes:
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    parts = {"payload": text, "signature": key.sign(prefix + text)}
    return json.dumps({k: base64.b64encode(v).decode() for k, v in parts.items()}).encode()


def pem(key: Any) -> str:
    kind = PublicFormat.SubjectPublicKeyInfo
    return str(key.public_key().public_bytes(Encoding.PEM, kind).decode())


@pytest.fixture
def file(tmp_path: Path, settings: Any) -> Path:
    path = tmp_path / "feed.json"
    settings.RUNTIME_FEED, settings.RUNTIME_FEED_KEYS = str(path), pem(KEY)
    path.write_bytes(signed(payload()))
    return path


def problem() -> str:
    return Source.objects.get(name="feed").problem


def test_a_signed_feed_adds_runtimes_and_withdraws_built_in_ones(file: Path) -> None:
    known = runtimes()[0]
    yanked = RUNTIME | {"version": known.version, "airflow_version": known.airflow_version}
    yanked |= {"yanked": "It loses tasks.", "lock": LOCK.replace("3.4.0", known.airflow_version)}
    file.write_bytes(signed(payload(runtimes=[RUNTIME, yanked])))

    assert feed.look(now=NOW)
    assert not feed.look(now=NOW), "the same feed is not news"

    added, withdrawn = runtime_called("3.4.0-1"), runtime_called(known.version)
    assert (added.source, added.lock_path.read_text()) == ("feed", LOCK)
    assert runtimes()[0] == added
    assert withdrawn.yanked == "It loses tasks."
    assert withdrawn.lock_path == known.lock_path, "packages of what is built in are never replaced"
    assert problem() == ""


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (signed(payload(serial=8), Ed25519PrivateKey.generate()), "of none of the configured keys"),
        (signed(payload(serial=8), prefix=b""), "of none of the configured keys"),
        (b"{}", "not a signed document"),
        (b"\xff", "not a signed document"),
        (b'{"payload": "%", "signature": ""}', "not a signed document"),
        (signed(payload(serial=6)), "older than 7"),
        (signed(payload(serial=8, issued="2026-12-24T00:00:00Z")), "in the future"),
        (signed(payload(serial=8, expires="2026-11-27T00:00:00Z")), "expired on 2026-11-27"),
        (signed(payload(serial=8, runtimes=[RUNTIME | {"version": "../x"}])), "not understand"),
        (signed(payload(serial=8, runtimes=[RUNTIME | {"lock": "evil"}])), "not understand"),
        (
            signed(payload(serial=8, runtimes=[RUNTIME | {"lock": f"-r /etc/x\n{LOCK}"}])),
            "not understand",
        ),
        (signed(payload(serial="x")), "not understand"),
        (signed(b"[]"), "not understand"),
    ],
)
def test_any_other_document_changes_nothing(file: Path, document: bytes, said: str) -> None:
    feed.look(now=NOW)
    before = runtimes()
    file.write_bytes(document)

    assert not feed.look(now=NOW)

    assert said in problem()
    assert runtimes() == before


def test_a_feed_that_is_away_or_has_no_key_is_said(file: Path, settings: Any) -> None:
    feed.look(now=NOW)
    file.unlink()
    assert not feed.look(now=NOW + timedelta(hours=1))
    assert "cannot be read" in problem()
    file.write_bytes(signed(payload(serial=9)))
    settings.RUNTIME_FEED_KEYS = ""
    assert not feed.look(now=NOW)
    assert "is not set" in problem()
    settings.RUNTIME_FEED_KEYS = pem(generate_private_key(SECP256R1()))
    assert not feed.look(now=NOW)
    assert "not of Ed25519" in problem()

    settings.RUNTIME_FEED_KEYS = pem(Ed25519PrivateKey.generate()) + pem(KEY)

    assert feed.look(now=NOW), "one of several keys is enough, so that keys can be replaced"


def test_an_address_is_asked_through_the_guard(settings: Any) -> None:
    settings.RUNTIME_FEED, settings.RUNTIME_FEED_KEYS = "http://feed.example.org/", pem(KEY)

    assert not feed.look(now=NOW)

    assert problem()
