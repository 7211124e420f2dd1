"""Airflow's own REST API of a Deployment, for programs: with the tokens of the portal, in the role
that follows from the caller's grants.

The portal calls that Airflow itself and passes its answer on. Cookies are not read, so no page of
another origin can call on a person's behalf; nothing but `/api/v2` can be reached, and what is no
JSON is not passed on.
"""

import json
from typing import Any
from urllib.parse import quote

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import UserKind
from apps.airflow_access.tickets import airflow_role
from apps.api.wire.errors import NotHere, NotReachable, problem
from apps.api.wire.gates import by_token_on_deployment
from apps.core.errors import Invalid
from apps.core.web.own_addresses import is_plain_path
from apps.dags.airflow.api import airflow_of
from apps.dataplane.airflow_token import AirflowUser
from apps.dataplane.errors import DataPlaneError
from apps.dataplane.status import AirflowResponse
from apps.deployments.models import Deployment
from apps.organizations.tokens.queries import Caller

READING, WRITING = ("GET", "HEAD"), ("POST", "PATCH", "PUT", "DELETE")
ROOT = "/api/v2/"
# It signs people in and out, which the portal does.
CLOSED = "auth/"
LONGEST_PATH = 1_500
SHOWN = 200


@by_token_on_deployment("deployment.airflow.view")
def airflow(
    request: HttpRequest, caller: Caller, deployment: Deployment, path: str
) -> HttpResponse:
    if request.method not in (*READING, *WRITING):
        return problem(request, 405, "Airflow's API takes GET, POST, PATCH, PUT and DELETE.")
    asked = _path(path)
    body = _body(request) if request.method in WRITING else None
    role = airflow_role(user=caller.user, deployment=deployment)
    answer = _call(
        deployment,
        method="GET" if request.method == "HEAD" else str(request.method),
        path=f"{asked}?{request.GET.urlencode()}" if request.GET else asked,
        body=body,
        user=AirflowUser(_name_of(caller), role),
    )
    if request.method in WRITING:
        _record(caller, deployment, f"{request.method} {asked}", answer.status)
    return _passed_on(request, answer)


def _path(path: str) -> str:
    """Return the path in Airflow, quoted anew. Raises NotHere for what is not of its API."""
    is_plain = path.isprintable() and is_plain_path(f"/{path}") and len(path) <= LONGEST_PATH
    if not is_plain or "//" in path or path.startswith(CLOSED):
        raise NotHere
    return ROOT + quote(path, safe="/~:@!$'()*+,;=")


def _body(request: HttpRequest) -> dict[str, Any] | None:
    if not request.body:
        return None
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        raise Invalid("The body is no JSON.") from None
    if not isinstance(body, dict):
        raise Invalid("The body is no JSON object.")
    return body


def _name_of(caller: Caller) -> str:
    """Name the caller as Airflow's own log shows it."""
    user = caller.user
    return user.email if user.kind == UserKind.PERSON else f"token {user.name}"


def _call(
    deployment: Deployment, *, method: str, path: str, body: Any, user: AirflowUser
) -> AirflowResponse:
    api = airflow_of(deployment)
    try:
        return api.plane.airflow(spec=api.spec, method=method, path=path, json=body, user=user)
    except DataPlaneError as error:
        raise NotReachable(error.message) from error


def _record(caller: Caller, deployment: Deployment, what: str, status: int) -> None:
    """Note a change. Its body is not kept: it may hold the password of a connection."""
    with transaction.atomic():
        record_on(
            action="airflow.changed",
            actor=caller.user,
            on=deployment,
            changes={what[:SHOWN]: [None, f"HTTP {status}"]},
        )


def _passed_on(request: HttpRequest, answer: AirflowResponse) -> HttpResponse:
    if answer.status == 401:
        raise NotReachable(
            "Airflow does not accept the portal's account. Change an environment variable of the "
            "Deployment: that writes its keys again."
        )
    if answer.status >= 500 or 300 <= answer.status < 400:
        raise NotReachable(
            f"Airflow answered with an error (HTTP {answer.status}). The log of its API server "
            "says why."
        )
    if answer.data is None:
        if answer.status < 300:
            return HttpResponse(status=204)
        return problem(request, answer.status, "Airflow refused, and gave no reason.")
    return JsonResponse(answer.data, safe=False, status=answer.status)
