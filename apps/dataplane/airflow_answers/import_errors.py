"""Which DAG files an Airflow cannot import, and why: asked of its own REST API, on every plane.

Source: `GET /api/v2/importErrors` of Airflow's public REST API. What it answers is the user's code
speaking: bounded, stripped of what acts on a screen, and without the values of secret variables.
"""

import re
from collections.abc import Iterable
from urllib.parse import urlencode

from apps.dataplane.base import DataPlane
from apps.dataplane.errors import DataPlaneError
from apps.dataplane.spec import DeploymentSpec
from apps.dataplane.status import ImportErrors, ImportFailure
from apps.dataplane.untrusted import ESCAPES, UNSAFE, masked, masks, moment_of, storable

PATH = "/api/v2/importErrors"
MOST_FAILURES = 20
MOST_COUNTED = 100_000
FILE_CHARACTERS, MESSAGE_CHARACTERS, TRACEBACK_CHARACTERS = 300, 300, 4_000
PLACE = re.compile(r'^\s*File "(?P<file>[^"\n]{1,1000})", line (?P<line>\d{1,7})', re.MULTILINE)


def read_import_errors(plane: DataPlane, *, spec: DeploymentSpec) -> ImportErrors | None:
    """Return which DAG files cannot be imported, newest first, or None where Airflow does not say.

    At most `MOST_FAILURES` are told; `count` is how many there are.
    """
    query = urlencode({"limit": MOST_FAILURES, "order_by": "-timestamp"})
    try:
        answer = plane.airflow(spec=spec, method="GET", path=f"{PATH}?{query}")
    except DataPlaneError:
        return None
    if answer.status != 200:
        return None
    secrets = [variable.value for variable in spec.variables if variable.is_secret]
    return import_errors_in(answer.data, secrets=secrets)


def import_errors_in(data: object, *, secrets: Iterable[str] = ()) -> ImportErrors | None:
    """Read an answer of Airflow. Pure; None when it has another shape."""
    said = data if isinstance(data, dict) else {}
    rows = said.get("import_errors")
    if not isinstance(rows, list):
        return None
    hidden = masks(secrets)
    found = [_failure(row, hidden) for row in rows[:MOST_FAILURES] if isinstance(row, dict)]
    total = said.get("total_entries")
    is_count = isinstance(total, int) and not isinstance(total, bool)
    count = total if is_count and isinstance(total, int) and total >= len(found) else len(found)
    return ImportErrors(count=min(count, MOST_COUNTED), failures=tuple(found))


def _failure(row: dict[str, object], secrets: Iterable[str]) -> ImportFailure:
    text = _clean(row.get("stack_trace"), secrets).strip("\n")
    file = _clean(row.get("filename"), secrets).replace("\n", " ")[:FILE_CHARACTERS]
    lines = [line for line in text.splitlines() if line.strip()]
    return ImportFailure(
        file=file,
        line=_line(text, file),
        message=lines[-1].strip()[:MESSAGE_CHARACTERS] if lines else "",
        traceback=_shortened(text),
        at=moment_of(row.get("timestamp")),
    )


def _clean(value: object, secrets: Iterable[str]) -> str:
    text = masked(storable(value if isinstance(value, str) else ""), secrets)
    return UNSAFE.sub("", ESCAPES.sub("", text.replace("\r\n", "\n")))


def _line(text: str, file: str) -> int | None:
    """Return the line of the file itself where it went wrong, else the last line that is named."""
    places = [(place["file"], int(place["line"])) for place in PLACE.finditer(text)]
    own = [line for path, line in places if file and path.endswith(file)]
    return own[-1] if own else places[-1][1] if places else None


def _shortened(text: str) -> str:
    """Cut the middle out of a long traceback: it begins with the place and ends with the reason."""
    rest = len(text) - TRACEBACK_CHARACTERS
    if rest <= 0:
        return text
    start = TRACEBACK_CHARACTERS // 4
    end = TRACEBACK_CHARACTERS - start
    return f"{text[:start]}\n… {rest:,} more characters …\n{text[-end:]}"
