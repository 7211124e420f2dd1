"""Old runs leave the metadata database by themselves, wherever it is."""

import pytest

from apps.dataplane.kubernetes import names
from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.render import render
from tests.dataplane.kubernetes_render.matrix import SERVER, make_config, make_spec, manifests
from tests.dataplane.kubernetes_render.pods import find, pods_in

NAME = "history-cleanup"


def _objects(days: int, **changes: object) -> list[Manifest]:
    return manifests(render(spec=make_spec(), config=make_config(history_days=days, **changes)))


@pytest.mark.parametrize("server", [None, SERVER])
def test_old_runs_are_removed_every_night(server: object) -> None:
    job = find(_objects(90, database=server), "CronJob", NAME)

    (pod,) = pods_in(job)
    (container,) = pod["spec"]["containers"]
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    assert container["args"] == ["python", "/opt/portal/programs/clean_database.py"]
    assert {"name": "PORTAL_HISTORY_DAYS", "value": "90"} in container["env"]
    assert container["envFrom"] == [{"secretRef": {"name": "airflow"}}]


def test_they_stay_where_all_is_kept() -> None:
    objects = _objects(0)

    assert NAME not in [one["metadata"]["name"] for one in objects if one["kind"] == "CronJob"]


def test_a_database_of_its_own_has_the_size_of_the_cluster() -> None:
    claim = find(_objects(90, database_size="40Gi"), "PersistentVolumeClaim", "data-postgres")

    assert claim["spec"]["resources"]["requests"]["storage"] == "40Gi"
    # Created once: a claim can hardly be changed, and never be made smaller.
    assert claim["metadata"]["annotations"][names.ONCE_ANNOTATION] == "true"


def test_its_pod_reaches_the_database() -> None:
    objects = _objects(90)
    (pod,) = pods_in(find(objects, "CronJob", NAME))
    component = pod["metadata"]["labels"][names.COMPONENT_LABEL]

    into = find(objects, "NetworkPolicy", "to-postgres")["spec"]["ingress"][0]["from"][0]
    out = find(objects, "NetworkPolicy", "outside")["spec"]

    for selector in (into["podSelector"], out["podSelector"]):
        assert component in selector["matchExpressions"][0]["values"]
