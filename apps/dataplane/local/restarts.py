"""How often programs ended by themselves and were started again, as supervisord's own log tells.

Its interface tells nothing of the past. What was told to stop is not counted, and neither is what
was started anew because supervisord itself was lost.
"""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta

from apps.dataplane.local.home import Home

PERIOD = timedelta(hours=24)
# Some thousand restarts: a machine with more in a day has no use for the exact number.
MAX_READ_BYTES = 1024**2
LINE = re.compile(
    r"^(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d+ \w+ "
    r"(?:(?P<ended>exited): (?P<name>\S+) \(|(?P<started>spawned): '(?P<spawned>[^']+)' with pid)",
    re.MULTILINE,
)


def count_restarts(home: Home, *, prefix: str, now: datetime) -> Counter[str]:
    """Return program → restarts of the last 24 hours, for names that begin with `prefix`."""
    since = f"{(now - PERIOD).astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    ended: set[str] = set()
    restarts: Counter[str] = Counter()
    for line in LINE.finditer(_end_of_log(home)):
        name = line["name"] or line["spawned"]
        if not name.startswith(prefix):
            continue
        if line["ended"]:
            ended.add(name)
        elif name in ended:
            ended.remove(name)
            restarts[name] += line["at"] >= since
    return restarts


def _end_of_log(home: Home) -> str:
    try:
        with (home.logs / "supervisord.log").open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - MAX_READ_BYTES))
            return stream.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
