from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from apps.portal.views.errors import method_not_allowed


class ExplainMethod:
    """Answer a person who opens an address that takes forms only with a page, not with nothing."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if response.status_code != 405 or response.streaming or response.content:
            return response
        if "HX-Request" in request.headers or not request.accepts("text/html"):
            return response
        page = method_not_allowed(request)
        page["Allow"] = response["Allow"]
        return page
