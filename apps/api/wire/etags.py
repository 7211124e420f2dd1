"""Whether what a client has is still what there is: `ETag` on reads, `If-Match` on changes."""

import hashlib
import json

from django.http import HttpRequest
from ninja.responses import NinjaJSONEncoder
from pydantic import BaseModel


def etag_of(content: bytes) -> str:
    """Return the tag of an answer as it is sent."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def written(shape: BaseModel) -> str:
    """Write a shape as an answer has it."""
    return json.dumps(shape.model_dump(by_alias=True, exclude_none=True), cls=NinjaJSONEncoder)


def is_matched(request: HttpRequest, shape: BaseModel) -> bool:
    """Return whether a change may be made: the client names no version, or the one there is."""
    asked = request.headers.get("If-Match", "").strip()
    tags = {one.strip().removeprefix("W/") for one in asked.split(",")}
    return not asked or asked == "*" or etag_of(written(shape).encode()) in tags
