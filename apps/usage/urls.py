from django.urls import path

from apps.usage import price_views, views

app_name = "usage"

urlpatterns = [
    path("prices/", price_views.prices, name="prices"),
    path("prices/<int:price_id>/remove/", price_views.remove_price, name="remove_price"),
    path("o/<slug:slug>/usage/", views.usage, name="usage"),
    path("o/<slug:slug>/usage/csv/", views.download, name="csv"),
]
