import json
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render, resolve_url
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.airflow_access import services
from apps.airflow_access.roles import role_at_present
from apps.airflow_access.tickets import airflow_url, path_in_airflow
from apps.core.errors import PortalError
from apps.core.web.gates import open_to_all
from apps.deployments.badge import display_status
from apps.deployments.models import Deployment, Phase

RETRY_SECONDS = 5


@scoped(Deployment, "deployment.airflow.view", by="ref")
@never_cache
@require_POST
def open_airflow(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    return _hand_over(request, deployment, request.POST.get("next", ""))


@scoped(Deployment, "deployment.airflow.view", by="ref")
@never_cache
@require_GET
def entry(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    return _hand_over(request, deployment, request.GET.get("next", ""))


@csrf_exempt
@open_to_all
@never_cache
@require_POST
def role(request: HttpRequest) -> HttpResponse:
    """Return a person's role to the edge of this machine, authenticated by a shared secret."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    known = settings.EDGE_SECRET
    if not known or scheme != "Bearer" or not constant_time_compare(secret, known):
        return JsonResponse({"error": "Only the edge of this machine may ask."}, status=401)
    try:
        asked = json.loads(request.body)
        ref, person, session_id = asked["ref"], asked["person"], asked["portal_session"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return JsonResponse({"error": "A question has ref, person and portal_session."}, status=422)
    found = role_at_present(ref=str(ref), email=str(person), session_id=str(session_id))
    return JsonResponse({"role": found})


def _hand_over(request: HttpRequest, deployment: Deployment, target: str) -> HttpResponse:
    try:
        admission = services.open_airflow(
            actor=request_user(request),
            deployment=deployment,
            session_key=request.session.session_key,
            target=target,
            now=timezone.now(),
            may_wake=request.method == "POST" or _is_own_visit(request),
        )
    except PortalError as error:
        return _not_up(request, deployment, error.message, target)
    context = {"deployment": deployment, "admission": admission}
    response = render(request, "airflow_access/hand_over.html", context)
    # Airflow checks that the form comes from the portal's origin; the path is not sent.
    response["Referrer-Policy"] = "origin"
    return response


def _is_own_visit(request: HttpRequest) -> bool:
    """Return whether a person came by themselves, from the portal or from an Airflow: a link on a
    page of others must not wake anything.
    """
    return request.headers.get("Sec-Fetch-Site") in ("none", "same-origin", "same-site")


def _not_up(
    request: HttpRequest, deployment: Deployment, message: str, target: str
) -> HttpResponse:
    path = path_in_airflow(target, base=airflow_url(deployment))
    again = resolve_url("airflow_access:airflow_entry", deployment.ref)
    again = f"{again}?{urlencode({'next': path})}" if path else again
    context = {
        "deployment": deployment,
        "message": message,
        "status": display_status(deployment),
        "again": again,
    }
    response = render(request, "airflow_access/not_up.html", context, status=503)
    if deployment.phase == Phase.ACTIVE:
        response["Retry-After"] = str(RETRY_SECONDS)
        response["Refresh"] = f"{RETRY_SECONDS}; url={again}"
    return response
