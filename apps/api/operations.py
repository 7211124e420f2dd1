"""The addresses of all operations. Nothing imports it before one of them is asked for."""

from apps.api.service import api

# Its own page of nothing but a 404 is left out.
urlpatterns = [pattern for pattern in api.urls[0] if str(pattern.pattern)]
