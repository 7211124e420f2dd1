import logging

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.core.database.patience import answers_within
from apps.core.web.gates import open_to_all

# Less than probes wait: else each of them would take a thread of the server for longer.
SECONDS = 4.0

logger = logging.getLogger(__name__)


@open_to_all
@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    try:
        with answers_within(SECONDS), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        logger.exception("the database does not answer")
        return JsonResponse({"database": "does not answer"}, status=503)
    return HttpResponse("ok", content_type="text/plain")
