"""What of a connection a form was opened with, so that two administrators who change it at the same
time do not overwrite each other.
"""

import hashlib
import json

from apps.core.errors import Conflict
from apps.sso.models import SSOConnection

EDITED = (
    "name",
    "client_id",
    "config",
    "email_attribute",
    "name_attribute",
    "groups_attribute",
    "default_role",
    "addresses_verified_because",
)
CHANGED = (
    "Another person changed this connection since you opened it, and nothing was saved. Its page "
    "shows what it is now. Save again to replace that by what is entered below."
)


def edition_of(connection: SSOConnection) -> str:
    """Return a digest of all that the form of a connection edits, its secret included."""
    shown = json.dumps([getattr(connection, name) for name in EDITED], sort_keys=True)
    return hashlib.sha256(shown.encode() + bytes(connection.client_secret or b"")).hexdigest()


def lock_connection(connection: SSOConnection, *, edition: str = "") -> None:
    """Read a connection again, until the end of the transaction for this one alone: whoever read it
    before may have waited for an identity provider since. Raises Conflict for another edition,
    or none.
    """
    rows = SSOConnection.objects.select_for_update(no_key=True)
    try:
        connection.refresh_from_db(from_queryset=rows)
    except SSOConnection.DoesNotExist:
        raise Conflict("Another person removed this connection.") from None
    if edition and edition != edition_of(connection):
        raise Conflict(CHANGED)
