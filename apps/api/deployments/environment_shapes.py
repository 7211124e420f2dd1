"""Environment objects on the wire. Secrets are accepted and never sent: `setFields` names what
holds a value.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from apps.api.wire.shapes import InOrganization, Listing, Profile, Shape, profile_of
from apps.core.public_ids import public_id
from apps.environment.objects.models import EnvironmentLink, EnvironmentObject, Kind

TYPES = {
    Kind.CONNECTION: "CONNECTION",
    Kind.VARIABLE: "AIRFLOW_VARIABLE",
    Kind.ENVIRONMENT: "ENVIRONMENT_VARIABLE",
    Kind.BACKEND: "SECRETS_BACKEND",
}
KINDS = {text: kind for kind, text in TYPES.items()}
DEPLOYMENT = "DEPLOYMENT"


class AtObject(InOrganization):
    environment_object_id: str


class ConnectionBody(Shape):
    """A missing field of an override is that of the workspace; a missing secret stays."""

    type: str = Field(default="", max_length=100)
    host: str | None = None
    login: str | None = None
    password: str | None = None
    port: int | None = None
    schema_: str | None = Field(default=None, alias="schema")
    extra: dict[str, Any] | None = None

    def value(self) -> dict[str, Any]:
        return self.model_dump(by_alias=True, exclude_none=True)


class ValueBody(Shape):
    value: str | None = None
    is_secret: bool = False


class BackendBody(Shape):
    """Where else Airflow looks. `options` are those of the form; a missing secret stays."""

    type: str = Field(max_length=100)
    options: dict[str, str] = Field(default_factory=dict)

    def value(self) -> dict[str, Any]:
        return {"type": self.type, "extra": self.options} if self.options else {"type": self.type}


class AskedConnection(Shape):
    object_key: str = Field(max_length=200)


class TriedShape(Shape):
    """`isGood` is missing where nothing was tried."""

    is_good: bool | None = None
    message: str


class LinkBody(Shape):
    scope: Literal["DEPLOYMENT"] = "DEPLOYMENT"
    scope_entity_id: str
    connection_overrides: ConnectionBody | None = None
    airflow_variable_overrides: ValueBody | None = None
    environment_variable_overrides: ValueBody | None = None

    def value(self) -> dict[str, Any]:
        """Return what is overridden; empty where nothing is."""
        if self.connection_overrides:
            return self.connection_overrides.value()
        found = self.airflow_variable_overrides or self.environment_variable_overrides
        return {"value": found.value} if found and found.value is not None else {}


class ExcludedLink(Shape):
    scope: Literal["DEPLOYMENT"] = "DEPLOYMENT"
    scope_entity_id: str


class ObjectBody(Shape):
    description: str | None = Field(default=None, max_length=500)
    auto_link_deployments: bool | None = None
    links: list[LinkBody] | None = None
    exclude_links: list[ExcludedLink] | None = None
    connection: ConnectionBody | None = None
    airflow_variable: ValueBody | None = None
    environment_variable: ValueBody | None = None
    secrets_backend: BackendBody | None = None

    def variable(self) -> ValueBody | None:
        return self.airflow_variable or self.environment_variable


class NewObject(ObjectBody):
    object_key: str = Field(max_length=200)
    object_type: Literal[
        "CONNECTION",
        "AIRFLOW_VARIABLE",
        "ENVIRONMENT_VARIABLE",
        "SECRETS_BACKEND",
        "METRICS_EXPORT",
    ]
    scope: Literal["WORKSPACE", "DEPLOYMENT"]
    scope_entity_id: str


class MadeObject(Shape):
    id: str


class LinkShape(LinkBody):
    set_fields: list[str]


class ObjectShape(Shape):
    id: str
    object_key: str
    object_type: str
    scope: str
    scope_entity_id: str
    source_scope: str
    source_scope_entity_id: str
    description: str
    auto_link_deployments: bool
    links: list[LinkShape]
    exclude_links: list[ExcludedLink]
    set_fields: list[str]
    connection: ConnectionBody | None = None
    airflow_variable: ValueBody | None = None
    environment_variable: ValueBody | None = None
    secrets_backend: BackendBody | None = None
    created_at: datetime
    created_by: Profile
    updated_at: datetime
    updated_by: Profile


class ObjectList(Listing):
    environment_objects: list[ObjectShape]


def object_shape(
    found: EnvironmentObject,
    *,
    plain: dict[str, Any] | None = None,
    set_fields: list[str] | None = None,
) -> ObjectShape:
    """Describe an object; `plain` and `set_fields` in place of its own where a link overrides it.
    Needs `links`, `created_by` and `updated_by`.
    """
    scope = DEPLOYMENT if found.deployment_id else "WORKSPACE"
    place = public_id(
        "deployment" if found.deployment_id else "workspace",
        found.deployment_id or found.workspace_id,
    )
    links = list(found.links.all())
    kind = Kind(found.kind)
    return ObjectShape(
        id=public_id("environment_object", found.pk),
        object_key=found.name,
        object_type=TYPES[kind],
        scope=scope,
        scope_entity_id=place,
        source_scope=scope,
        source_scope_entity_id=place,
        description=found.description,
        auto_link_deployments=found.links_all,
        links=[_link(one, kind) for one in links if not one.is_excluded],
        exclude_links=[ExcludedLink(scope_entity_id=_id(one)) for one in links if one.is_excluded],
        set_fields=found.set_fields if set_fields is None else set_fields,
        created_at=found.created_at,
        created_by=profile_of(found.created_by),
        updated_at=found.updated_at,
        updated_by=profile_of(found.updated_by),
        **_value(kind, found.plain if plain is None else plain, found.is_secret),
    )


def _link(link: EnvironmentLink, kind: Kind) -> LinkShape:
    values = _value(kind, link.plain, False) if link.overrides else {}
    overrides = {f"{name}_overrides": value for name, value in values.items()}
    return LinkShape(scope_entity_id=_id(link), set_fields=link.set_fields, **overrides)


def _id(link: EnvironmentLink) -> str:
    return public_id("deployment", link.deployment_id)


def _value(kind: Kind, plain: dict[str, Any], is_secret: bool) -> dict[str, Any]:
    if kind == Kind.CONNECTION:
        return {"connection": ConnectionBody.model_validate(plain)}
    if kind == Kind.BACKEND:
        shown = BackendBody(type=plain.get("type", ""), options=plain.get("extra", {}))
        return {"secrets_backend": shown}
    name = "airflow_variable" if kind == Kind.VARIABLE else "environment_variable"
    return {name: ValueBody(value=plain.get("value", ""), is_secret=is_secret)}
