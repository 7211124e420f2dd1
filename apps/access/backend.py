from typing import Any

from apps.access.queries import permissions_held


class RoleBackend:
    """Answers `user.has_perm("deployment.update", obj)` from the roles held on the object and above
    it.
    """

    def authenticate(self, request: Any, **credentials: Any) -> None:
        return None

    def has_perm(self, user: Any, permission: str, obj: Any = None) -> bool:
        return obj is not None and permission in permissions_held(user=user, on=obj)
