from importlib import import_module
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from apps.core.web.gates import open_to_all
from apps.core.web.navigation import Group, Line, Navigation


@open_to_all
@require_safe
def documentation(request: HttpRequest, page_name: str = "") -> HttpResponse:
    # By its name: Markdown is 5 MB of memory, loaded with the first page that is read.
    module = import_module("apps.portal.documentation")
    page = module.page(page_name)
    if page is None:
        raise Http404
    crumbs = [{"label": "Documentation", "url": _address("")}]
    if page_name:
        crumbs.append({"label": page.title, "url": _address(page_name)})
    groups = tuple(_group(group, page_name) for group in module.contents())
    context = {
        "page": page,
        "crumbs": crumbs,
        "navigation": Navigation("Documentation", groups),
    }
    return render(request, "portal/documentation.html", context)


def _address(name: str) -> str:
    return reverse("portal:documentation", args=[name]) if name else reverse("portal:docs")


def _group(group: Any, current: str) -> Group:
    lines = (Line(title, _address(name), is_current=name == current) for name, title in group.pages)
    return Group(group.title, tuple(lines))
