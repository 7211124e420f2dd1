"""No view without a gate: ours carry its stamp, others stand in a list with a reason."""

import pytest

from apps.access.roles.catalogue import PERMISSIONS, SCOPES
from tests.architecture.urls import addresses

WITHOUT_STAMP = {
    "account_logout": "ends the visitor's own session only",
    "account_inactive": "a page of words for a disabled person",
    "account_change_password": "allauth asks for the session and the old password",
    "account_set_password": "allauth asks for the session, and leads on when there is a password",
    "account_reset_password": "sends a mail, and says the same for any address",
    "account_reset_password_done": "a page of words",
    "account_reset_password_from_key": "the link in the mail is the proof",
    "account_reset_password_from_key_done": "a page of words",
    "account_reauthenticate": "asks for the password of the visitor's own session",
    "mfa_index": "allauth asks for the session; shows the visitor's own second factors",
    "mfa_authenticate": "the second step of a sign-in: allauth asks for the first",
    "mfa_reauthenticate": "asks for a code of the visitor's own session",
    "mfa_activate_totp": "allauth asks for a fresh sign-in; the visitor's own",
    "mfa_deactivate_totp": "allauth asks for a fresh sign-in; the visitor's own",
    "mfa_view_recovery_codes": "allauth asks for a fresh sign-in; the visitor's own",
    "mfa_generate_recovery_codes": "allauth asks for a fresh sign-in; the visitor's own",
    "mfa_list_webauthn": "leads on to mfa_index",
    "mfa_add_webauthn": "allauth asks for a fresh sign-in; the visitor's own",
    "mfa_login_webauthn": "how a person gets in; the passkey is the proof",
    "mfa_reauthenticate_webauthn": "asks for a passkey of the visitor's own session",
    "mfa_remove_webauthn": "allauth asks for a fresh sign-in and looks among the visitor's own",
    "mfa_edit_webauthn": "allauth asks for a fresh sign-in and looks among the visitor's own",
}
CLOSED = ("account_signup", "account_email", "account_email_verification_sent")
OPEN = {
    "portal:healthz": "for load balancers; tells only whether the database answers",
    "portal:docs": "the documentation, which anybody has who has the source",
    "portal:documentation": "the documentation, which anybody has who has the source",
    "api:openapi": "describes operations; tells nothing of what is in the portal",
    "api:reference": "describes operations; tells nothing of what is in the portal",
    "api:upload": "the key in the address, which announced a deploy, is the proof",
    "registry:token": "the token or credential that it asks for is the proof",
    "idp:oidc:auth_config": "tells where a program signs in, the same to all",
    "idp:oidc:token": "the code, which a person allowed, is the proof; or the refresh token",
    "idp:oidc:revoke": "the token is the proof, and all that happens is that it ends",
    "idp:oidc:device_code": "begins a sign-in, which a person has to confirm",
    "portal:setup": "the one-time link is the proof",
    "portal:end_digest": "the key in the mail is the proof; all it does is end those mails",
    "airflow_access:airflow_role": "the secret of this machine's edge is the proof",
    "organizations:invitation": "the link in the mail is the proof",
    "account_login": "how a person gets in",
    "deploys:git_webhook": "the signature of the message is the proof; it is a hint alone",
    "status_pages:page": "a page that an organization made public, or asks for membership itself",
    "status_pages:file": "a page that an organization made public, or asks for membership itself",
    "status_pages:subscribe": "sends one question, and says the same for any address",
    "status_pages:subscribe_receiver": "sends one question, and says the same for any address",
    "status_pages:confirm": "the signed link in the mail is the proof",
    "status_pages:subscription": "the signed link in the mail is the proof",
    "sso:scim": "the token of an identity provider is the proof",
    "sso:start": "leaves for an identity provider that is switched on",
    "sso:acs": "keeps a SAML answer that is signed until it is read with the session at hand",
    "sso:link": "shows what waits in the visitor's own session; the account's own sign-in links it",
    "sso:link_by_mail": "the link in the mail and the visitor's own session are the proof",
    "sso:acs_finish": "the signed answer is the proof",
    "sso:callback": "the signed answer is the proof",
    "sso:metadata": "what identity providers must know; nothing in it is secret",
    "sso:bypass": "the link opens passwords again, and signs nobody in",
    "account_signup": "closed: 404",
    "account_email": "closed: 404",
    "account_email_verification_sent": "closed: 404",
    "account_confirm_email": "closed: 404",
}
# Whoever holds one of these changes who gets in, and where to.
MATTERS = ("members", "teams", "roles", "tokens", "sso", "clusters", "git")
ONLY_SHOWS = {
    "organizations:tokens": "a list",
    "organizations:workspace_tokens": "a list",
    "deployments:tokens": "a list",
    "deploys:git_repositories": "a list",
    "deploys:git_repository": "shows what was set up",
    "sso:connection": "shows what was set up",
    "sso:people": "a list",
    "clusters:check": "asks a cluster how it is; changes nothing",
    "clusters:storage": "writes to volumes of its own, and removes them",
}
ALL = addresses()


def test_the_url_configuration_is_not_empty():
    assert len(ALL) > 30


def test_every_view_is_stamped():
    bare = {address.name for address in ALL if address.stamp is None}

    assert bare - WITHOUT_STAMP.keys() == set(), (
        "No gate: put @scoped, @signed_in_only, @operator_only or @open_to_all on the first line "
        "above the view."
    )
    assert WITHOUT_STAMP.keys() - bare == set(), "They have a stamp now: take them off the list."


def test_every_view_of_a_tenant_object_is_scoped():
    for address in ALL:
        scope, permission, writing = address.stamp or ("", "", "")
        if "<slug:" in address.route:
            assert scope in SCOPES, f"{address.route} takes an object and does not check it"
            assert {permission, writing} - {""} <= PERMISSIONS.keys(), address.route


def test_whoever_changes_members_secrets_or_clusters_is_asked_again_who_they_are():
    forgotten = set()
    for address in ALL:
        scope, permission, writing = address.stamp or ("", "", "")
        _, _, about = (writing or permission).partition(".")
        matters = about.endswith(".manage") and about.startswith(MATTERS)
        if matters and not getattr(address.view, "asks_who_is_there", False):
            forgotten.add(address.name)

    assert forgotten == ONLY_SHOWS.keys()


def test_open_views_are_known_one_by_one():
    found = {address.name for address in ALL if address.stamp and address.stamp[0] == "open"}

    assert found == OPEN.keys()


def test_the_list_of_exceptions_has_no_stale_entry():
    assert WITHOUT_STAMP.keys() <= {address.name for address in ALL}


def test_names_are_unique():
    names = [address.name for address in ALL]

    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", CLOSED)
def test_pages_of_the_account_library_that_are_not_offered_are_closed(db, client, name):
    route = next(address.route for address in ALL if address.name == name)

    assert client.get(f"/{route}").status_code == 404
    assert client.post(f"/{route}", {"email": "eve@example.org"}).status_code == 404


@pytest.mark.parametrize(
    "path", ["signup/passkey/", "login/code/", "phone/verify/", "confirm-email/x/", "3rdparty/"]
)
def test_pages_of_the_account_library_that_are_not_listed_do_not_exist(db, client, path):
    assert client.get(f"/accounts/{path}").status_code == 404
