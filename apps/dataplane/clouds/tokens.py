"""The token of an identity: one for each in a process, renewed before it ends."""

import os

from apps.dataplane.clouds import aws, azure, google
from apps.dataplane.clouds.identities import AwsIdentity, AzureIdentity, CloudIdentity
from apps.dataplane.clouds.renewing import Lasting, Renewing


def token_for(identity: CloudIdentity) -> str:
    """Return a token that is good now. Raises DataPlaneError while there is none."""
    return kept_tokens.get(identity)


def try_again(identity: CloudIdentity) -> None:
    """Do not wait for the pause after a failure: a person tests the cluster."""
    kept_tokens.try_again(identity)
    if isinstance(identity, AwsIdentity):
        aws.role_keys.try_again(aws.role_of(identity))


def distrust(identity: CloudIdentity) -> None:
    """Get another token next time: the cluster refused this one. It may have been ended early."""
    kept_tokens.distrust(identity)
    if isinstance(identity, AwsIdentity):
        aws.role_keys.distrust(aws.role_of(identity))


def refusal_of(identity: CloudIdentity) -> str:
    """Return what a cluster means that does not accept the token, and what to do."""
    if isinstance(identity, AwsIdentity):
        return (
            f"The cluster does not know the role {identity.role_arn} (401): its access entry is "
            "missing. The page of the cluster has the command that creates it."
        )
    if isinstance(identity, AzureIdentity):
        return (
            "The cluster does not accept the application (401). Turn on Microsoft Entra "
            "authentication for it, and see that the tenant is the same."
        )
    return (
        f"The cluster does not accept {identity.email} (401). See that the account belongs to the "
        "project and that its key was not deleted."
    )


def _mint(identity: CloudIdentity, now: float) -> Lasting[str]:
    if isinstance(identity, AwsIdentity):
        return aws.mint(identity, now)
    if isinstance(identity, AzureIdentity):
        return azure.mint(identity, now)
    return google.mint(identity, now)


kept_tokens: Renewing[CloudIdentity, str] = Renewing(_mint)
os.register_at_fork(after_in_child=kept_tokens.restart)
