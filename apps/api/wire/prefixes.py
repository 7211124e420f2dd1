"""The same operations under the addresses that other clients know: the Terraform provider has them
below four, and older CLIs, too.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

ROOT = "/v1/"
OTHERS = ("/platform/v1beta1/", "/iam/v1beta1/", "/labs/v1/")


class OneApi:
    """Read a request below another prefix as one below `/v1`. It stands before everything that
    looks at the path.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        for prefix in OTHERS:
            if request.path_info.startswith(prefix):
                request.path_info = request.path = ROOT + request.path_info[len(prefix) :]
                break
        return self.get_response(request)
