from django.urls import path

from apps.moving import renaming

app_name = "moving"

urlpatterns = [
    path("d/<slug:ref>/rename/", renaming.rename, name="rename"),
]
