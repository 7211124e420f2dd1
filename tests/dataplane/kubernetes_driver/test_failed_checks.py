"""What the test of a cluster says to do when its API cannot be asked."""

from dataclasses import replace
from typing import Any

import pytest

from apps.dataplane.clouds.identities import AwsIdentity
from apps.dataplane.errors import DataPlaneError, Permanent, Unreachable
from apps.dataplane.kubernetes.api.errors import CredentialRefused
from apps.dataplane.kubernetes.api.tls import untrusted
from apps.dataplane.kubernetes.registration.checks import check_cluster
from tests.clusters.material import certificate
from tests.dataplane.kubernetes_render.matrix import make_config

IDENTITY = AwsIdentity(
    role_arn="arn:aws:iam::123456789012:role/portal",
    external_id="portal-1",
    region="eu-central-1",
    cluster="data-prod",
)


class Failing:
    """An API of a cluster that answers each request with the same failure."""

    def __init__(self, error: DataPlaneError) -> None:
        self._error = error

    def json(self, *args: Any, **kwargs: Any) -> Any:
        raise self._error


@pytest.mark.parametrize(
    ("error", "own", "through_cloud"),
    [
        (
            Unreachable("It does not answer."),
            "Check the address, the CA certificate and the credential.",
            "the endpoint of the cluster is private",
        ),
        (
            untrusted("The cluster", ca=certificate("ca", days=30)),
            "Check the address, the CA certificate and the credential.",
            "If the cluster was made anew under its name, connect it again",
        ),
        (untrusted("The cluster", ca=certificate("ca", days=-30)), "", ""),
        (CredentialRefused("It refuses the token."), "Enter a new token or certificate.", ""),
        (Permanent("It answered 500."), "the log of the cluster's API server", ""),
    ],
    ids=["away", "another-ca", "ended-ca", "credential", "odd"],
)
def test_a_failed_test_of_a_cluster_says_what_to_do_once(
    error: DataPlaneError, own: str, through_cloud: str
) -> None:
    for identity, remedy in ((None, own), (IDENTITY, through_cloud)):
        config = make_config()
        connection = replace(config.connection, identity=identity)
        api: Any = Failing(error)
        check = check_cluster(api, replace(config, connection=connection))

        [finding] = check.findings
        assert not check.is_usable
        assert finding.detail == error.message
        assert remedy in finding.remedy
        assert bool(remedy) == bool(finding.remedy)
