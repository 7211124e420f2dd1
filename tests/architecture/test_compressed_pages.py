"""No page of the real portal that may show a secret is compressed."""

import pytest
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes

from apps.accounts.models import User
from tests.architecture.stage import Stage
from tests.architecture.urls import addresses
from tests.core.test_compression import BROWSER, is_compressed


@pytest.mark.django_db
def test_no_page_whose_address_holds_a_token_is_compressed(stage: Stage):
    found = {}
    for address in addresses():
        if "<str:token>" in address.route:
            path = stage.path(address.name, address.route)
            found[address.name] = stage.visitors["anonymous"].get(path, headers=BROWSER)

    assert {"portal:setup", "organizations:invitation", "sso:bypass"} <= found.keys()
    assert {name for name, page in found.items() if is_compressed(page)} == set()
    assert {
        name for name, page in found.items() if "no-store" not in page["Cache-Control"]
    } == set()


@pytest.mark.django_db
def test_no_page_that_shows_a_secret_is_compressed(stage: Stage):
    RecoveryCodes.activate(User.objects.get(email="organization-owner@example.org"))
    owner = stage.visitors["organization owner"]
    made = {
        "token": owner.post(
            "/o/nordhavn/tokens/new/",
            {"name": "CD", "role": "member", "expires_in": "30"},
            headers=BROWSER,
        ),
        "invitation": owner.post(
            "/o/nordhavn/members/invite/",
            {"email": "new@example.org", "role": "member"},
            headers=BROWSER,
        ),
        "bypass link": owner.post("/o/nordhavn/sso/bypass/", headers=BROWSER),
        "SCIM token": owner.post("/o/nordhavn/sso/scim/", {"name": "Entra"}, headers=BROWSER),
        "outbox": stage.visitors["operator"].get("/account/mail/", headers=BROWSER),
        "app for codes": owner.get("/accounts/2fa/app/activate/", headers=BROWSER),
        "recovery codes": owner.get("/accounts/2fa/codes/", headers=BROWSER),
    }

    assert {name: page.status_code for name, page in made.items()} == dict.fromkeys(made, 200)
    assert {name for name, page in made.items() if is_compressed(page)} == set()
    assert {name for name, page in made.items() if "no-store" not in page["Cache-Control"]} == set()
