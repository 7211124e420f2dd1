from importlib import import_module
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from apps.core.web.gates import open_to_all


@open_to_all
@require_safe
@cache_control(max_age=300)
def openapi(request: HttpRequest) -> HttpResponse:
    return JsonResponse(_document().document())


@open_to_all
@require_safe
def reference(request: HttpRequest) -> HttpResponse:
    return render(request, "api/reference.html", {"subjects": _document().operations_by_subject()})


def _document() -> Any:
    # By its name: all operations are 20 MB of memory, loaded with the first that is asked for.
    return import_module("apps.api.pages.document")
