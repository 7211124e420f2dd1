from django.urls import path

from apps.organizations.views import (
    explanations,
    invitations,
    leaving,
    members,
    records,
    roles,
    team_roles,
    teams,
    workspaces,
)

app_name = "organizations"

urlpatterns = [
    path("invitations/<str:token>/", invitations.invitation, name="invitation"),
    path("o/<slug:slug>/workspaces/", workspaces.workspaces, name="workspaces"),
    path("o/<slug:slug>/workspaces/new/", workspaces.new_workspace, name="new_workspace"),
    path("o/<slug:slug>/members/", members.members, name="members"),
    path("o/<slug:slug>/members/invite/", invitations.invite_member, name="invite_member"),
    path("o/<slug:slug>/members/<int:person_id>/", members.member, name="member"),
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
    path("o/<slug:slug>/team-roles/", team_roles.of_organization, name="team_roles"),
    path(
        "o/<slug:slug>/team-roles/<int:team_id>/take/",
        team_roles.take_on_organization,
        name="take_team_role",
    ),
    path("w/<slug:slug>/teams/", team_roles.of_workspace, name="workspace_teams"),
    path(
        "w/<slug:slug>/teams/<int:team_id>/take/",
        team_roles.take_on_workspace,
        name="take_workspace_team_role",
    ),
    path("o/<slug:slug>/roles/", roles.roles, name="roles"),
    path("o/<slug:slug>/roles/<int:role_id>/", roles.role_page, name="role"),
    path("o/<slug:slug>/roles/new/<str:scope>/", roles.new_role, name="new_role"),
    path("o/<slug:slug>/roles/<int:role_id>/edit/", roles.edit_role, name="edit_role"),
    path("o/<slug:slug>/roles/<int:role_id>/delete/", roles.delete_role_page, name="delete_role"),
    path("o/<slug:slug>/audit/", records.audit, name="audit"),
    path("o/<slug:slug>/audit/export/", records.export_audit, name="export_audit"),
    path("o/<slug:slug>/leave/", leaving.leave, name="leave"),
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
