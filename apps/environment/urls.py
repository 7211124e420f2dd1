"""The addresses of a workspace's environment and of a Deployment's are alike."""

from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, path

from apps.environment.pages import importing, lists, objects

app_name = "environment"

# What follows environment/, the name, and the module and name of the view.
PAGES: tuple[tuple[str, str, Any, str], ...] = (
    ("import/", "import", importing, "import"),
    ("import/preview/", "import_preview", importing, "import_preview"),
    ("export/", "export", importing, "export"),
    ("types/", "types", objects, "types"),
    ("new/<slug:kind>/", "new_object", objects, "new_object"),
    ("<int:object_id>/", "object", objects, "environment_object"),
    ("<int:object_id>/delete/", "delete_object", objects, "delete_object"),
)


def _patterns() -> Iterator[URLPattern]:
    for rest, name, module, view in PAGES:
        on_workspace = getattr(module, f"workspace_{view}")
        on_deployment = getattr(module, f"deployment_{view}")
        yield path(f"w/<slug:slug>/environment/{rest}", on_workspace, name=f"workspace_{name}")
        yield path(f"d/<slug:ref>/environment/{rest}", on_deployment, name=name)


urlpatterns = [
    path("w/<slug:slug>/environment/", lists.workspace, name="workspace"),
    path("d/<slug:ref>/environment/", lists.deployment, name="deployment"),
    path(
        "w/<slug:slug>/environment/<int:object_id>/overrides/<slug:ref>/",
        objects.override,
        name="override",
    ),
    path("d/<slug:ref>/environment/test/", objects.test, name="test"),
    *_patterns(),
]
