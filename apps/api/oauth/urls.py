"""Addresses of the sign-in of programs, with the names that allauth looks them up by."""

from django.urls import path

from apps.api.oauth import views

# The CLI puts these behind an address that it is told: `authorize`, `oauth/token`, `userinfo`.
urlpatterns = [
    path("private/v1alpha1/cli/auth-config", views.auth_config, name="auth_config"),
    path("login/authorize", views.authorize, name="authorization"),
    path("login/oauth/token", views.token, name="token"),
    path("login/oauth/revoke", views.revoke, name="revoke"),
    path("login/userinfo", views.userinfo, name="userinfo"),
    path("login/device/code", views.device_code, name="device_code"),
    path("login/device", views.device, name="device_authorization"),
]
