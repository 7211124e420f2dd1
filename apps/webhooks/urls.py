"""The addresses of an organization and of its workspaces are alike."""

from collections.abc import Iterator

from django.urls import URLPattern, path

from apps.webhooks.pages import views

app_name = "webhooks"

# What follows webhooks/, the name, and the name of the view.
PAGES = (
    ("", "list", "webhooks"),
    ("new/", "new", "new"),
    ("<int:webhook_id>/", "webhook", "webhook"),
    ("<int:webhook_id>/test/", "test", "test"),
    ("<int:webhook_id>/rotate/", "rotate", "rotate"),
    ("<int:webhook_id>/end-secret/", "end_secret", "end_secret"),
    ("<int:webhook_id>/delete/", "delete", "delete"),
    ("<int:webhook_id>/deliveries/<int:number>/resend/", "resend", "resend"),
)


def _patterns() -> Iterator[URLPattern]:
    for rest, name, view in PAGES:
        on_organization = getattr(views, f"organization_{view}")
        on_workspace = getattr(views, f"workspace_{view}")
        yield path(f"o/<slug:slug>/webhooks/{rest}", on_organization, name=name)
        yield path(f"w/<slug:slug>/webhooks/{rest}", on_workspace, name=f"workspace_{name}")


urlpatterns = list(_patterns())
