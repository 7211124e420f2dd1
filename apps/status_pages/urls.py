from django.urls import path

from apps.status_pages.manage import components, overview, reports, settings, subscribers
from apps.status_pages.public import views

app_name = "status_pages"

urlpatterns = [
    path("o/<slug:slug>/status/", overview.overview, name="overview"),
    path("o/<slug:slug>/status/preview/", overview.preview, name="preview"),
    path("o/<slug:slug>/status/switch/", settings.switch, name="switch"),
    path("o/<slug:slug>/status/settings/", settings.page_settings, name="settings"),
    path("o/<slug:slug>/status/components/", components.components, name="components"),
    path("o/<slug:slug>/status/components/new/", components.new_component, name="new_component"),
    path(
        "o/<slug:slug>/status/components/<int:component_id>/",
        components.component,
        name="component",
    ),
    path(
        "o/<slug:slug>/status/components/<int:component_id>/move/",
        components.move,
        name="move_component",
    ),
    path(
        "o/<slug:slug>/status/components/<int:component_id>/delete/",
        components.delete,
        name="delete_component",
    ),
    path("o/<slug:slug>/status/reports/new/<str:report_kind>/", reports.new, name="new_report"),
    path("o/<slug:slug>/status/reports/<int:report_id>/", reports.report, name="report"),
    path(
        "o/<slug:slug>/status/reports/<int:report_id>/postmortem/",
        reports.postmortem,
        name="postmortem",
    ),
    path("o/<slug:slug>/status/reports/<int:report_id>/discard/", reports.discard, name="discard"),
    path("o/<slug:slug>/status/subscribers/", subscribers.subscribers, name="subscribers"),
    path(
        "o/<slug:slug>/status/subscribers/<int:subscriber_id>/remove/",
        subscribers.remove,
        name="remove_subscriber",
    ),
    path("status/<str:address>/", views.page, name="page"),
    path("status/<str:address>/subscribe/", views.subscribe, name="subscribe"),
    path(
        "status/<str:address>/subscribe/receiver/",
        views.subscribe_receiver,
        name="subscribe_receiver",
    ),
    path("status/<str:address>/<path:name>", views.page, name="file"),
    path("status-mail/confirm/<str:token>/", views.confirm, name="confirm"),
    path("status-mail/<str:token>/", views.subscription, name="subscription"),
]
