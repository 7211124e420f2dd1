"""The manifests of every kind of Deployment, as files to read: three whole, the others as what
differs from one of these. After a deliberate change:

REWRITE_GOLDENS=1 pytest tests/dataplane/kubernetes_render/test_goldens.py
"""

import copy
import difflib
import os
from base64 import b64decode
from pathlib import Path

import pytest
import yaml

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.render import Stage
from tests.dataplane.kubernetes_render.matrix import CASES, stages_of
from tests.dataplane.kubernetes_render.pods import pods_in

FOLDER = Path(__file__).parent / "goldens"
PORTAL_FILES = "portal-files"
WHOLE = ("celery-keda", "kubernetes", "longest-names")
DIFFERS_FROM = {
    "celery-fixed": "celery-keda",
    "two-queues-variables": "celery-keda",
    "local": "celery-keda",
    "packages": "celery-keda",
    "server-and-store": "celery-keda",
    "kubernetes-store": "kubernetes",
    "production": "celery-keda",
    "pgbouncer": "celery-keda",
    "prometheus": "celery-keda",
    "timekeeping": "celery-keda",
}


class _Blocks(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and everything in full."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Blocks.add_representer(str, _text)


@pytest.mark.parametrize("case", CASES)
def test_the_manifests_are_those_of_the_golden_file(case: str) -> None:
    written = _manifests(case)
    if case in DIFFERS_FROM:
        written = _difference(_manifests(DIFFERS_FROM[case]), written)
    _compare(_path(case), written)


def test_every_golden_file_has_a_case() -> None:
    assert {*WHOLE, *DIFFERS_FROM} == set(CASES)
    assert set(FOLDER.iterdir()) == {_path(case) for case in CASES}


def _path(case: str) -> Path:
    return FOLDER / f"{case}.{'diff' if case in DIFFERS_FROM else 'yaml'}"


def _manifests(case: str) -> str:
    return "".join(_written(stage) for stage in stages_of(case))


def _difference(base: str, written: str) -> str:
    """Return a unified diff, without line numbers: they would change with every edit above."""
    lines = difflib.unified_diff(base.splitlines(), written.splitlines(), n=2, lineterm="")
    hunks = list(lines)[2:]
    return "".join(f"{'@@' if line.startswith('@@') else line}\n" for line in hunks)


def _compare(path: Path, written: str) -> None:
    if os.environ.get("REWRITE_GOLDENS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(written)
    assert written == path.read_text()


def _written(stage: Stage) -> str:
    header = f"# {stage.key}: {stage.title}{' (waits)' if stage.waits else ''}\n"
    documents = [
        yaml.dump(
            _shown(manifest),
            Dumper=_Blocks,
            default_flow_style=None,  # the innermost ones on one line
            sort_keys=False,
            width=160,
            allow_unicode=True,
        )
        for manifest in stage.objects
    ]
    return "".join(f"---\n{header}{document}" for document in documents)


def _shown(manifest: Manifest) -> Manifest:
    """Return the manifest with secrets in clear, and without what changes with every edit of the
    portal's own files.
    """
    shown = copy.deepcopy(manifest)
    component = shown["metadata"]["labels"].get("app.kubernetes.io/component")
    if shown["kind"] == "Secret" and "data" in shown:
        shown["data"] = {key: b64decode(value).decode() for key, value in shown["data"].items()}
    if component == PORTAL_FILES and shown["metadata"]["name"] != "sign-in":
        shown["data"] = dict.fromkeys(shown["data"], "(a file of the portal)")
    for pod in pods_in(shown):
        annotations = pod["metadata"].get("annotations", {})
        if "astro-portal.dev/checksum" in annotations:
            annotations["astro-portal.dev/checksum"] = "(of what it reads)"
    return shown
