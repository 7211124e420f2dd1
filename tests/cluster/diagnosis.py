"""What is kept of a node and a portal when a test fails: it is gone a moment later."""

import shutil
from contextlib import suppress
from pathlib import Path

from tests.cluster.node import Node

LOOKS = {
    "objects": ("get", "all,scaledobjects,persistentvolumeclaims", "-A", "-o", "wide"),
    "events": ("get", "events", "-A", "--sort-by=.lastTimestamp"),
    "pods": ("describe", "pods", "-A"),
}
LAST_LINES = 400


def keep_everything(folder: Path, *, node: Node, portal_logs: Path | None = None) -> None:
    """Write into `folder` whatever can still be had."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(node.folder / "log", folder / "node")
    if portal_logs and portal_logs.is_dir():
        shutil.copytree(portal_logs, folder / "portal", ignore=shutil.ignore_patterns("*.lock"))
    for name, command in LOOKS.items():
        with suppress(AssertionError):
            (folder / f"{name}.txt").write_text(node.kubectl(*command))
    with suppress(AssertionError):
        _keep_logs(folder, node)


def _keep_logs(folder: Path, node: Node) -> None:
    line = '{range .items[*]}{.metadata.namespace} {.metadata.name}{"\\n"}{end}'
    for pod in node.kubectl("get", "pods", "-A", "-o", f"jsonpath={line}").splitlines():
        namespace, name = pod.split()
        text = node.kubectl(
            *("-n", namespace, "logs", name, "--all-containers", f"--tail={LAST_LINES}"),
            may_fail=True,
        )
        (folder / f"log-{name}.txt").write_text(text)
