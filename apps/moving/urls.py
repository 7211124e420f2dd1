from django.urls import path

from apps.moving import renaming
from apps.moving.copying import views as copying

app_name = "moving"

urlpatterns = [
    path("d/<slug:ref>/copy/", copying.copy, name="copy"),
    path("d/<slug:ref>/rename/", renaming.rename, name="rename"),
]
