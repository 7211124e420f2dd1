"""How to use the Astro CLI with this portal: commands and a configuration to copy."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from apps.accounts.request_user import request_user
from apps.core.public_ids import public_id
from apps.core.web.gates import signed_in_only
from apps.deployments.models import Deployment, Phase
from apps.organizations.workspaces.queries import organizations_of, workspaces_seen

MOST_PLACES = 20
TESTED = "1.45"


@signed_in_only
@require_safe
def use_cli(request: HttpRequest) -> HttpResponse:
    person = request_user(request)
    workspaces = list(workspaces_seen(user=person)[:MOST_PLACES])
    deployments = Deployment.objects.visible_to(person).exclude(phase=Phase.DELETED)
    first = deployments.order_by("name").first()
    deployment_id = public_id("deployment", first.pk) if first else "<deployment id>"
    context = {
        "tested": TESTED,
        "connect": (
            "astro context switch localhost",
            f"astro config set -g local.core {settings.PORTAL_URL}",
            "export ASTRO_API_TOKEN=<your token>",
            "astro organization list",
        ),
        "daily": (
            "astro workspace list",
            "astro deployment list --all",
            f"astro deployment inspect {deployment_id}",
            f"astro deployment logs {deployment_id}",
            f"astro deploy --dags {deployment_id}",
        ),
        "curl": f'curl -H "Authorization: Bearer $ASTRO_API_TOKEN" {_self_url()}',
        "places": [(one.name, public_id("workspace", one.pk)) for one in workspaces],
        "has_organization": organizations_of(user=person).exists(),
    }
    return render(request, "api/use_cli.html", context)


@signed_in_only
@require_safe
def cli_config(request: HttpRequest) -> HttpResponse:
    """Return a configuration file of the CLI. It holds no secret: the token is a variable."""
    text = (
        "# Put this into ~/.astro/config.yaml, and your token into ASTRO_API_TOKEN.\n"
        "context: localhost\n"
        "local:\n"
        f"    core: {settings.PORTAL_URL}\n"
        "    platform: cloud\n"
        "contexts:\n"
        "    localhost:\n"
        "        domain: localhost\n"
        "        organization_product: HOSTED\n"
    )
    headers = {"Content-Disposition": 'attachment; filename="config.yaml"'}
    return HttpResponse(text, content_type="application/yaml", headers=headers)


def _self_url() -> str:
    return settings.PORTAL_URL + reverse("api:operations:get_self")
