"""Who the portal is, or whom it stands for, towards an Airflow's REST API; the same on every data
plane.
"""

import secrets
import time
from dataclasses import dataclass

import jwt

TOKEN_SECONDS = 120


@dataclass(frozen=True)
class AirflowUser:
    """Who calls an Airflow: the name that its own log shows, and one of its roles."""

    name: str
    role: str


PORTAL = AirflowUser("astro-portal", "admin")


def service_token(jwt_secret: str, *, user: AirflowUser = PORTAL) -> str:
    """Make a token of Airflow's own kind, signed with the Deployment's JWT secret.

    Source of the claims: Airflow's `SimpleAuthManager.serialize_user` and `[api_auth]
    jwt_audience`.
    """
    now = int(time.time())
    claims = {
        "sub": user.name,
        "role": user.role,
        "teams": [],
        "aud": "apache-airflow",
        "iat": now - 5,
        "nbf": now - 5,
        "exp": now + TOKEN_SECONDS,
        "jti": secrets.token_hex(16),
    }
    return jwt.encode(claims, jwt_secret, algorithm="HS512")
