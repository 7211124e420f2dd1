"""Settings from the environment, and the keys of a home."""

import json
import os
import runpy
from pathlib import Path

import pytest

from apps.core.encryption.crypto import KeyRing
from apps.dataplane.local.home import Home
from apps.dataplane.local.machine import embedded_databases
from astro_portal.env import (
    ConfigurationError,
    env_bool,
    env_docs,
    env_int,
    env_list,
    env_secret,
    env_str,
)
from astro_portal.keys import make_missing_keys
from tests.embedded import temporary_home

SETTINGS = Path(__file__).resolve().parents[2] / "astro_portal" / "settings.py"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith(("X_", "PORTAL_", "DATABASE_URL", "REDIS_URL")):
            monkeypatch.delenv(name)


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X_VALUE", "  ")

    assert env_str("X_VALUE", "default") == "default"
    assert env_int("X_VALUE", 7) == 7
    assert env_bool("X_VALUE", True) is True
    assert env_list("X_VALUE", ["a"]) == ["a"]
    assert env_secret("X_VALUE") == ""
    with pytest.raises(ConfigurationError, match=r"^X_VALUE must be set\.$"):
        env_str("X_VALUE")


def test_values_are_read_in_their_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X_NUMBER", "42")
    monkeypatch.setenv("X_SWITCH", "Off")
    monkeypatch.setenv("X_LIST", "a, b ,,c")

    assert env_int("X_NUMBER", 1, minimum=42, maximum=42) == 42
    assert env_bool("X_SWITCH", True) is False
    assert env_list("X_LIST") == ["a", "b", "c"]


def test_where_help_leads_ends_with_a_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    assert env_docs("X_DOCS", "/docs/") == "/docs/"

    monkeypatch.setenv("X_DOCS", "https://docs.example.org/portal")

    assert env_docs("X_DOCS", "/docs/") == "https://docs.example.org/portal/"


@pytest.mark.parametrize(
    "value", ["docs", "/docs", "javascript:alert(1)", "https://", "https://a@b/", "https://a/?b"]
)
def test_help_leads_to_no_other_kind_of_address(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("X_DOCS", value)

    with pytest.raises(ConfigurationError, match="X_DOCS must be an address like"):
        env_docs("X_DOCS", "/docs/")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("many", "X_NUMBER must be a whole number, not 'many'."),
        ("0", "X_NUMBER must be at least 1, not 0."),
        ("99999", "X_NUMBER must be at most 65535, not 99999."),
    ],
)
def test_a_wrong_number_is_named(monkeypatch: pytest.MonkeyPatch, value: str, message: str) -> None:
    monkeypatch.setenv("X_NUMBER", value)

    with pytest.raises(ConfigurationError) as caught:
        env_int("X_NUMBER", 8080, minimum=1, maximum=65535)

    assert str(caught.value) == message


def test_a_wrong_switch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X_SWITCH", "maybe")

    with pytest.raises(ConfigurationError, match="X_SWITCH must be true or false, not 'maybe'"):
        env_bool("X_SWITCH", False)


def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("hidden\n")
    monkeypatch.setenv("X_SECRET_FILE", str(file))

    assert env_secret("X_SECRET") == "hidden"

    monkeypatch.setenv("X_SECRET", "plain")
    with pytest.raises(ConfigurationError, match="not both"):
        env_secret("X_SECRET")

    monkeypatch.delenv("X_SECRET")
    file.unlink()
    with pytest.raises(ConfigurationError, match="X_SECRET_FILE names .* cannot be read"):
        env_secret("X_SECRET")


def test_keys_are_made_once_and_only_for_the_owner() -> None:
    with temporary_home() as home:
        embedded_databases.prepare_home(home)
        make_missing_keys(home)
        first = _contents(home)
        make_missing_keys(home)

        assert _contents(home) == first
        assert KeyRing.from_json(first["encryption.json"])
        assert first["airflow-sign-in.pem"].startswith("-----BEGIN PRIVATE KEY-----")
        assert len(first["edge-secret"]) >= 43, "32 bytes"
        assert all(path.stat().st_mode & 0o077 == 0 for path in home.keys.iterdir())


def test_it_refuses_to_go_on_when_the_key_of_existing_data_is_lost() -> None:
    with temporary_home() as home:
        embedded_databases.prepare_home(home)
        make_missing_keys(home)
        home.postgres.mkdir()
        (home.postgres / "PG_VERSION").write_text("18")
        (home.keys / "encryption.json").unlink()

        with pytest.raises(ConfigurationError, match="encryption.json is missing.*Restore it"):
            make_missing_keys(home)

        assert not (home.keys / "encryption.json").exists()


def test_keys_in_the_environment_are_not_kept_in_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = json.dumps({"current": "k", "keys": {"k": "A" * 43 + "="}})
    monkeypatch.setenv("PORTAL_ENCRYPTION_KEYS", ring)
    with temporary_home() as home:
        embedded_databases.prepare_home(home)

        make_missing_keys(home)

        assert not (home.keys / "encryption.json").exists()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("DATABASE_URL", "mysql://root:hidden@db/portal", "DATABASE_URL must be an address like"),
        ("DATABASE_URL", "portal", "DATABASE_URL must be an address like postgresql://"),
        ("DATABASE_URL", "postgresql://a:hidden@db:99999/x", "DATABASE_URL must be an address"),
        ("REDIS_URL", "http://:hidden@cache", "REDIS_URL must be an address like redis://"),
        ("PORTAL_URL", "portal.example.org", "PORTAL_URL must be an address like https://"),
        ("PORTAL_URL", "https://example.org/portal", "without a path"),
        ("PORTAL_AIRFLOW_URL", "https://user@example.org", "PORTAL_AIRFLOW_URL must be"),
        ("PORTAL_LOG_LEVEL", "loud", "PORTAL_LOG_LEVEL must be one of DEBUG, INFO"),
        ("PORTAL_SCALE_DOWN_SECONDS", "soon", "PORTAL_SCALE_DOWN_SECONDS must be a whole number"),
        ("PORTAL_AIRFLOW_SIGN_IN_KEY", "hidden", "must be an Ed25519 private key in PEM"),
        ("PORTAL_AIRFLOW_SIGN_IN_PUBLIC_KEY", "hidden", "must be an Ed25519 public key in PEM"),
        ("PORTAL_ENCRYPTION_KEYS", '{"keys": {"k": "hidde"}}', "PORTAL_ENCRYPTION_KEYS is wrong"),
    ],
)
def test_a_wrong_setting_is_named_in_one_sentence(
    name: str, value: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_HOME", str(tmp_path))
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError) as raised:
        runpy.run_path(str(SETTINGS))

    assert message in str(raised.value)
    assert "hidde" not in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def _contents(home: Home) -> dict[str, str]:
    return {path.name: path.read_text() for path in home.keys.iterdir()}
