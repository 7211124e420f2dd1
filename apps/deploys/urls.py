from django.urls import path

from apps.deploys import views
from apps.deploys.previews.views import preview

app_name = "deploys"

urlpatterns = [
    path("d/<slug:ref>/deploys/", views.deploys, name="list"),
    path("d/<slug:ref>/deploys/previews/<int:number>/", preview, name="preview"),
    path("d/<slug:ref>/deploys/<int:number>/", views.detail, name="detail"),
    path("d/<slug:ref>/deploys/<int:number>/download/", views.download, name="download"),
    path("d/<slug:ref>/deploys/<int:number>/roll-back/", views.roll_back, name="roll_back"),
]
