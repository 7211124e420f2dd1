from django.urls import path

from apps.bulk_actions.pages import choosing, following

app_name = "bulk_actions"

urlpatterns = [
    path("o/<slug:slug>/many/", choosing.organization_choose, name="choose"),
    path("o/<slug:slug>/many/new/<slug:kind>/", choosing.organization_new, name="new"),
    path("o/<slug:slug>/many/<int:action_id>/", following.organization_action, name="action"),
    path("w/<slug:slug>/many/", choosing.workspace_choose, name="workspace_choose"),
    path("w/<slug:slug>/many/new/<slug:kind>/", choosing.workspace_new, name="workspace_new"),
    path(
        "w/<slug:slug>/many/<int:action_id>/", following.workspace_action, name="workspace_action"
    ),
]
