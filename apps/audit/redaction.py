"""The last safety net: callers leave secrets out themselves; what resembles one is redacted before
it is written.
"""

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "hidden"
# Names of variables: messages such as "role of token@example.org" hold a blank.
_SECRET_NAME = re.compile(
    r"airflow_conn_\S*|(\S*[^a-z\s])?"
    r"(password|passwd|passphrase|secret|token|credentials?|(api|private|access|fernet)_?key|dsn)"
    r"([^a-z\s]\S*)?",
    re.IGNORECASE,
)
_PASSWORD_IN_ADDRESS = re.compile(r"(\w://[^\s:/@]*:)[^\s@]+@")


def redacted(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the changes as plain JSON, with the values of secret names and passwords in addresses
    hidden.
    """
    return {str(field): _value(value, _is_secret(str(field))) for field, value in changes.items()}


def _is_secret(name: str) -> bool:
    return _SECRET_NAME.fullmatch(name) is not None


def _value(value: Any, is_secret: bool) -> Any:
    if isinstance(value, Mapping):
        return {
            str(key): _value(one, is_secret or _is_secret(str(key))) for key, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [_value(one, is_secret) for one in value]
    if value in (None, "") or isinstance(value, bool):
        return value
    if is_secret:
        return HIDDEN
    # Only whole numbers come back from PostgreSQL as they went in, which the hash relies on.
    if isinstance(value, int):
        return value
    return _PASSWORD_IN_ADDRESS.sub(rf"\1{HIDDEN}@", str(value))
