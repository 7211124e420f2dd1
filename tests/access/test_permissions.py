from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.access.effective_grants import people_allowed
from apps.access.grants.services import grant
from apps.access.queries import denials, note_held, permissions_held, with_held
from apps.access.scopes import with_ancestors
from apps.accounts.models import User
from apps.deployments.models import Deployment
from tests.conftest import role


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


def test_refusals_are_explained_together_in_one_query(deployment, alice, django_assert_num_queries):
    asked = ["deployment.update", "deployment.deploys.create"]
    deployment = Deployment.objects.select_related("workspace__organization").get()

    with django_assert_num_queries(1):
        update, deploy = denials(permissions=asked, on=deployment)

    assert update.roles[:2] == ("Deployment Admin", "Workspace Operator")
    assert deploy.roles[:2] == ("Deployment Author", "Workspace Author")
    assert update.grantors == deploy.grantors == (alice,)


def test_those_nearest_are_named_first_and_once(deployment, workspace, alice, bob):
    grant(actor=None, user=bob, role=role("workspace", "owner"), on=workspace)
    grant(actor=None, user=alice, role=role("workspace", "owner"), on=workspace)
    grant(actor=None, user=bob, role=role("deployment", "admin"), on=deployment)

    people = people_allowed(permission="deployment.members.manage", on=deployment)

    assert people == [bob, alice]


def test_what_comes_with_an_object_is_what_is_held_on_it_and_on_all_above(
    deployment, workspace, organization, alice, bob, charlie, django_assert_num_queries
):
    grant(actor=None, user=bob, role=role("deployment", "admin"), on=deployment)
    for person in (alice, bob, charlie):
        for place in (deployment, workspace, organization):
            paths = [path for path in place.access_paths.values() if path]
            reader = User.objects.get(pk=person.pk)
            rows = type(place).objects.select_related(*paths)

            found = with_held(rows, user_id=reader.pk).get(pk=place.pk)
            note_held(user=reader, on=found)

            with django_assert_num_queries(0):
                noted = [permissions_held(user=reader, on=one) for one in with_ancestors(found)]
            asked = User.objects.get(pk=person.pk)
            assert noted == [permissions_held(user=asked, on=one) for one in with_ancestors(place)]
            assert bool(noted[0]) == (person != charlie)
