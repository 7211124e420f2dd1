"""The keys with which an OpenID Connect provider signs ID tokens."""

from collections.abc import Iterator
from typing import Any

import jwt
from allauth.socialaccount.adapter import get_adapter

# Symmetric algorithms are no signatures here: a public key would be the secret.
ALGORITHMS = frozenset(
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
)
MOST_KEYS = 20


def signing_keys(*, token: str, keys_url: str) -> Iterator[jwt.PyJWK]:
    """Yield the published keys that may have signed a token, for the algorithm that it names.

    A key id that both state decides. Where one of them states none, as providers with a single key
    do, every key of a fitting kind is tried. Raises PyJWTError for an algorithm that is no
    signature, and requests' exceptions.
    """
    header = jwt.get_unverified_header(token)
    algorithm = header.get("alg")
    if algorithm not in ALGORITHMS:
        raise jwt.InvalidAlgorithmError(f"{str(algorithm)[:20]} is not accepted")
    with get_adapter().get_requests_session() as session:
        response = session.get(keys_url)
        response.raise_for_status()
        published = response.json()["keys"]
    wanted = header.get("kid")
    for one in published[:MOST_KEYS]:
        is_named = wanted is None or one.get("kid") in (None, wanted)
        if is_named and one.get("use", "sig") == "sig" and one.get("alg", algorithm) == algorithm:
            yield from _parsed(one, algorithm)


def _parsed(published: dict[str, Any], algorithm: str) -> Iterator[jwt.PyJWK]:
    try:
        yield jwt.PyJWK(published, algorithm=algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return  # of another kind, or one that this portal does not know
