"""A Prometheus of Debian with a month of some series, beside which charts are read.

The points are written as OpenMetrics and made into blocks by `promtool`, so nothing is scraped.
"""

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

START_SECONDS = 60.0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def is_installed() -> bool:
    return bool(shutil.which("prometheus") and shutil.which("promtool"))


@contextmanager
def prometheus_with(
    series: Sequence[tuple[str, Sequence[tuple[int, float]]]], folder: Path
) -> Iterator[Callable[[str, int, int, int], int]]:
    """Run a Prometheus that has these points, (second, value) by the text of the series. Yield what
    asks `query_range` for (expression, begin, end, step) and returns how many points it had.
    """
    data, points = folder / "data", folder / "points"
    with points.open("w") as file:
        file.write("# TYPE bench gauge\n")
        for name, values in series:
            file.writelines(f"{name} {value:.9g} {at}\n" for at, value in values)
        file.write("# EOF\n")
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=24h"]
    subprocess.run([*command, str(points), str(data)], check=True, capture_output=True)
    points.unlink()
    (folder / "prometheus.yml").write_text("global: {}\n")
    port = free_port()
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={data}",
            "--storage.tsdb.retention.time=1y",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(f"http://127.0.0.1:{port}/-/ready")

        def ask(expression: str, begin: int, end: int, step: int) -> int:
            asked = {"query": expression, "start": begin, "end": end, "step": step}
            url = f"http://127.0.0.1:{port}/api/v1/query_range?{urlencode(asked)}"
            with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - loopback
                found = json.loads(answer.read())["data"]["result"]
            return sum(len(one["values"]) for one in found)

        yield ask
    finally:
        process.terminate()
        process.wait()


def _wait(url: str) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()  # noqa: S310 - loopback
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.3)
        else:
            return
