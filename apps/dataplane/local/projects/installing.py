"""Makes one environment. A program of its own under supervisord, started by `environments`.

Run as `python -m apps.dataplane.local.projects.installing <runtime> <its lock> <digest> <lock>`.
"""

import sys
from pathlib import Path

from apps.dataplane.errors import DataPlaneError
from apps.dataplane.local.airflow.runtimes import RuntimeFolder
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.home import Home
from apps.dataplane.local.private_files import write_private
from apps.dataplane.local.projects.environments import Environment, make, take_over
from apps.dataplane.spec import PackagesSpec


def main() -> int:
    """Make the environment that the command line names; return the exit status."""
    version, runtime_lock, digest, lock = sys.argv[1:5]
    home = Home.from_environment()
    environment = Environment(RuntimeFolder(home, version, Path(runtime_lock)), digest)
    config = LocalConfig.from_environment(home)
    indexes = take_over(environment)
    try:
        make(
            environment,
            config=config,
            packages=PackagesSpec(digest=digest, lock_path=lock),
            indexes=indexes,
        )
    except DataPlaneError as error:
        write_private(environment.progress, error.message)
        print(error.message, flush=True)
        return 1
    except OSError as error:
        write_private(environment.progress, f"{error.strerror or error}.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
