from django.urls import path

from apps.accounts import views
from apps.accounts.sessions import views as session_views

app_name = "accounts"

urlpatterns = [
    path("account/", views.profile, name="profile"),
    path("account/sessions/", session_views.list_sessions, name="sessions"),
    path("account/sessions/others/end/", session_views.end_other_sessions, name="end_others"),
    path("account/sessions/<int:session_id>/end/", session_views.end_session, name="end_session"),
    path("account/mail/", views.mail, name="mail"),
]
