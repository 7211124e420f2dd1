"""Adapts one SCIM request between Django and scim2-server.

Imported with the first request: the library's models cost much memory, and most portals do not use
them.
"""

import json
import secrets
from functools import cache

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from scim2_models import ScimProvider, UnauthorizedException
from scim2_server.applications.wsgi import WSGIApplication
from scim2_server.requests import ScimRequest
from scim2_server.responses import ScimResponse
from scim2_server.service import ScimService
from scim2_server.utils import load_default_provider

from apps.access.services import lock_memberships
from apps.organizations.models import Organization
from apps.sso.scim.storage import RecordStorage

READING = frozenset({"GET", "HEAD"})


def serve(
    request: HttpRequest, *, organization: Organization, path: str, is_proved: bool
) -> HttpResponse:
    """Answer a SCIM request for an organization; `is_proved` is whether its token is valid."""
    provider = served_provider()
    service = ScimService(provider, secret=secrets.token_urlsafe(32))
    application = _Application(
        RecordStorage(organization, service), provider, service=service, is_proved=is_proved
    )
    asked = ScimRequest(
        method=str(request.method),
        base_url=f"{settings.PORTAL_URL}/scim/{organization.slug}/v2",
        path=f"/{path}".removesuffix(".scim"),
        query=request.GET.dict(),
        headers=dict(request.headers),
        body=request.body,
    )
    if request.method in READING or not is_proved:
        return _django(application.serve(asked))
    with transaction.atomic():
        lock_memberships(on=organization)
        answer = application.serve(asked)
        if answer.status >= 500:
            transaction.set_rollback(True)
    return _django(answer)


class _Application(WSGIApplication):
    def __init__(
        self,
        storage: RecordStorage,
        provider: ScimProvider,
        service: ScimService,
        *,
        is_proved: bool,
    ) -> None:
        super().__init__(storage, provider, service)
        self.is_proved = is_proved

    def check_auth(self, request: ScimRequest) -> None:
        if not self.is_proved:
            raise UnauthorizedException(detail="The bearer token is missing, wrong or revoked.")


@cache
def served_provider() -> ScimProvider:
    """Return the resource types of RFC 7643, cached because building them is slow."""
    return load_default_provider()


def _django(answer: ScimResponse) -> HttpResponse:
    body = b"" if answer.body is None else json.dumps(answer.body).encode()
    headers = {name: value for name, value in answer.headers.items() if value is not None}
    return HttpResponse(body, status=int(answer.status), headers=headers)
