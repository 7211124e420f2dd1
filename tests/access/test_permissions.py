from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.deployments.models import Deployment


def test_an_owner_of_the_organization_may_do_everything_below(alice, deployment):
    assert alice.has_perm("deployment.delete", deployment)


def test_a_member_of_the_workspace_may_only_look(bob, deployment):
    assert bob.has_perm("deployment.view", deployment)
    assert not bob.has_perm("deployment.update", deployment)


def test_an_outsider_sees_nothing(charlie, deployment):
    assert not charlie.has_perm("deployment.view", deployment)
    assert list(Deployment.objects.visible_to(charlie)) == []


def test_a_list_of_what_is_visible_costs_one_query(bob, make_deployment):
    made = {make_deployment().pk for _ in range(5)}

    with CaptureQueriesContext(
        connection,
    ) as queries:
        seen = {deployment.pk for deployment in Deployment.objects.visible_to(bob)}

    assert seen == made
    assert len(queries) == 1
