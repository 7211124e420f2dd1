"""What identity providers send to the provisioning endpoint."""

from typing import Any

SCIM = "application/scim+json"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


def person(name: str = "dana", **more: Any) -> dict[str, Any]:
    address = f"{name}@nordhavn.test"
    return {
        "schemas": [USER],
        "userName": address,
        "name": {"givenName": "Dana", "familyName": "Berg"},
        "emails": [{"value": address, "primary": True}],
        "active": True,
        **more,
    }


def patch(*operations: dict[str, Any]) -> dict[str, Any]:
    return {"schemas": [PATCH], "Operations": list(operations)}
