"""A real registry and a real client at a portal that answers: what is let in, and what is not."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from apps.deployments.editing.images import look_up_image
from apps.deployments.models import Deployment
from apps.deployments.secrets.pulling import LASTS_SECONDS, ROBOT, pull_credential
from apps.organizations.models import ApiToken
from apps.organizations.tokens.services import create_token, revoke_token
from tests.conftest import role
from tests.registry.registries import IS_INSTALLED, WHY_NOT, image_layout, pull, push

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not IS_INSTALLED, reason=WHY_NOT),
    pytest.mark.django_db(transaction=True),
]


@pytest.fixture
def token_of(alice: Any, deployment: Deployment) -> Callable[..., str]:
    def make(key: str, on: Any = deployment) -> str:
        return create_token(
            actor=alice, on=on, name=key, role=role("deployment", key), expires_at=None
        )[1]

    return make


def test_a_registry_lets_in_what_the_portal_allows_and_nothing_else(
    registry: str,
    alice: Any,
    deployment: Deployment,
    make_deployment: Any,
    token_of: Any,
    tmp_path: Path,
    settings: Any,
):
    digest = image_layout(tmp_path / "layout")
    image = f"{registry}/deployments/{deployment.ref}:deploy-1"
    foreign = f"{registry}/deployments/{make_deployment().ref}:deploy-1"
    unknown = f"{registry}/deployments/none-0000:deploy-1"
    author, viewer = token_of("author"), token_of("viewer")
    pulled = tmp_path / "pulled"

    def refused(done: Any) -> bool:
        said = done.stderr.lower()
        return done.returncode != 0 and ("denied" in said or "unauthorized" in said)

    # Allowed.
    done = push(tmp_path / "layout", image, author)
    assert done.returncode == 0, done.stderr
    done = pull(image, viewer, pulled)
    assert done.returncode == 0, done.stderr
    # Push without the right, and what is foreign or not there at all.
    assert refused(push(tmp_path / "layout", image, viewer))
    others = [pull(one, author, pulled) for one in (foreign, unknown)]
    assert all(refused(one) for one in others)
    said = [one.stderr.replace(foreign, "X").replace(unknown, "X") for one in others]
    names = (foreign.rpartition("/")[2], unknown.rpartition("/")[2])
    assert len({_plain(text, names) for text in said}) == 1, "foreign and unknown look the same"
    assert refused(push(tmp_path / "layout", foreign, author))
    # A robot pulls by digest, pushes nothing, and ends.
    now = timezone.now()
    robot = pull_credential(ref=deployment.ref, now=now)
    by_digest = f"{registry}/deployments/{deployment.ref}@{digest}"
    assert pull(by_digest, robot, pulled, user=ROBOT).returncode == 0
    assert refused(push(tmp_path / "layout", image, robot))
    # The portal itself finds what was pushed, and pins it.
    found = look_up_image(name=image, secret=None, deployment=deployment)
    assert (found.digest, found.airflow_version) == (digest, "3.3.2")
    old = pull_credential(ref=deployment.ref, now=now - timedelta(seconds=LASTS_SECONDS))
    assert refused(pull(by_digest, old, pulled, user=ROBOT))
    # Expired, revoked, made up.
    row = ApiToken.objects.get(name="viewer")
    ApiToken.objects.filter(pk=row.pk).update(expires_at=now - timedelta(seconds=1))
    assert refused(pull(image, viewer, pulled))
    revoke_token(actor=alice, token=ApiToken.objects.get(name="author"), on=deployment)
    assert refused(pull(image, author, pulled))
    assert refused(pull(image, "made-up", pulled))
    # A registry that asks for another service than the portal has.
    settings.REGISTRY = "registry.example.org"
    assert pull(image, robot, pulled, user=ROBOT).returncode != 0


def _plain(text: str, names: tuple[str, ...]) -> str:
    for name in names:
        text = text.replace(name.partition(":")[0], "X")
    return text.partition("msg=")[2]
