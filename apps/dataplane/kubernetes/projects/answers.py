"""The answer of a Job, out of the log of its pod. Pure.

The log of a pod that ran code of people may hold anything, also lines that look like an answer.
What is wrong with it is no answer; what is right is text of a stranger all the same.
"""

import base64
import binascii
import hashlib
import json
import zlib
from dataclasses import dataclass, field
from typing import Any

from apps.dataplane.untrusted import block_of, text_of

# As in runtime/projects/job.py.
MARK = "portal-answer "
END = f"{MARK}end "
MOST_BYTES = 32 * 1024**2


@dataclass(frozen=True)
class Answer:
    """What a Job said: `fields`, or the code of why it failed and what it saw. `is_there` is False
    where the log has no answer.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    failed: str = ""
    detail: str = ""
    is_there: bool = True


NONE = Answer(is_there=False)


def read_answer(log: str) -> Answer:
    """Return the last complete answer of a log, `NONE` if it has none."""
    lines = [line for line in log.splitlines() if line.startswith(MARK)]
    ends = [number for number, line in enumerate(lines) if line.startswith(END)]
    if not ends:
        return NONE
    begin = ends[-2] + 1 if ends[1:] else 0
    packed = "".join(line.removeprefix(MARK) for line in lines[begin : ends[-1]])
    if hashlib.sha256(packed.encode()).hexdigest() != lines[ends[-1]].removeprefix(END).strip():
        return NONE
    return _answer_of(_unpacked(packed))


def _unpacked(packed: str) -> object:
    try:
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(base64.b64decode(packed, validate=True), MOST_BYTES)
        return json.loads(text)
    except (binascii.Error, zlib.error, ValueError, RecursionError):
        return None


def _answer_of(said: object) -> Answer:
    if not isinstance(said, dict):
        return NONE
    failed = text_of(said.get("failed"), 40)
    return Answer(fields=said, failed=failed, detail=block_of(said.get("detail"), 20_000))
