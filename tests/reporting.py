"""A plugin of pytest for `tests.stages`: it writes down what failed, passed and was left out, and
how many seconds each file took.
"""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

REPORT = "ASTRO_PORTAL_TEST_REPORT"


def pytest_sessionfinish(session: pytest.Session) -> None:
    if REPORT not in os.environ or hasattr(session.config, "workerinput"):
        return
    stats = session.config.pluginmanager.get_plugin("terminalreporter").stats
    failed = [*stats.get("failed", ()), *stats.get("error", ())]
    skipped = Counter(
        str(one.longrepr[2]).removeprefix("Skipped: ") for one in stats.get("skipped", ())
    )
    seconds: Counter[str] = Counter()
    for one in (one for reports in stats.values() for one in reports):
        if isinstance(one, pytest.TestReport):
            seconds[one.nodeid.partition("::")[0]] += one.duration
    report = {
        "seconds": seconds,
        "failed": sorted({one.nodeid for one in failed}),
        "passed": sorted({one.nodeid for one in stats.get("passed", ())}),
        "left_out": skipped,
    }
    Path(os.environ[REPORT]).write_text(json.dumps(report))
