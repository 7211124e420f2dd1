"""How often components ended by themselves and were restarted, from supervisord's log.

Its interface has no history. Stops on request are not counted, nor starts after a loss of
supervisord itself.
"""

import re
from collections import Counter
from datetime import UTC, datetime

from apps.dataplane.local.airflow.programs import status_name
from apps.dataplane.local.layout import Folder

# Some thousand restarts: a machine with more in a day has no use for the exact number.
MAX_READ_BYTES = 1024**2
LINE = re.compile(
    r"^(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d+ \w+ "
    r"(?:exited: (?P<ended>\S+) \(|spawned: '(?P<spawned>[^']+)' with pid)",
    re.MULTILINE,
)


def count_restarts(folder: Folder, *, since: datetime) -> Counter[str]:
    """Return component (`scheduler`, `worker default`) → restarts of a Deployment since then."""
    start = f"{since.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    ended: set[str] = set()
    restarts: Counter[str] = Counter()
    for line in LINE.finditer(_end_of_log(folder)):
        program = line["ended"] or line["spawned"]
        if line["ended"]:
            ended.add(program)
        elif program in ended:
            ended.remove(program)
            restarts[status_name(folder.ref, program)] += line["at"] >= start
    return restarts


def _end_of_log(folder: Folder) -> str:
    try:
        with (folder.home.logs / "supervisord.log").open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - MAX_READ_BYTES))
            return stream.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
