"""Tickets for streams: scripts of pages ask for one when they open a stream."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import session_id_of
from apps.dataplane.errors import DataPlaneError
from apps.deployments.models import Deployment
from apps.observability.live.tickets import Ticket, sign
from apps.observability.views.logs import SEE, query_of

PATH = "/_live/stream"


@scoped(Deployment, "deployment.view", by="ref")
@require_safe
def status_stream(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    return _answer(Ticket(session_id=_session(request), deployment_id=deployment.pk))


@scoped(Deployment, SEE, by="ref")
@require_safe
def log_stream(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    try:
        query = query_of(request, deployment)
    except DataPlaneError as error:
        return HttpResponse(error.message, status=503, content_type="text/plain; charset=utf-8")
    return _answer(
        Ticket(
            session_id=_session(request),
            deployment_id=deployment.pk,
            component=query.source.component,
            file=query.source.file,
            contains=query.choice.contains,
            is_pattern=query.choice.is_pattern,
            level=query.choice.level,
            zone=timezone.get_current_timezone_name(),
        )
    )


def _session(request: HttpRequest) -> str:
    return session_id_of(user=request_user(request), session_key=request.session.session_key)


def _answer(ticket: Ticket) -> HttpResponse:
    if not settings.HAS_STREAMS:
        return HttpResponse(status=204)
    answer = JsonResponse({"url": f"{settings.AIRFLOW_URL}{PATH}", "ticket": sign(ticket)})
    answer["Cache-Control"] = "no-store"
    return answer
