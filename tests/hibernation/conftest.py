from collections.abc import Callable

import pytest

from apps.deployments.models import Deployment
from tests.api.conftest import program_of  # noqa: F401 - a fixture
from tests.deployments import conftest
from tests.deployments.conftest import _sign_in_key, create, created  # noqa: F401 - fixtures


@pytest.fixture
def drive() -> Callable[..., Deployment]:
    """Run passes of the reconciler."""
    return conftest.drive
