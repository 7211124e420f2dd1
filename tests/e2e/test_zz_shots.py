from typing import Any
import pytest
from django.urls import reverse
from apps.deployments.models import Deployment
from tests.e2e import stage
from tests.e2e.test_pages_in_browser import made, open_as, _pages  # noqa

pytest_plugins = ["tests.e2e.shared_browser"]
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def test_shots(open_as: Any, alice: Any, bob: Any, made: Any) -> None:
    inspector = open_as(alice)
    ref = made.settled.ref
    quiet = Deployment.objects.get(ref="quiet-0001") if Deployment.objects.filter(ref="quiet-0001").exists() else None
    Deployment.objects.filter(ref=ref).update(health="stopped", is_hibernating=False)
    for name, arguments in _pages(made, bob):
        if name.startswith("hibernation:"):
            inspector.visit(reverse(name, args=arguments))
            key = name.split(":")[1]
            for width in (1440, 320):
                inspector.page.set_viewport_size({"width": width, "height": 900})
                inspector.page.screenshot(path=f"/tmp/shots-sleep/{key}-{width}.png", full_page=True)
    Deployment.objects.filter(ref=ref).update(health="stopped", is_hibernating=True)
    inspector.page.set_viewport_size({"width": 1440, "height": 900})
    for key, path in (("asleep", reverse("deployments:overview", args=[ref])), ("list", "/w/warehouse/deployments/"), ("usage", "/o/nordhavn/usage/")):
        inspector.visit(path)
        inspector.page.set_viewport_size({"width": 1440, "height": 900})
        inspector.page.screenshot(path=f"/tmp/shots-sleep/{key}.png", full_page=True)
    print(inspector.problems)
