"""Connections and variables with short and long names, linked and overridden in every way."""

from typing import Any

from apps.environment.objects.services import override_object
from tests.environment.examples import POSTGRES, make_object

LONG = "a_connection_to_the_warehouse_of_a_department_with_a_very_long_name_" * 2


def environment_on_stage(*, deployment: Any, author: Any) -> dict[str, int]:
    """Return the primary keys of a connection, a variable and a Deployment's own connection."""
    place, some = deployment.workspace, frozenset({deployment.pk})
    value = POSTGRES | {"extra": {"sslmode": "require", "private_key": "k"}}
    found = make_object(place, author, value=value, description="Orders and returns")
    override_object(
        actor=author, found=found, deployment=deployment, value={"host": "dev.example.org"}
    )
    make_object(place, author, name=LONG, links_all=False, linked=some)
    make_object(place, author, "variable", "REPORT_RECIPIENTS", links_all=False)
    secret = make_object(place, author, "environment", "API_TOKEN", is_secret=True)
    own = make_object(deployment, author, name="smtp", value={"type": "smtp", "host": LONG})
    return {"connection": found.pk, "variable": secret.pk, "own": own.pk}
