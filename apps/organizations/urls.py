from django.urls import path

from apps.organizations.audit_log import views as records
from apps.organizations.invitations import views as invitations
from apps.organizations.members import account_views, leaving_views
from apps.organizations.members import views as members
from apps.organizations.roles import explanations, own_roles
from apps.organizations.roles import views as roles
from apps.organizations.teams import role_views
from apps.organizations.teams import views as teams
from apps.organizations.tokens import views as tokens
from apps.organizations.workspaces import views as workspaces

app_name = "organizations"

urlpatterns = [
    path("account/roles/", own_roles.own_roles, name="own_roles"),
    path("invitations/<str:token>/", invitations.invitation, name="invitation"),
    path("o/<slug:slug>/workspaces/", workspaces.workspaces, name="workspaces"),
    path("o/<slug:slug>/workspaces/new/", workspaces.new_workspace, name="new_workspace"),
    path("o/<slug:slug>/members/", members.members, name="members"),
    path("o/<slug:slug>/members/invite/", invitations.invite_member, name="invite_member"),
    path("o/<slug:slug>/members/<int:person_id>/", members.member, name="member"),
    path(
        "o/<slug:slug>/members/<int:person_id>/account/",
        account_views.member_account,
        name="member_account",
    ),
    path(
        "o/<slug:slug>/members/<int:person_id>/remove/",
        members.remove_member,
        name="remove_member",
    ),
    path(
        "o/<slug:slug>/invitations/<int:invitation_id>/resend/",
        invitations.resend,
        name="resend_invitation",
    ),
    path(
        "o/<slug:slug>/invitations/<int:invitation_id>/revoke/",
        invitations.revoke,
        name="revoke_invitation",
    ),
    path(
        "w/<slug:slug>/invitations/<int:invitation_id>/resend/",
        invitations.resend_of_workspace,
        name="resend_workspace_invitation",
    ),
    path(
        "w/<slug:slug>/invitations/<int:invitation_id>/revoke/",
        invitations.revoke_of_workspace,
        name="revoke_workspace_invitation",
    ),
    path("o/<slug:slug>/who/", explanations.of_organization, name="who"),
    path("w/<slug:slug>/who/", explanations.of_workspace, name="workspace_who"),
    path("o/<slug:slug>/teams/", teams.team_list, name="teams"),
    path("o/<slug:slug>/teams/new/", teams.new_team, name="new_team"),
    path("o/<slug:slug>/teams/<int:team_id>/", teams.team_page, name="team"),
    path("o/<slug:slug>/teams/<int:team_id>/settings/", teams.team_settings, name="team_settings"),
    path(
        "o/<slug:slug>/teams/<int:team_id>/members/<int:person_id>/remove/",
        teams.remove_from_team_page,
        name="remove_from_team",
    ),
    path("o/<slug:slug>/teams/<int:team_id>/delete/", teams.delete_team_page, name="delete_team"),
    path("o/<slug:slug>/team-roles/", role_views.of_organization, name="team_roles"),
    path(
        "o/<slug:slug>/team-roles/<int:team_id>/take/",
        role_views.take_on_organization,
        name="take_team_role",
    ),
    path("w/<slug:slug>/teams/", role_views.of_workspace, name="workspace_teams"),
    path(
        "w/<slug:slug>/teams/<int:team_id>/take/",
        role_views.take_on_workspace,
        name="take_workspace_team_role",
    ),
    path("o/<slug:slug>/tokens/", tokens.tokens, name="tokens"),
    path("o/<slug:slug>/tokens/new/", tokens.new_token, name="new_token"),
    path("o/<slug:slug>/tokens/<int:token_id>/rotate/", tokens.rotate_token, name="rotate_token"),
    path("o/<slug:slug>/tokens/<int:token_id>/revoke/", tokens.revoke_token, name="revoke_token"),
    path("w/<slug:slug>/tokens/", tokens.workspace_tokens, name="workspace_tokens"),
    path("w/<slug:slug>/tokens/new/", tokens.new_workspace_token, name="new_workspace_token"),
    path(
        "w/<slug:slug>/tokens/<int:token_id>/rotate/",
        tokens.rotate_workspace_token,
        name="rotate_workspace_token",
    ),
    path(
        "w/<slug:slug>/tokens/<int:token_id>/revoke/",
        tokens.revoke_workspace_token,
        name="revoke_workspace_token",
    ),
    path("o/<slug:slug>/roles/", roles.roles, name="roles"),
    path("o/<slug:slug>/roles/<int:role_id>/", roles.role_page, name="role"),
    path("o/<slug:slug>/roles/new/<str:scope>/", roles.new_role, name="new_role"),
    path("o/<slug:slug>/roles/<int:role_id>/edit/", roles.edit_role, name="edit_role"),
    path("o/<slug:slug>/roles/<int:role_id>/delete/", roles.delete_role_page, name="delete_role"),
    path("o/<slug:slug>/audit/", records.audit, name="audit"),
    path("o/<slug:slug>/audit/export/", records.export_audit, name="export_audit"),
    path("o/<slug:slug>/audit/verify/", records.verify_audit, name="verify_audit"),
    path("o/<slug:slug>/leave/", leaving_views.leave, name="leave"),
    path("o/<slug:slug>/settings/", workspaces.organization_settings, name="settings"),
    path("w/<slug:slug>/members/", members.workspace_members, name="workspace_members"),
    path("w/<slug:slug>/members/add/", invitations.add_member, name="add_member"),
    path(
        "w/<slug:slug>/members/<int:person_id>/",
        members.workspace_member,
        name="workspace_member",
    ),
    path(
        "w/<slug:slug>/members/<int:person_id>/remove/",
        members.remove_workspace_member,
        name="remove_workspace_member",
    ),
    path("w/<slug:slug>/settings/", workspaces.workspace_settings, name="workspace_settings"),
]
