"""The reconciler of the tests of Deployments."""

from tests.deployments.conftest import _sign_in_key as _sign_in_key
from tests.deployments.conftest import create as create
