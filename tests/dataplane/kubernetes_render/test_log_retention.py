"""What removes old logs on a cluster, run for real on files of this machine."""

import os
import subprocess
import time
from pathlib import Path

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.render import render
from apps.dataplane.kubernetes.render.places import PARSE_LOGS, TASK_LOGS
from tests.dataplane.kubernetes_render.matrix import make_config, make_spec, manifests
from tests.dataplane.kubernetes_render.pods import find, pods_in

HOUR = 3600


def _script(kind: str, name: str, container: str, **settings: int) -> str:
    objects: list[Manifest] = manifests(render(spec=make_spec(), config=make_config(**settings)))
    (pod,) = pods_in(find(objects, kind, name))
    (found,) = [one for one in pod["spec"]["containers"] if one["name"] == container]
    return str(found["args"][-1])


def _file(path: Path, *, hours_ago: float, size: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (time.time() - hours_ago * HOUR,) * 2)
    return path


def test_logs_of_tasks_go_when_the_operator_says(tmp_path: Path) -> None:
    script = _script("CronJob", "log-cleanup", "log-cleanup", task_log_days=3)
    old = _file(tmp_path / "dag_id=a" / "1.log", hours_ago=3 * 24 + 1)
    new = _file(tmp_path / "dag_id=a" / "2.log", hours_ago=3 * 24 - 1)

    subprocess.run(["bash", "-c", script.replace(TASK_LOGS, str(tmp_path))], check=True)

    assert (old.exists(), new.exists()) == (False, True)


def test_logs_of_dag_files_go_when_the_operator_says_and_when_they_are_large(
    tmp_path: Path,
) -> None:
    script = _script("Deployment", "dag-processor", "parse-log-cleanup", parse_log_hours=2)
    old = _file(tmp_path / "2026-11-28" / "code" / "a.py.log", hours_ago=2.1)
    new = _file(tmp_path / "2026-11-28" / "code" / "b.py.log", hours_ago=1.9)
    large = _file(tmp_path / "2026-11-28" / "code" / "c.py.log", hours_ago=0, size=11 * 2**20)
    once = script.replace(PARSE_LOGS, str(tmp_path)).replace("sleep 3600", "exit 0")

    subprocess.run(["bash", "-c", once], check=True)

    assert (old.exists(), new.exists()) == (False, True)
    assert large.stat().st_size == 0
