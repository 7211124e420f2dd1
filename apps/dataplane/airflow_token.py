"""The portal's own identity towards an Airflow's REST API, the same on every data plane."""

import secrets
import time

import jwt

TOKEN_SECONDS = 120


def service_token(jwt_secret: str) -> str:
    """Make a token of Airflow's own kind, signed with the Deployment's JWT secret.

    Source of the claims: Airflow's `SimpleAuthManager.serialize_user` and `[api_auth]
    jwt_audience`.
    """
    now = int(time.time())
    claims = {
        "sub": "astro-portal",
        "role": "admin",
        "teams": [],
        "aud": "apache-airflow",
        "iat": now - 5,
        "nbf": now - 5,
        "exp": now + TOKEN_SECONDS,
        "jti": secrets.token_hex(16),
    }
    return jwt.encode(claims, jwt_secret, algorithm="HS512")
