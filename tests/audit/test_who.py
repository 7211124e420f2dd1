"""Who did it: a person, a token of either kind, or the portal itself."""

import json

from django.utils import timezone

from apps.audit.models import AuditEvent
from apps.organizations.models import OrganizationGrant
from apps.organizations.tokens.secrets import SCIM_PREFIX
from apps.sso.models import Domain
from apps.sso.scim.tokens import create_scim_token, revoke_scim_token
from tests.audit.events import record_one


def test_what_an_identity_provider_does_is_said_to_be_done_by_its_token(
    alice, organization, client
):
    Domain.objects.create(
        organization=organization, name="nordhavn.test", token="t1", verified_at=timezone.now()
    )
    bearer = create_scim_token(actor=alice, organization=organization, name="Okta")
    person = {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": "dana@nordhavn.test",
        "emails": [{"value": "dana@nordhavn.test", "primary": True}],
    }

    answer = client.post(
        "/scim/nordhavn/v2/Users",
        json.dumps(person),
        content_type="application/scim+json",
        headers={"Authorization": f"Bearer {bearer}"},
    )

    assert answer.status_code == 201
    assert OrganizationGrant.objects.filter(user__email="dana@nordhavn.test").exists()
    event = AuditEvent.objects.filter(action="role.granted").latest("pk")
    assert (event.actor, event.actor_label) == (None, "SCIM token Okta")
    assert (event.address, event.request_id) == ("127.0.0.1", answer["X-Request-ID"])
    assert record_one().actor_label == "Astro Portal"


def test_a_token_for_provisioning_is_named_and_its_secret_is_not(alice, organization):
    bearer = create_scim_token(actor=alice, organization=organization, name="Okta")
    revoke_scim_token(actor=alice, token=organization.scim_tokens.get())

    made, ended = AuditEvent.objects.filter(action__startswith="scim_token").order_by("pk")
    assert made.changes == {"SCIM token Okta": [None, "usable"]}
    assert ended.changes == {"SCIM token Okta": ["usable", "revoked"]}
    assert bearer.removeprefix(SCIM_PREFIX) not in str([made.changes, ended.changes])
