"""The lock of a runtime, made by uv from what the package index has: for an Airflow that was
released after this portal.
"""

import re
import tempfile
from pathlib import Path

import uv

from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.local.airflow.runtimes import uv_environment
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.project_checks.causes import known_cause
from apps.dataplane.project_checks.processes import Limits, run

LIMITS = Limits(wall_seconds=300, cpu_seconds=200, file_mib=64)
VERSION = re.compile(r"\d+\.\d+\.\d+")
# As in runtime/locks: what every runtime has beside Airflow, and what its plugins were made for.
REQUIREMENTS = """apache-airflow[celery,postgres,statsd]=={version}
apache-airflow-providers-standard
celery<5.7
sqlalchemy<2.1
"""


def lock_runtime(*, config: LocalConfig, airflow_version: str) -> str:
    """Return the hashed lock of a final version of Airflow, for the Pythons of the portal."""
    if not VERSION.fullmatch(airflow_version):
        raise Permanent("Only final versions of Airflow become runtimes.")
    with tempfile.TemporaryDirectory(prefix="portal-runtime-") as name:
        folder = Path(name)
        (folder / "runtime.in").write_text(REQUIREMENTS.format(version=airflow_version))
        command = [
            *(uv.find_uv_bin(), "pip", "compile", "--no-config", "--color", "never"),
            *("--universal", "--python-version", "3.11", "--generate-hashes", "--no-header"),
            *("--no-progress", "--no-annotate", "--no-emit-index-url"),
            *("runtime.in", "-o", "lock.txt"),
        ]
        ended = run(command, environment=uv_environment(config), folder=folder, limits=LIMITS)
        if ended.is_late:
            raise Temporary("The package index took too long to answer.")
        if ended.status:
            lines = tuple(ended.output.splitlines()[-30:])
            if cause := known_cause(ended.output):
                raise Temporary(cause, log=lines)
            raise Permanent("The packages of this Airflow do not fit together.", log=lines)
        return (folder / "lock.txt").read_text()
