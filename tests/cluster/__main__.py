"""`python -m tests.cluster test` is `make test-cluster`; `run` keeps a node until Ctrl-C, `build`
makes what a node consists of.
"""

import signal
import subprocess
import sys
import time

from tests.cluster import builds, machine
from tests.cluster.node import PROJECT, running_node
from tests.kubernetes import assets
from tests.kubernetes.go_builds import BuildFailed, say

LEFT_OUT = "The tests on a real cluster are left out."


def main(command: str, arguments: list[str]) -> int:
    if reason := machine.reason_against():
        say(f"{reason} {LEFT_OUT}")
        if command == "build":
            assets.main()
        return 0
    builds.cache().mkdir(parents=True, exist_ok=True)
    try:
        builds.ensure_all()
    except BuildFailed as failed:
        say(f"{failed} {LEFT_OUT}")
        return 0
    if command == "build":
        return 0
    if command == "run":
        return _run()
    pytest = [sys.executable, "-m", "pytest", "-m", "cluster", "-p", "no:randomly", "-n", "0"]
    return subprocess.run([*pytest, *(arguments or ["tests/cluster"])], cwd=PROJECT).returncode


def _run() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with running_node() as node:
        say(f"export KUBECONFIG={node.kubeconfig}")
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if sys.argv[1:] else "test", sys.argv[2:]))
