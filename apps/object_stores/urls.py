from django.urls import path

from apps.object_stores import views

app_name = "object_stores"

urlpatterns = [
    path("o/<slug:slug>/buckets/", views.stores, name="list"),
    path("o/<slug:slug>/buckets/<slug:use>/", views.store, name="store"),
    path("o/<slug:slug>/buckets/<slug:use>/test/", views.test, name="test"),
    path("o/<slug:slug>/buckets/<slug:use>/remove/", views.remove, name="remove"),
]
