"""The addresses of an organization, of its workspaces and of their Deployments are alike."""

from collections.abc import Iterator

from django.urls import URLPattern, path

from apps.package_indexes import views

app_name = "package_indexes"

PLACES = (
    ("o/<slug:slug>", "organization", ""),
    ("w/<slug:slug>", "workspace", "workspace_"),
    ("d/<slug:ref>", "deployment", "deployment_"),
)
# What follows package-indexes/, the name, and the name of the view.
PAGES = (
    ("", "list", "indexes"),
    ("new/", "new", "new"),
    ("<int:index_id>/", "index", "index"),
    ("<int:index_id>/test/", "test", "test"),
    ("<int:index_id>/remove/", "remove", "remove"),
)


def _patterns() -> Iterator[URLPattern]:
    for start, kind, prefix in PLACES:
        for rest, name, view in PAGES:
            found = getattr(views, f"{kind}_{view}")
            yield path(f"{start}/package-indexes/{rest}", found, name=f"{prefix}{name}")


urlpatterns = list(_patterns())
