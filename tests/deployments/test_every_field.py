"""No field of a configuration is lost between the form and a data plane.

Whoever adds a field gives an example of another value here; then each test fails until the field is
on its whole way: stored, in the form, reviewed, joined, written as YAML, and compiled.
"""

import json
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import date
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.clusters.models import Cluster
from apps.dataplane.production import Toleration
from apps.dataplane.spec import DeploymentSpec
from apps.deployments.configuration.changes import changes
from apps.deployments.configuration.merging import merge
from apps.deployments.configuration.options import deployment_options
from apps.deployments.configuration.schema import (
    Configuration,
    OwnImage,
    SettingValue,
    Variable,
    WorkerQueue,
)
from apps.deployments.configuration.yaml_text import yaml_of
from apps.deployments.editing.forms.data import data_of
from apps.deployments.editing.forms.editor import Editor
from apps.deployments.editing.forms.settings import SettingsForm
from apps.deployments.models import Operation
from apps.deployments.reconciling.compiler import compile_spec
from apps.organizations.models import Workspace

QUEUE = WorkerQueue(name="default", size="A5", concurrency=5, min_workers=0, max_workers=2)
BASE = Configuration(description="", runtime="3.3.2-1", executor="celery", queues=(QUEUE,))
OTHER: dict[str, Any] = {
    "description": "Loads the warehouse.",
    "runtime": "3.2.2-1",
    "executor": "kubernetes",
    "queues": (
        replace(
            QUEUE,
            max_workers=3,
            node_selector=(("pool", "gpu"),),
            tolerations=(Toleration(key="spot", value="true", effect="NoSchedule"),),
            disk_gib=20,
            gpus=1,
        ),
    ),
    "variables": (Variable(key="REGION", value="eu"),),
    "corrects_drift": False,
    "settings": (SettingValue(name="scheduler_size", value="large"),),
    "image": OwnImage(
        name="registry.example.org/team/etl:1.4",
        digest=f"sha256:{'4b' * 32}",
        airflow_version="3.3.2",
        python_version="3.12.11",
    ),
}
# What people read and no data plane needs to know. The image takes the place of the runtime's.
NOT_COMPILED = {"description", "image"}
NAMES = [field.name for field in fields(Configuration)]


def changed(name: str) -> Configuration:
    configuration = replace(BASE, **{name: OTHER[name]})
    return replace(configuration, queues=()) if name == "executor" else configuration


def test_there_is_an_example_of_every_field() -> None:
    assert set(OTHER) == set(NAMES)
    assert [name for name in NAMES if OTHER[name] == getattr(BASE, name)] == []


@pytest.mark.parametrize("name", NAMES)
def test_it_is_stored_and_read(name: str) -> None:
    stored = changed(name).to_json()

    assert json.loads(json.dumps(stored)) == stored
    assert Configuration.from_json(stored) == changed(name)


@pytest.mark.parametrize("name", NAMES)
def test_it_goes_through_the_form(name: str) -> None:
    cluster = Cluster(kind=Cluster.Kind.KUBERNETES, name="eu-1")
    options = deployment_options(cluster=cluster, today=date(2026, 11, 1))
    data = data_of(configuration=changed(name), name="etl", base=None, options=options)

    editor = Editor(data, options=options, base=None, secrets={}, is_validated=True)

    assert editor.is_valid(), editor.problems
    assert editor.configuration() == changed(name)


def test_the_page_has_every_field(
    client_of: Callable[..., Client],
    alice: User,
    workspace: Workspace,
    cluster: Cluster,
    remote: Cluster,
) -> None:
    address = reverse("deployments:new", args=[workspace.slug])

    page = client_of(alice).get(address, {"cluster": remote.pk}).content.decode()

    assert {name for name in SettingsForm.base_fields if f'name="{name}"' not in page} == set()


@pytest.mark.parametrize("name", NAMES)
def test_a_review_and_the_yaml_show_that_it_changes(name: str) -> None:
    assert changes(BASE, changed(name))
    assert changes(None, changed(name)) != changes(None, BASE)
    assert yaml_of(changed(name)) != yaml_of(BASE)


@pytest.mark.parametrize("name", NAMES)
def test_a_change_by_another_person_is_kept_beside_ones_own(name: str) -> None:
    mine = replace(BASE, queues=(replace(QUEUE, concurrency=4),))
    if name == "queues":
        mine = replace(BASE, description="Mine")

    merged = merge(base=BASE, theirs=changed(name), mine=mine, keep={})

    assert getattr(merged.configuration, name) == OTHER[name]


@pytest.mark.parametrize("name", NAMES)
def test_it_reaches_the_data_plane(
    name: str, create: Callable[..., Operation], remote: Cluster, db: None
) -> None:
    operation = create("etl", replace(BASE, queues=(replace(QUEUE, size="local"),)))
    revision = operation.revision
    assert revision is not None
    before = compile_spec(deployment=operation.deployment, revision=revision)
    revision.config = changed(name).to_json()

    after = compile_spec(deployment=operation.deployment, revision=revision)

    is_known = name in {field.name for field in fields(DeploymentSpec)}
    assert is_known != (name in NOT_COMPILED)
    assert not is_known or getattr(after, name) != getattr(before, name)
