from django.urls import path

from apps.moving import renaming
from apps.moving.copying import views as copying
from apps.moving.transferring import views as transferring

app_name = "moving"

urlpatterns = [
    path("d/<slug:ref>/copy/", copying.copy, name="copy"),
    path("d/<slug:ref>/transfer/", transferring.transfer, name="transfer"),
    path("d/<slug:ref>/rename/", renaming.rename, name="rename"),
]
