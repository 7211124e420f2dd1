from django.urls import path

from apps.sso.domains import views as domains
from apps.sso.groups import views as groups
from apps.sso.scim import views as scim
from apps.sso.setup import people_views as setup_people
from apps.sso.setup import views as setup
from apps.sso.sign_in import confirm_views, link_views, saml_views
from apps.sso.sign_in import views as sign_in

app_name = "sso"

KEY = "<str:connection_key>"

urlpatterns = [
    path(f"accounts/sso/{KEY}/", sign_in.start, name="start"),
    path("accounts/confirm/", confirm_views.confirm, name="confirm"),
    path(f"accounts/sso/{KEY}/confirm/", confirm_views.confirm_at, name="confirm_at"),
    path(f"accounts/sso/{KEY}/link/", link_views.link, name="link"),
    path(f"accounts/sso/{KEY}/link/<str:token>/", link_views.link_by_mail, name="link_by_mail"),
    path(f"accounts/sso/{KEY}/acs/", saml_views.acs, name="acs"),
    path(f"accounts/sso/{KEY}/acs/finish/", saml_views.acs_finish, name="acs_finish"),
    path(f"accounts/sso/{KEY}/metadata/", saml_views.metadata, name="metadata"),
    path(f"accounts/sso/{KEY}/callback/", sign_in.callback, name="callback"),
    path("accounts/bypass/<str:token>/", sign_in.bypass, name="bypass"),
    path("scim/<str:organization_slug>/v2/<path:path>", scim.endpoint, name="scim"),
    path("o/<slug:slug>/sso/scim/", scim.provisioning, name="provisioning"),
    path(
        "o/<slug:slug>/sso/scim/<int:scim_token_id>/revoke/", scim.revoke_token, name="revoke_token"
    ),
    path("o/<slug:slug>/sso/", domains.overview, name="overview"),
    path("o/<slug:slug>/sso/bypass/", domains.make_bypass_link, name="make_bypass_link"),
    path(
        "o/<slug:slug>/sso/domains/<int:domain_id>/check/",
        domains.check_domain,
        name="check_domain",
    ),
    path("o/<slug:slug>/sso/domains/<int:domain_id>/", domains.change_domain, name="change_domain"),
    path("o/<slug:slug>/sso/new/", setup.new_connection, name="new_connection"),
    path(f"o/<slug:slug>/sso/{KEY}/", setup.connection, name="connection"),
    path(f"o/<slug:slug>/sso/{KEY}/groups/", groups.groups, name="groups"),
    path(f"o/<slug:slug>/sso/{KEY}/groups/<int:mapping_id>/", groups.unmap, name="unmap"),
    path(f"o/<slug:slug>/sso/{KEY}/people/", setup_people.people, name="people"),
    path(f"o/<slug:slug>/sso/{KEY}/people/<int:link_id>/", setup_people.unlink, name="unlink"),
    path(f"o/<slug:slug>/sso/{KEY}/approve/", setup.approve_connection, name="approve_connection"),
    path(f"o/<slug:slug>/sso/{KEY}/edit/", setup.edit_connection, name="edit_connection"),
    path(f"o/<slug:slug>/sso/{KEY}/test/", setup.test_connection, name="test_connection"),
    path(f"o/<slug:slug>/sso/{KEY}/switch/", setup.switch_connection, name="switch_connection"),
    path(f"o/<slug:slug>/sso/{KEY}/delete/", setup.delete_connection, name="delete_connection"),
]
