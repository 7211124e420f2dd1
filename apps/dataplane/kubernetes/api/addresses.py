"""The portal's rule about addresses, with the errors of a data plane."""

from apps.core.outbound import addresses
from apps.dataplane.errors import Permanent, Unreachable

SETTING = "PORTAL_CLUSTER_NETWORKS"


class AddressRefused(Permanent):
    """The portal does not connect to this address."""


def allowed_addresses(*, host: str, port: int, networks: tuple[str, ...]) -> tuple[str, ...]:
    """Resolve a host once and return its addresses, all of them allowed.

    Raises AddressRefused, with a message, if one address is not; Unreachable if there is none.
    """
    try:
        return addresses.allowed_addresses(host=host, port=port, networks=networks, setting=SETTING)
    except addresses.AddressRefused as error:
        raise AddressRefused(error.message) from None
    except addresses.NameUnknown as error:
        raise Unreachable(error.message) from None


def why_refused(address: str, *, networks: tuple[str, ...]) -> str:
    """Return why the portal does not connect to an address, empty if it does."""
    return addresses.why_refused(address, networks=networks, setting=SETTING)
