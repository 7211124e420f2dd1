from django.urls import path

from apps.organizations.views import invitations, leaving, members, records, workspaces

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
    path("o/<slug:slug>/roles/", records.roles, name="roles"),
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
