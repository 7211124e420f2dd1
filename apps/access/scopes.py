"""What roles are held on, and where the grants are kept. The tenant apps are never imported here:
scoped objects offer `access_parent`, `access_scope` and `access_paths`.
"""

from typing import Any, ClassVar, Protocol

from django.apps import apps as installed
from guardian.utils import get_group_obj_perms_model, get_user_obj_perms_model

from apps.access.apps import MODELS, TEAM
from apps.access.roles.catalogue import SCOPES, Scope


class Scoped(Protocol):
    """What permissions are held on: an organization, a workspace, a Deployment, a cluster.

    `access_scope` is its kind in the catalogue of permissions. `access_paths` maps the scopes
    above, and its own as "", to the lookup that reaches them. `access_parent` is the next object
    up, None at the top.
    """

    access_scope: ClassVar[Scope]
    access_paths: ClassVar[dict[str, str]]

    @property
    def pk(self) -> Any: ...

    @property
    def access_parent(self) -> "Scoped | None": ...


def with_ancestors(on: Scoped) -> list[Scoped]:
    """List the object, what it lies in, and so on to the organization."""
    chain: list[Scoped] = [on]
    while chain[-1].access_parent is not None:
        chain.append(chain[-1].access_parent)
    return chain


def organization_over(on: Scoped) -> Any:
    """Return the organization that an object belongs to: the object itself where it is one."""
    return with_ancestors(on)[-1]


def has_grants(model: type[Any]) -> bool:
    """Return whether roles are held on objects of the model itself; a cluster only passes on its
    organization's.
    """
    return "" in model.access_paths.values()


def models_with_roles() -> list[type[Any]]:
    """List the models that roles are held on, the widest scope first."""
    return [installed.get_model(MODELS[scope]) for scope in SCOPES]


def grant_model(model: type[Any]) -> Any:
    """Return the table of roles that people and tokens hold on objects of the model."""
    return get_user_obj_perms_model(model)  # type: ignore[arg-type]  # guardian takes classes too


def team_grant_model(model: type[Any]) -> Any:
    """Return the table of roles that Teams hold on objects of the model."""
    return get_group_obj_perms_model(model)  # type: ignore[arg-type]  # guardian takes classes too


def organization_model() -> Any:
    return installed.get_model(MODELS["organization"])


def team_model() -> Any:
    return installed.get_model(TEAM)
