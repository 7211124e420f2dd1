"""The table of Kubernetes versions says what can be checked, and nothing else."""

import re

from apps.dataplane.kubernetes.registration.checks import OLDEST
from tests.docs.documents import PROJECT
from tests.kubernetes import assets, go_builds

ROW = re.compile(r"^\| (1\.\d+)(?: to 1\.(\d+))? \| (.*) \|$", re.MULTILINE)
TESTED = re.compile(r"Tested with ([\d.]+),")
PAGE = (PROJECT / "docs" / "clusters.md").read_text()
ROWS = {first: (last or first[2:], said) for first, last, said in ROW.findall(PAGE)}


def test_every_version_that_is_called_tested_can_be_built_and_the_other_way_round() -> None:
    said = {first: found[1] for first, row in ROWS.items() if (found := TESTED.match(row[1]))}
    built = {
        minor: go_builds.version_of(assets.KUBERNETES, folder)
        for minor, folder in assets.kubernetes_modules().items()
    }

    assert said == built


def test_an_older_minor_is_checked_by_the_command_that_names_it() -> None:
    newest = go_builds.version_of(assets.KUBERNETES, assets.MODULES / "kube").rpartition(".")[0]

    for minor, (_, said) in ROWS.items():
        if TESTED.match(said):
            command = f"`make test-kubernetes VERSION={minor}`"
            assert (command in said) is (minor != newest)


def test_every_minor_from_the_oldest_that_is_accepted_has_a_row() -> None:
    minors = [
        minor for first, (last, _) in ROWS.items() for minor in range(int(first[2:]), int(last) + 1)
    ]

    assert minors == list(range(OLDEST[1], max(minors) + 1))
