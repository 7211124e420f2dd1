"""Whether all pods of an Airflow can share a volume, as far as storage classes tell."""

from dataclasses import replace

import pytest

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.config import ClusterConfig, Connection, ObjectStore
from apps.dataplane.kubernetes.registration.storage import shared_finding

CONFIG = ClusterConfig(
    connection=Connection(server="https://c.test", ca_certificate=""),
    portal_id="p",
    airflow_url="https://a.test",
    has_keda=True,
)


def storage_class(name: str, provisioner: str, *, is_default: bool = False) -> Manifest:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"} if is_default else {}
    return {"metadata": {"name": name, "annotations": annotations}, "provisioner": provisioner}


EBS = storage_class("gp3", "ebs.csi.aws.com", is_default=True)
EFS = storage_class("shared", "efs.csi.aws.com")


@pytest.mark.parametrize(
    "provisioner",
    ["ebs.csi.aws.com", "pd.csi.storage.gke.io", "disk.csi.azure.com", "rancher.io/local-path"],
)
def test_the_default_class_of_a_cloud_is_not_taken_for_a_shared_one(provisioner: str) -> None:
    classes = [storage_class("standard", provisioner, is_default=True), EFS]

    [finding] = shared_finding(CONFIG, classes)

    assert not finding.is_ok
    assert "standard belong to one node each" in finding.detail
    assert "ReadWriteMany" in finding.remedy
    assert "It may be one of shared." in finding.remedy


@pytest.mark.parametrize(
    ("config", "classes", "is_ok"),
    [
        (replace(CONFIG, logs_storage_class="shared"), [EBS, EFS], True),
        (replace(CONFIG, logs_storage_class="gone"), [EBS, EFS], False),
        (CONFIG, [EFS], False),
        (replace(CONFIG, storage_class="shared"), [EBS, EFS], True),
        (replace(CONFIG, storage_class="gp3"), [EFS, EBS], False),
        (CONFIG, [storage_class("own", "example.org/own", is_default=True)], True),
    ],
)
def test_the_class_that_the_settings_name_is_judged(
    config: ClusterConfig, classes: list[Manifest], is_ok: bool
) -> None:
    [finding] = shared_finding(config, classes)

    assert finding.is_ok is is_ok
    assert bool(finding.remedy) is not is_ok
    assert ("Test the storage" in finding.detail) is is_ok


def test_where_no_volume_is_shared_none_is_judged() -> None:
    store = replace(CONFIG, object_store=ObjectStore(url="s3://logs"))

    assert shared_finding(store, [EBS]) == ()
    assert shared_finding(replace(CONFIG, logs_access="ReadWriteOnce"), [EBS]) == ()
