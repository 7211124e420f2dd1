import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.db.utils import IntegrityError
from django.utils import timezone
from guardian.utils import get_user_obj_perms_model

from apps.access.apps import MODELS
from apps.access.effective_grants import roles_held
from apps.access.grants.services import LastOwner, grant, revoke
from apps.access.models import Role
from apps.access.queries import explain_denial, forget_permissions, permissions_held
from apps.access.roles.catalogue import BUILT_IN_ROLES, PERMISSIONS, SCOPES
from apps.accounts.models import User
from apps.clusters.models import Cluster
from apps.deployments.models import Deployment
from apps.organizations.models import Organization, OrganizationGrant, Workspace, WorkspaceGrant
from tests.conftest import make_user, role


def test_every_built_in_role_is_a_row_that_guardian_can_hold(db):
    for built_in in BUILT_IN_ROLES:
        row = Role.objects.get(scope=built_in.scope, key=built_in.key)
        assert set(row.permissions) == built_in.permissions
        assert row.permission.content_type.model_class()._meta.label == MODELS[built_in.scope]


def test_a_role_holds_known_permissions_of_its_scope_and_below(db):
    for built_in in BUILT_IN_ROLES:
        below = SCOPES[SCOPES.index(built_in.scope) :]
        assert built_in.permissions <= PERMISSIONS.keys()
        if built_in.scope != "workspace" or built_in.key != "accessor":
            assert all(p.split(".")[0] in below for p in built_in.permissions), built_in


def test_higher_ranks_of_a_scope_hold_what_lower_ones_do(db):
    for scope in SCOPES:
        ranked = sorted(
            (one for one in BUILT_IN_ROLES if one.scope == scope), key=lambda one: one.rank
        )
        for lower, higher in zip(ranked, ranked[1:], strict=False):
            assert lower.permissions < higher.permissions


def test_guardian_finds_the_direct_tables(db):
    assert get_user_obj_perms_model(Organization) is OrganizationGrant
    assert get_user_obj_perms_model(Workspace) is WorkspaceGrant


def test_editing_a_role_takes_effect_without_touching_a_grant(bob, workspace):
    assert not bob.has_perm("workspace.update", workspace)
    member = role("workspace", "member")
    member.permissions = [*member.permissions, "workspace.update"]
    member.save(update_fields=["permissions"])

    assert User.objects.get(pk=bob.pk).has_perm("workspace.update", workspace)


def test_all_permissions_on_a_deployment_cost_one_query(bob, deployment, django_assert_num_queries):
    found = Deployment.objects.select_related("workspace__organization").get(pk=deployment.pk)

    with django_assert_num_queries(1):
        assert bob.has_perm("deployment.view", found)
        assert not bob.has_perm("deployment.update", found)
        assert not bob.has_perm("workspace.update", found.workspace)
        assert not bob.has_perm("organization.update", found.workspace.organization)


def test_a_cluster_takes_its_permissions_from_the_organization(alice, bob, charlie, cluster):
    assert alice.has_perm("organization.clusters.manage", cluster)
    assert not bob.has_perm("organization.clusters.manage", cluster)
    assert list(Cluster.objects.visible_to(bob)) == [cluster]
    assert list(Cluster.objects.visible_to(charlie)) == []


def test_an_ended_grant_counts_no_more(workspace, db):
    dora = make_user("Dora")
    past = timezone.now() - timedelta(seconds=1)
    grant(actor=None, user=dora, role=role("workspace", "owner"), on=workspace, expires_at=past)

    assert permissions_held(user=dora, on=workspace) == frozenset()
    assert list(Workspace.objects.visible_to(dora)) == []
    assert roles_held(user=dora, on=workspace) == []


def test_a_disabled_person_may_do_nothing(alice, workspace):
    alice.is_active = False
    forget_permissions(alice)

    assert not alice.has_perm("workspace.view", workspace)
    assert list(Workspace.objects.visible_to(alice)) == []


def test_a_role_of_one_scope_cannot_be_held_on_another(alice, workspace):
    with pytest.raises(Exception, match="not designed for this class"):
        grant(actor=None, user=alice, role=role("organization", "owner"), on=workspace)


def test_one_role_per_person_and_object(bob, workspace):
    grant(actor=None, user=bob, role=role("workspace", "author"), on=workspace)

    assert [one.role.key for one in WorkspaceGrant.objects.filter(user=bob)] == ["author"]


def test_a_denial_names_the_least_role_of_each_scope_and_who_can_give_it(alice, bob, deployment):
    denial = explain_denial(permission="deployment.update", on=deployment)

    assert denial.roles == ("Deployment Admin", "Workspace Operator", "Organization Owner")
    assert denial.grantors == (alice,)


def test_nobody_can_be_made_superuser(alice):
    alice.is_superuser = True

    with pytest.raises(IntegrityError, match="nobody_is_superuser"):
        alice.save(update_fields=["is_superuser"])


def test_a_bare_permission_of_django_opens_nothing(bob, workspace):
    bob.user_permissions.add(*Permission.objects.all())
    bob = User.objects.get(pk=bob.pk)

    assert not bob.has_perm("workspace.update", workspace)


@pytest.mark.django_db(transaction=True)
def test_two_owners_cannot_leave_at_the_same_moment(organization, alice):
    other = make_user("Other")
    grant(actor=None, user=other, role=role("organization", "owner"), on=organization)
    start, refused = threading.Barrier(2), []

    def leave(person: User) -> None:
        try:
            start.wait(5)
            revoke(actor=person, user=person, on=organization)
        except LastOwner:
            refused.append(person)
        finally:
            connection.close()

    threads = [threading.Thread(target=leave, args=(person,)) for person in (alice, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert len(refused) == 1
    assert OrganizationGrant.objects.filter(content_object=organization).count() == 1
