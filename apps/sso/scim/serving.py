"""Adapts one SCIM request between Django and scim2-server.

Imported with the first request: the library's models cost much memory, and most portals do not use
them.
"""

import json
import logging
import secrets
from functools import cache
from typing import Any

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from scim2_models import (
    ChangePassword,
    ForbiddenException,
    PatchOp,
    Resource,
    ResourceType,
    SCIMException,
    ScimPolicy,
    ScimProvider,
    UnauthorizedException,
)
from scim2_server.applications.wsgi import WSGIApplication
from scim2_server.bulk import BulkPlan
from scim2_server.conditions import Conditions
from scim2_server.memory import InMemoryStorage
from scim2_server.requests import ScimRequest
from scim2_server.responses import ScimResponse
from scim2_server.service import ScimService
from scim2_server.storage import ScimStorage
from scim2_server.utils import load_default_service_provider_config, parametrize

from apps.access.grants.services import lock_memberships
from apps.sso.models import ScimToken
from apps.sso.scim.attributes import kept_resource_types, kept_schemas
from apps.sso.scim.normalizing import normalized_bulk, normalized_patch, normalized_resource
from apps.sso.scim.storage import RecordStorage
from apps.sso.scim.tokens import is_backed

logger = logging.getLogger(__name__)

READING = frozenset({"GET", "HEAD"})
# What takes access away or gives it: such an operation is never left out.
DECISIVE = ("active", "members")


def serve(request: HttpRequest, *, slug: str, path: str, token: ScimToken | None) -> HttpResponse:
    """Answer a SCIM request at the address of an organization; `token` is None for a wrong one."""
    provider = served_provider()
    service = TolerantService(provider, secret=secrets.token_urlsafe(32))
    storage: ScimStorage = InMemoryStorage()
    if token is not None:
        storage = RecordStorage(token.organization, service, maker=token.created_by)
    application = _Application(storage, provider, service=service, token=token)
    asked = ScimRequest(
        method=str(request.method),
        base_url=f"{settings.PORTAL_URL}/scim/{slug}/v2",
        path=f"/{path}".removesuffix(".scim"),
        query=request.GET.dict(),
        headers=dict(request.headers),
        body=request.body,
    )
    if request.method in READING or token is None:
        return _django(application.serve(asked))
    with transaction.atomic():
        lock_memberships(on=token.organization)
        answer = application.serve(asked)
        if answer.status >= 500:
            transaction.set_rollback(True)
    return _django(answer)


class _Application(WSGIApplication):
    def __init__(
        self,
        storage: ScimStorage,
        provider: ScimProvider,
        service: ScimService,
        *,
        token: ScimToken | None,
    ) -> None:
        super().__init__(storage, provider, service)
        self.token = token

    def check_auth(self, request: ScimRequest) -> None:
        if self.token is None:
            raise UnauthorizedException(detail="The bearer token is missing, wrong or revoked.")
        if not is_backed(self.token):
            raise ForbiddenException(
                detail="Whoever made this token may no longer set up provisioning. A person who "
                "may has to make a new one."
            )


class TolerantService(ScimService):
    """Reads what identity providers send that is not what the standard says.

    Every operation of a PATCH is read and applied by itself, so that one that is not understood
    takes no other one with it. It fails the request if nothing else could be done, or if it decides
    on access.
    """

    def read_creation(
        self, resource_type: ResourceType, body: bytes, content_type: str | None
    ) -> Resource[Any]:
        body = _json(normalized_resource(self.decode_body(body, content_type), resource_type))
        return super().read_creation(resource_type, body, content_type)

    def read_replacement(
        self, resource_type: ResourceType, body: bytes, content_type: str | None
    ) -> Resource[Any]:
        body = _json(normalized_resource(self.decode_body(body, content_type), resource_type))
        return super().read_replacement(resource_type, body, content_type)

    def read_patch(
        self, resource_type: ResourceType, body: bytes, content_type: str | None
    ) -> "PatchOp[Any]":
        payload = normalized_patch(self.decode_body(body, content_type), resource_type)
        try:
            return super().read_patch(resource_type, _json(payload), content_type)
        except SCIMException:
            if len(_operations(payload)) < 2:
                raise
        understood, faults = [], []
        for one in _operations(payload):
            try:
                alone = _json({**payload, "Operations": [one]})
                read = super().read_patch(resource_type, alone, content_type)
            except SCIMException as error:
                faults.append((_target_of(one), error))
            else:
                understood += read.operations or []
        _raise_if_it_matters(faults, is_any_understood=bool(understood))
        return parametrize(PatchOp, self.get_model(resource_type))(Operations=understood)

    def apply_patch(
        self, current: Resource[Any], patch_op: "PatchOp[Any]", conditions: Conditions
    ) -> Resource[Any] | None:
        self.check_preconditions(current, "PATCH", conditions)
        try:
            return super().apply_patch(current, patch_op, conditions)
        except SCIMException:
            if len(patch_op.operations or []) < 2:
                raise
        is_changed, faults, done = False, [], 0
        for one in patch_op.operations or []:
            try:
                is_changed |= type(patch_op)(Operations=[one]).patch(current)
            except SCIMException as error:
                faults.append((str(one.path or ""), error))
            else:
                done += 1
        _raise_if_it_matters(faults, is_any_understood=bool(done))
        return current if is_changed else None

    def read_bulk(self, body: bytes, content_type: str | None) -> BulkPlan:
        self.ensure_bulk_payload_size(len(body))
        types = {str(one.endpoint).strip("/"): one for one in self.provider.resource_types}
        body = _json(normalized_bulk(self.decode_body(body, content_type), types))
        return super().read_bulk(body, content_type)


@cache
def served_provider() -> ScimProvider:
    """Return the resource types that are served, with the attributes that are kept and no others.
    Cached because building them is slow.

    Attributes of others are left out instead of refused: identity providers send many.
    """
    config = load_default_service_provider_config()
    config.change_password = ChangePassword(supported=False)
    return ScimProvider.from_discovery(
        kept_schemas(),
        kept_resource_types(),
        config=config,
        policy=ScimPolicy(
            unknown=ScimPolicy.Unknown.ignore,
            remove_value_as_filter=ScimPolicy.RemoveValue.apply,
            unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
        ),
    )


def _operations(payload: Any) -> list[Any]:
    operations = payload.get("Operations") if isinstance(payload, dict) else None
    return operations if isinstance(operations, list) else []


def _target_of(operation: Any) -> str:
    return str(operation.get("path") or "") if isinstance(operation, dict) else ""


def _raise_if_it_matters(
    faults: list[tuple[str, SCIMException]], *, is_any_understood: bool
) -> None:
    for target, error in faults:
        if not is_any_understood or target.lower().startswith(DECISIVE):
            raise error
        logger.warning("provisioning operation left out", extra={"attribute": target[:80]})


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _django(answer: ScimResponse) -> HttpResponse:
    body = b"" if answer.body is None else json.dumps(answer.body).encode()
    headers = {name: value for name, value in answer.headers.items() if value is not None}
    return HttpResponse(body, status=int(answer.status), headers=headers)
