"""What roles are held on, and where the grants are kept. The tenant apps are never imported here:
scoped objects offer `access_parent`, `access_scope` and `access_paths`.
"""

from typing import Any, Protocol

from django.apps import apps as installed
from guardian.utils import get_group_obj_perms_model, get_user_obj_perms_model

from apps.access.apps import MODELS, TEAM
from apps.access.catalogue import SCOPES


class Scoped(Protocol):
    """`access_parent` is the next object up, None at the top."""

    pk: Any

    @property
    def access_parent(self) -> "Scoped | None": ...


def with_ancestors(on: Any) -> list[Any]:
    """List the object, what it lies in, and so on to the organization."""
    chain = [on]
    while chain[-1].access_parent is not None:
        chain.append(chain[-1].access_parent)
    return chain


def has_grants(model: type[Any]) -> bool:
    """Tell whether roles are held on objects of the model itself; a cluster only passes on its
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
