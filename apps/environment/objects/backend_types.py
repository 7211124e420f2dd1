"""Where companies keep secrets already, as backends that Airflow asks after the portal's objects.

`runtime/plugins/portal_secrets.py` makes a backend of each, by the classes of Airflow's providers.
Only what is listed here reaches them: no class, path or command of people does.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from apps.core.errors import Invalid
from apps.environment.objects.connection_types import ConnectionType, Field
from apps.environment.objects.values import is_secret_name


@dataclass(frozen=True, kw_only=True)
class BackendType(ConnectionType):
    """A kind of store. `package` is what a project has to bring where the runtime lacks it;
    `addresses` and `documents` are fields that hold an address, or JSON.
    """

    package: str
    required: tuple[str, ...]
    addresses: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()


def _fields(*told: tuple[str, str] | tuple[str, str, str]) -> tuple[Field, ...]:
    """Make fields of names and labels, some with a hint."""
    return tuple(
        Field(name=name, label=label, hint="".join(hint), is_secret=is_secret_name(name))
        for name, label, *hint in told
    )


def _choice(name: str, label: str, *choices: str) -> Field:
    return Field(name=name, label=label, kind="choice", choices=choices)


def _names(kind: str, connections: str, variables: str) -> tuple[Field, ...]:
    return _fields(
        (f"connections_{kind}", "Where connections are", f"Usually {connections}."),
        (f"variables_{kind}", "Where Airflow variables are", f"Usually {variables}."),
    )


OWN = "Leave it empty to use the identity of the Deployment, or of the machine."
_AWS = _fields(
    ("region_name", "Region", "Such as eu-central-1."),
    ("role_arn", "Role to assume"),
    ("aws_access_key_id", "Access key ID", OWN),
    ("aws_secret_access_key", "Secret access key"),
    ("endpoint_url", "Endpoint", "Only for an endpoint in a network of your own."),
)
_AMAZON = "apache-airflow-providers-amazon"
BACKEND_TYPES: Mapping[str, BackendType] = {
    one.key: one
    for one in (
        BackendType(
            key="vault",
            name="HashiCorp Vault",
            package="apache-airflow-providers-hashicorp",
            required=("url",),
            addresses=("url",),
            standard=(),
            extra=(
                *_fields(
                    ("url", "Address", "Such as https://vault.example.org:8200."),
                    ("mount_point", "Mount point", "Usually secret."),
                    ("namespace", "Namespace"),
                ),
                _choice("kv_engine_version", "Version of the KV engine", "2", "1"),
                *_names("path", "connections", "variables"),
                _choice("auth_type", "Sign in by", "token", "approle", "userpass"),
                *_fields(
                    ("token", "Token"),
                    ("role_id", "Role ID"),
                    ("secret_id", "Secret ID"),
                    ("username", "Username"),
                    ("password", "Password"),
                ),
            ),
        ),
        BackendType(
            key="aws-secrets-manager",
            name="AWS Secrets Manager",
            package=_AMAZON,
            required=("region_name",),
            addresses=("endpoint_url",),
            standard=(),
            extra=(*_AWS, *_names("prefix", "airflow/connections", "airflow/variables")),
        ),
        BackendType(
            key="aws-parameter-store",
            name="AWS Systems Manager Parameter Store",
            package=_AMAZON,
            required=("region_name",),
            addresses=("endpoint_url",),
            standard=(),
            extra=(*_AWS, *_names("prefix", "/airflow/connections", "/airflow/variables")),
        ),
        BackendType(
            key="gcp-secret-manager",
            name="Google Cloud Secret Manager",
            package="apache-airflow-providers-google",
            required=(),
            documents=("gcp_keyfile_dict",),
            standard=(),
            extra=(
                *_fields(
                    ("project_id", "Project ID"),
                    ("gcp_keyfile_dict", "Key of a service account, as JSON", OWN),
                ),
                *_names("prefix", "airflow-connections", "airflow-variables"),
            ),
        ),
        BackendType(
            key="azure-key-vault",
            name="Azure Key Vault",
            package="apache-airflow-providers-microsoft-azure",
            required=("vault_url",),
            addresses=("vault_url",),
            standard=(),
            extra=(
                *_fields(
                    ("vault_url", "Address", "Such as https://example.vault.azure.net/."),
                    ("tenant_id", "Tenant ID"),
                    ("client_id", "Client ID", OWN),
                    ("client_secret", "Client secret"),
                    ("managed_identity_client_id", "Client ID of a managed identity"),
                    ("workload_identity_tenant_id", "Tenant ID of a workload identity"),
                ),
                *_names("prefix", "airflow-connections", "airflow-variables"),
            ),
        ),
    )
}


def backend_called(key: str) -> BackendType:
    """Return a type of backends. Raises Invalid for an unknown one."""
    if key not in BACKEND_TYPES:
        raise Invalid(f"Choose a type: {', '.join(BACKEND_TYPES)}.", field="type")
    return BACKEND_TYPES[key]


def check_backend(value: Mapping[str, Any]) -> None:
    """Check what was entered of a backend. Raises Invalid with its field."""
    type_ = backend_called(str(value.get("type", "")))
    options, known = value.get("extra", {}), {one.name: one for one in type_.extra}
    unknown = (set(value) - {"type", "extra"}) | (set(options) - set(known))
    if unknown:
        raise Invalid(f"{type_.name} has no option {sorted(unknown)[0]!r}.")
    for name, one in options.items():
        if not isinstance(one, str) or (known[name].choices and one not in known[name].choices):
            raise _wrong(name, f"{known[name].label}: enter a text that the form offers.")
    for name in type_.required:
        if not options.get(name):
            raise _wrong(name, f"{known[name].label} is missing.")
    for name in type_.addresses:
        if options.get(name) and not _is_address(options[name]):
            raise _wrong(name, "Enter an address that begins with https:// or http://.")
    for name in type_.documents:
        if options.get(name) and not isinstance(_read(options[name]), dict):
            raise _wrong(name, "Paste the whole JSON file of the key.")


def options_of(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a whole value as its class takes them."""
    documents = BACKEND_TYPES[value["type"]].documents
    # JSON, and the number of a version.
    read = (*documents, "kv_engine_version")
    options = value.get("extra", {})
    return {name: _read(one) if name in read else one for name, one in options.items()}


def moved(before: Mapping[str, Any], after: Mapping[str, Any], type_key: str) -> bool:
    """Return whether a backend is asked at another address by now: no stored secret goes there."""
    names = BACKEND_TYPES[type_key].addresses if type_key in BACKEND_TYPES else ()
    had, has = before.get("extra", {}), after.get("extra", {})
    return any(had.get(name, "") != has.get(name, "") for name in names)


def _wrong(name: str, message: str) -> Invalid:
    return Invalid(message, field=f"extra-{name}")


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    is_plain = text.isprintable() and " " not in text and "@" not in parts.netloc
    return parts.scheme in ("https", "http") and bool(parts.hostname) and is_plain


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
