"""Where kube-score and checkov are; `python -m tests.deploy_manifests.linters` gets them.

Both are programs of their own, outside of the portal's environment: kube-score is built from a Go
module that is pinned beside this, checkov has a virtual environment in the same cache folder.
"""

import shutil
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

from tests.kubernetes import go_builds
from tests.kubernetes.go_builds import BuildFailed, Program, say

MODULE = Path(__file__).parent / "go" / "kube-score"
KUBE_SCORE = Program(
    name="kube-score", module=MODULE, package="github.com/zegl/kube-score/cmd/kube-score"
)
CHECKOV = "checkov==3.3.30"
LONGEST_SECONDS = 15 * 60


@cache
def folder() -> Path:
    return go_builds.cache_folder("linters", [MODULE])


def find(name: str) -> Path | None:
    """Return a linter's program, None if it is nowhere."""
    found = shutil.which(name)
    candidates = [folder() / name, folder() / "checkov-environment" / "bin" / name]
    if found:
        candidates.insert(0, Path(found))
    return next((path for path in candidates if path.is_file()), None)


def main() -> None:
    if find("kube-score") is None:
        if reason := go_builds.why_not():
            say(f"{reason}: kube-score is left out.")
        else:
            try:
                go_builds.build([KUBE_SCORE], folder(), time.monotonic() + LONGEST_SECONDS)
            except BuildFailed as failed:
                say(f"kube-score is left out. {failed}")
    if find("checkov") is None:
        environment = folder() / "checkov-environment"
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        subprocess.run(
            [str(environment / "bin" / "pip"), "install", "--quiet", CHECKOV], check=True
        )


if __name__ == "__main__":
    main()
