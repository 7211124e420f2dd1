from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.access.effective_grants import all_roles
from apps.accounts.request_user import request_user
from apps.core.web.gates import signed_in_only

PAGE_SIZE = 50


@signed_in_only
@require_safe
def own_roles(request: HttpRequest) -> HttpResponse:
    roles = all_roles(user=request_user(request))
    page = Paginator(roles, PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "organizations/roles/own_roles.html", {"page_obj": page})
