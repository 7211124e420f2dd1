"""From a saved object to the data plane: nothing restarts, and what changed meanwhile follows."""

import json

import pytest

from apps.dataplane.errors import Unreachable
from apps.dataplane.kubernetes.render import render
from apps.deployments.models import Operation
from apps.deployments.reconciling.shared_values import is_delivered
from tests.dataplane.kubernetes_render.matrix import make_config, make_spec, manifests
from tests.dataplane.kubernetes_render.pods import pods_in
from tests.deployments.conftest import (  # noqa: F401 - fixtures
    _sign_in_key,
    create,
    created,
    drive,
    running,
)
from tests.environment.examples import make_object

pytestmark = pytest.mark.django_db


@pytest.fixture
def deployment(running):  # noqa: F811 - the fixture above
    return running


def test_a_pass_brings_what_changed_and_restarts_nothing(workspace, deployment, alice, plane):
    airflow = plane.store.airflows[deployment.ref]
    operations = Operation.objects.count()

    make_object(workspace, alice)
    deployment.refresh_from_db()
    before = is_delivered(deployment)
    after = drive(deployment)

    assert (before, is_delivered(after)) == (False, True)
    assert json.loads(airflow.applied.environment)["connections"].keys() == {"warehouse"}
    assert airflow.restarts == {}
    assert after.wanted.number == 1
    assert Operation.objects.count() == operations
    calls = len(plane.store.calls)
    drive(after)
    assert ("apply", deployment.ref) not in plane.store.calls[calls:]


def test_what_a_cluster_that_was_away_missed_is_brought_later(workspace, deployment, alice, plane):
    plane.store.fail("apply", Unreachable("It does not answer."))
    make_object(workspace, alice, "environment", "SHARED")

    missed = drive(deployment)
    caught_up = drive(missed)

    assert not is_delivered(missed)
    assert is_delivered(caught_up)
    airflow = plane.store.airflows[deployment.ref]
    assert [one.key for one in airflow.applied.variables] == ["SHARED"]
    # Environment variables are part of every process.
    assert airflow.restarts["scheduler"] == 1


def test_pods_are_not_replaced_for_another_connection():
    def pods(environment):
        stages = render(spec=make_spec(environment=environment), config=make_config())
        return [pod for one in manifests(stages) for pod in pods_in(one)]

    one, two = (json.dumps({"connections": {"a": {"host": host}}}) for host in ("x", "y"))

    assert pods(one) == pods(two)
