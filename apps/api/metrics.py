"""What a Prometheus reads, by API token."""

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from apps.api.wire.gates import by_token
from apps.observability.metrics.exposition import CONTENT_TYPE, written
from apps.observability.metrics.queries import deployments_for, measured
from apps.organizations.tokens.queries import Caller


@by_token
def metrics(request: HttpRequest, caller: Caller) -> HttpResponse:
    found = measured(deployments=deployments_for(caller.user), now=timezone.now())
    return HttpResponse(written(found), content_type=CONTENT_TYPE)
