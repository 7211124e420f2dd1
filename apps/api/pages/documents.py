from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from apps.api.pages.document import document, operations_by_subject
from apps.core.web.gates import open_to_all


@open_to_all
@require_safe
@cache_control(max_age=300)
def openapi(request: HttpRequest) -> HttpResponse:
    return JsonResponse(document())


@open_to_all
@require_safe
def reference(request: HttpRequest) -> HttpResponse:
    return render(request, "api/reference.html", {"subjects": operations_by_subject()})
