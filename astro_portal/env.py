"""Typed readers of the environment. A wrong value becomes one sentence that names the variable."""

import os
from collections.abc import Collection, Sequence
from decimal import Decimal, InvalidOperation
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off"})


class ConfigurationError(Exception):
    """A setting is missing or wrong; the message is one sentence for the operator."""


def env_str(name: str, default: str | None = None) -> str:
    """Read a text; an empty value counts as not set. Without a default the variable is required."""
    value = os.environ.get(name, "").strip()
    if value:
        return value
    if default is None:
        raise ConfigurationError(f"{name} must be set.")
    return default


def env_bool(name: str, default: bool) -> bool:
    """Read a switch: 1/true/yes/on or 0/false/no/off, in any case."""
    value = env_str(name, "").lower()
    if not value:
        return default
    if value in TRUE_WORDS:
        return True
    if value in FALSE_WORDS:
        return False
    raise ConfigurationError(f"{name} must be true or false, not {value!r}.")


def env_int(name: str, default: int, minimum: int | None = None, maximum: int | None = None) -> int:
    """Read a whole number within the given limits, both included."""
    value = env_str(name, "")
    if not value:
        return default
    try:
        number = int(value)
    except ValueError:
        raise ConfigurationError(f"{name} must be a whole number, not {value!r}.") from None
    if minimum is not None and number < minimum:
        raise ConfigurationError(f"{name} must be at least {minimum}, not {number}.")
    if maximum is not None and number > maximum:
        raise ConfigurationError(f"{name} must be at most {maximum}, not {number}.")
    return number


def env_price(name: str) -> Decimal | None:
    """Read an amount of money of at least 0, None where it is not set."""
    value = env_str(name, "")
    if not value:
        return None
    try:
        price = Decimal(value)
    except InvalidOperation:
        price = Decimal(-1)
    if not price.is_finite() or not 0 <= price < 1_000_000:
        raise ConfigurationError(f"{name} must be an amount such as 0.12, not {value!r}.")
    return price


def env_choice(name: str, default: str, choices: Collection[str]) -> str:
    """Read one of a few words, in any case; returned in capitals."""
    value = env_str(name, default).upper()
    if value not in choices:
        raise ConfigurationError(f"{name} must be one of {', '.join(choices)}, not {value!r}.")
    return value


def env_url(name: str, default: str, *, schemes: Collection[str], example: str) -> str:
    """Read a URL of one of the schemes; errors do not repeat it, as it may hold a password."""
    value = env_str(name, default)
    try:
        parts = urlsplit(value)
        is_good = parts.scheme in schemes and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise ConfigurationError(f"{name} must be an address like {example}.")
    return value


def env_docs(name: str, default: str) -> str:
    """Read the address of a website or of a folder of one; it comes back with a slash at its end.
    An unset one is `default`, which may be a path.
    """
    if not env_str(name, ""):
        return default
    example = "https://docs.example.org/portal/"
    value = env_url(name, "", schemes=("http", "https"), example=example).rstrip("/") + "/"
    parts = urlsplit(value)
    if not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigurationError(f"{name} must be an address like {example}, not {value!r}.")
    return value


def env_support(name: str) -> str:
    """Read where people ask for help: an email address, or the https address of a tracker."""
    value = env_str(name, "")
    if not value:
        return ""
    if "://" in value:
        return env_url(name, "", schemes=("https",), example="https://issues.example.org/")
    before, mark, after = value.partition("@")
    is_plain = value.isascii() and value.isprintable() and not set(value) & set(" ?&<>\"',;")
    if not before or not mark or "." not in after or not is_plain:
        raise ConfigurationError(f"{name} must be an email address or one like https://….")
    return value


def env_origin(name: str, default: str) -> str:
    """Read the address of a website: scheme, host and port, without a slash at its end."""
    example = "https://portal.example.org, without a path"
    value = env_url(name, default, schemes=("http", "https"), example=example).rstrip("/")
    parts = urlsplit(value)
    if not parts.hostname or parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigurationError(f"{name} must be an address like {example}, not {value!r}.")
    return value


def env_list(name: str, default: Sequence[str] = ()) -> list[str]:
    """Read a list separated by commas; blanks around items and empty items are dropped."""
    value = env_str(name, "")
    if not value:
        return list(default)
    return [item.strip() for item in value.split(",") if item.strip()]


def env_networks(name: str) -> list[str]:
    """Read networks separated by commas, like 127.0.0.0/8; a lone address is a network of one."""
    networks = []
    for item in env_list(name):
        try:
            networks.append(str(ip_network(item)))
        except ValueError as error:
            raise ConfigurationError(
                f"{name} must be networks like 127.0.0.0/8, separated by commas: {error}."
            ) from None
    return networks


def env_secret(name: str, default: str = "") -> str:
    """Read a secret from the variable, or from the file that `<name>_FILE` names. Not both."""
    file_name = env_str(f"{name}_FILE", "")
    value = env_str(name, "")
    if file_name and value:
        raise ConfigurationError(f"Set {name} or {name}_FILE, not both.")
    if not file_name:
        return value or default
    try:
        content = Path(file_name).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(
            f"{name}_FILE names {file_name}, which cannot be read: {reason}."
        ) from None
    if not content:
        raise ConfigurationError(f"{name}_FILE names {file_name}, which is empty.")
    return content


def check_sign_in_key(pem: str) -> None:
    """Raise ConfigurationError for a key that is there and is no Ed25519 private key."""
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None) if pem else None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if pem and not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(
            "PORTAL_AIRFLOW_SIGN_IN_KEY must be an Ed25519 private key in PEM, without a password."
        )


def public_sign_in_key(pem: str, *, private_pem: str) -> str:
    """Return a public key that Airflows are to check sign-ins with, "" where none is given. Raises
    ConfigurationError for another kind of key, and for one of another private key.
    """
    if not pem:
        return ""
    try:
        given = serialization.load_pem_public_key(pem.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        given = None
    if not isinstance(given, Ed25519PublicKey):
        raise ConfigurationError(
            "PORTAL_AIRFLOW_SIGN_IN_PUBLIC_KEY must be an Ed25519 public key in PEM."
        )
    if private_pem:
        private = serialization.load_pem_private_key(private_pem.encode(), password=None)
        if private.public_key() != given:
            raise ConfigurationError(
                "PORTAL_AIRFLOW_SIGN_IN_PUBLIC_KEY does not belong to PORTAL_AIRFLOW_SIGN_IN_KEY."
            )
    return given.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()
