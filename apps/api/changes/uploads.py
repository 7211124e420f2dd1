"""Where the Astro CLI uploads code. It speaks the dialect of Azure Blob Storage, as far as that
client uses it: one PUT with everything, or a PUT for each block and one with their list.

The key in the address is the proof: it is in the answer that announced the deploy, works for a day
and for that one deploy, and changes nothing but what was uploaded for it.
"""

import re
from collections.abc import Iterator
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from apps.api.changes.upload_addresses import upload_of_key
from apps.core.errors import Conflict
from apps.core.web.gates import open_to_all
from apps.deploys.incoming import blobs
from apps.deploys.incoming.services import CHUNK_BYTES, note_uploaded
from apps.deploys.models import Upload

MOST_LIST_BYTES = 1024 * 1024
BLOCK = re.compile(rb"<(?:Latest|Uncommitted|Committed)>([A-Za-z0-9+/=_-]{1,200})</")
LONGEST_KEY = 300


@open_to_all
@csrf_exempt
@require_http_methods(["PUT"])
def upload(request: HttpRequest) -> HttpResponse:
    found = upload_of_key(request.GET.get("key", "")[:LONGEST_KEY])
    if found is None:
        return _refusal("AuthenticationFailed", HTTPStatus.FORBIDDEN)
    try:
        return _take(request, found)
    except blobs.UploadTooLarge as error:
        return _refusal("RequestBodyTooLarge", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, error.message)
    except Conflict as error:
        return _refusal("InvalidBlockList", HTTPStatus.BAD_REQUEST, error.message)


def _take(request: HttpRequest, found: Upload) -> HttpResponse:
    part = request.GET.get("comp", "")
    if part == "block":
        block = request.GET.get("blockid", "")[:LONGEST_KEY]
        blobs.add_block(name=found.name, block=block, chunks=_chunks(request))
        return HttpResponse(status=HTTPStatus.CREATED)
    if part == "blocklist":
        listed = request.read(MOST_LIST_BYTES)
        names = [name.decode() for name in BLOCK.findall(listed)]
        blobs.join_blocks(name=found.name, blocks=names)
    elif part == "":
        blobs.put_whole(name=found.name, chunks=_chunks(request))
    else:
        return _refusal("UnsupportedQueryParameter", HTTPStatus.BAD_REQUEST)
    version = note_uploaded(upload=found)
    return HttpResponse(status=HTTPStatus.CREATED, headers={"x-ms-version-id": version})


def _chunks(request: HttpRequest) -> Iterator[bytes]:
    while chunk := request.read(CHUNK_BYTES):
        yield chunk


def _refusal(code: str, status: HTTPStatus, message: str = "") -> HttpResponse:
    """Answer as the storage does: the client prints code and message."""
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    headers = {"x-ms-error-code": code}
    return HttpResponse(body, status=status, content_type="application/xml", headers=headers)
