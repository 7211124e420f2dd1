from django.urls import path

from apps.upgrades import views

app_name = "upgrades"

urlpatterns = [
    path("d/<slug:ref>/upgrades/", views.upgrades, name="list"),
    path("d/<slug:ref>/upgrades/<int:number>/", views.upgrade, name="upgrade"),
    path("d/<slug:ref>/upgrades/<int:number>/cancel/", views.cancel, name="cancel"),
]
