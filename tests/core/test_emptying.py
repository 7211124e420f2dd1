"""What is left of a test with real commits."""

from typing import Any

import pytest

from apps.access.grants.services import grant
from apps.access.models import Role
from apps.audit.models import AuditEvent
from apps.organizations.models import Organization
from apps.organizations.roles.services import create_role
from tests.conftest import make_user, role
from tests.emptying import Emptying

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_a_test_wrote_goes_and_what_migrations_wrote_stays() -> None:
    flushed: list[Any] = []
    emptying = Emptying(flush=flushed.append)
    built_in = set(Role.objects.values_list("pk", flat=True))
    organization = Organization.objects.create(name="Nordhavn", slug="nordhavn")
    owner = make_user("Alice")
    grant(actor=None, user=owner, role=role("organization", "owner"), on=organization)
    create_role(
        actor=owner,
        organization=organization,
        scope="organization",
        name="Reader",
        description="",
        permissions=["organization.view"],
        is_limited=False,
        workspaces=[],
    )
    assert AuditEvent.objects.exists()
    assert Role.objects.count() > len(built_in)

    emptying.empty(None)

    assert not Organization.objects.exists()
    assert not AuditEvent.objects.exists()
    assert set(Role.objects.values_list("pk", flat=True)) == built_in
    assert flushed == []


def test_all_is_made_anew_when_what_migrations_wrote_was_changed() -> None:
    flushed: list[Any] = []
    emptying = Emptying(flush=flushed.append)
    member = role("organization", "member")
    Role.objects.filter(pk=member.pk).update(name="Somebody")

    emptying.empty("the test")

    Role.objects.filter(pk=member.pk).update(name=member.name)
    assert flushed == ["the test"]
