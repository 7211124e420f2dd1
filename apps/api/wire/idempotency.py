"""Creating at most once: a program that got no answer sends its call again with the same
`Idempotency-Key`, and gets the answer to the first one.

Answers are remembered for a day, in the cache. They are JSON as it was sent; where an answer holds
a secret only that there was one is kept.
"""

import hashlib
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.cache import cache
from django.http import HttpResponse, RawPostDataException
from ninja.utils import contribute_operation_callback

from apps.api.wire.errors import KeyInUse
from apps.api.wire.etags import written
from apps.api.wire.gates import Call
from apps.api.wire.shapes import Shape
from apps.core.errors import Invalid

HEADER = "Idempotency-Key"
LONGEST_KEY = 255
KEPT_SECONDS, BUSY_SECONDS = 24 * 3600, 120
BUSY, SECRET = "busy", "secret"
Operation = Callable[..., Any]
_DESCRIBED = {
    "in": "header",
    "name": HEADER,
    "description": "A value of your own, such as a UUID, under which this is done once in a day.",
    "schema": {"type": "string", "maxLength": LONGEST_KEY},
    "required": False,
}


def once(operation: Operation) -> Operation:
    """Let an operation that creates something be sent again without creating it twice."""
    return _remembering(operation, keeps_answer=True)


def once_with_secret(operation: Operation) -> Operation:
    """Do so for an operation whose answer holds a secret: it is not told again."""
    return _remembering(operation, keeps_answer=False)


def _remembering(operation: Operation, *, keeps_answer: bool) -> Operation:
    @wraps(operation)
    def remembered(request: Call, *args: Any, **kwargs: Any) -> Any:
        said = request.headers.get(HEADER, "").strip()
        if not said:
            return operation(request, *args, **kwargs)
        if len(said) > LONGEST_KEY:
            raise Invalid(f"An {HEADER} has at most {LONGEST_KEY} characters.")
        key, content = _key(request, said), _digest(_sent(request))
        if not cache.add(key, (content, BUSY, ""), BUSY_SECONDS):
            return _again(key, content)
        try:
            answer: Shape = operation(request, *args, **kwargs)
        except BaseException:
            cache.delete(key)
            raise
        kept = (
            (content, "done", written(answer).decode()) if keeps_answer else (content, SECRET, "")
        )
        cache.set(key, kept, KEPT_SECONDS)
        return answer

    contribute_operation_callback(remembered, _describe)
    return remembered


def _sent(request: Call) -> bytes:
    """Return what tells a call from another one. Of files that is their size: reading one again
    would take as long as sending it.
    """
    try:
        return request.body
    except RawPostDataException:  # a form with files, which went to disk as it came
        files: Any = request.FILES.items()
        sizes = [(name, one.name, one.size) for name, one in files]
        return repr((sorted(request.POST.items()), sizes)).encode()


def _describe(operation: Any) -> None:
    operation.openapi_extra = {"parameters": [_DESCRIBED]}


def _again(key: str, content: str) -> HttpResponse:
    before, state, text = cache.get(key) or ("", BUSY, "")
    if state == BUSY:
        raise KeyInUse("The first call with this Idempotency-Key is not finished. Repeat it later.")
    if before != content:
        raise KeyInUse("This Idempotency-Key was sent with another body. Use a new one.")
    if state == SECRET:
        raise KeyInUse(
            "This was done already. Its secret was in the first answer and is not told again: "
            "rotate it for another."
        )
    return HttpResponse(
        text, content_type="application/json", headers={"Idempotency-Replayed": "true"}
    )


def _key(request: Call, said: str) -> str:
    token = request.caller.token
    # That of a signed-in program is another one each hour: it is the person who sends again.
    who = f"{request.caller.user.pk}:{token._meta.model_name}"
    return f"api:once:{_digest(f'{who}:{request.method}:{request.path}:{said}'.encode())}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
