"""The one program that people sign in: the Astro CLI, which is also the name for their scripts."""

from allauth.idp.oidc.models import Client

CLIENT_ID, NAME = "astro-cli", "Astro CLI"
# All that the person may do. There are no parts of it to choose from.
SCOPE = "portal"
GRANTS = (
    Client.GrantType.AUTHORIZATION_CODE,
    Client.GrantType.REFRESH_TOKEN,
    Client.GrantType.DEVICE_CODE,
)
# Of the machine that the browser runs on. The CLI listens at the first; with a number instead of a
# name, any port is fine (RFC 8252, section 7.3).
ADDRESSES = (
    "http://localhost:12345/callback",
    "http://127.0.0.1/callback",
    "http://[::1]/callback",
)


def ensure_client() -> None:
    """Make the row of the client, where it is missing or of an older version. One query."""
    wanted = {
        "name": NAME,
        "type": Client.Type.PUBLIC,
        "grant_types": "\n".join(GRANTS),
        "redirect_uris": "\n".join(ADDRESSES),
        "scopes": SCOPE,
        "default_scopes": SCOPE,
    }
    known = Client.objects.filter(pk=CLIENT_ID, **wanted).exists()
    if not known:
        Client.objects.update_or_create(pk=CLIENT_ID, defaults=wanted)
