"""An OpenID Connect provider on loopback whose answers a test can bend."""

import base64
import hashlib
import json
import secrets
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID, CLIENT_SECRET = "portal", "client-secret-of-the-test"


class OpenIDProvider:
    """`claims` go into the ID token and the user info; `bend` changes one step of the protocol."""

    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}"
        self.claims: dict[str, Any] = {
            "sub": "u-1",
            "email": "dana@nordhavn.test",
            "name": "Dana",
            "groups": ["data-eng"],
        }
        self.bend: dict[str, Any] = {}
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.requests: dict[str, dict[str, str]] = {}
        self.posted: dict[str, str] = {}

    def authorize(self, url: str) -> str:
        """Play the person who says yes: return the query of the way back."""
        asked = {name: value[0] for name, value in parse_qs(urlsplit(url).query).items()}
        code = secrets.token_hex(8)
        self.requests[code] = asked
        return f"code={code}&state={asked['state']}"

    def answer(self, path: str, posted: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if path == "/.well-known/openid-configuration":
            return 200, self._configuration()
        if "/.well-known/" in path:
            return 404, {}
        if path == "/keys":
            return 200, {"keys": [self._public_key()]}
        if path == "/userinfo":
            return 200, {**self.claims, **self.bend.get("userinfo", {})}
        return self._token(posted)

    def _configuration(self) -> dict[str, Any]:
        names = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")
        paths = ("/authorize", "/token", "/userinfo", "/keys")
        found = {name: self.issuer + path for name, path in zip(names, paths, strict=True)}
        methods = ["client_secret_post"]
        return {
            "issuer": self.issuer,
            "token_endpoint_auth_methods_supported": methods,
            **found,
            **self.bend.get("configuration", {}),
        }

    def _public_key(self) -> dict[str, Any]:
        found = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        stated = {"kid": "k1", "alg": "RS256", "use": "sig", **self.bend.get("published", {})}
        return {**found, **{name: value for name, value in stated.items() if value}}

    def _token(self, posted: dict[str, str]) -> tuple[int, dict[str, Any]]:
        self.posted = posted
        asked = self.requests.pop(posted.get("code", ""), None)
        verifier = posted.get("code_verifier", "").encode()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier).digest()).decode()
        if asked is None or asked.get("code_challenge") != challenge.rstrip("="):
            return 400, {"error": "invalid_grant"}
        if posted.get("client_secret") != self.bend.get("client_secret", CLIENT_SECRET):
            return 401, {"error": "invalid_client"}
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": asked.get("nonce"),
            **self.claims,
            **self.bend.get("id_token", {}),
        }
        token = jwt.encode(
            claims,
            self.bend.get("key", self.key),
            algorithm=self.bend.get("algorithm", "RS256"),
            headers={"kid": kid} if (kid := self.bend.get("kid", "k1")) else None,
        )
        answer = {"access_token": "a", "token_type": "Bearer", "id_token": token}
        for name in self.bend.get("without", ()):
            del answer[name]
        return 200, answer


@contextmanager
def running(chain: Path | None = None) -> Iterator[OpenIDProvider]:
    """Serve a provider on a free port of loopback, by TLS with a key and its certificate."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    provider = OpenIDProvider(server.server_port)
    if chain is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *args: None
        provider.issuer = provider.issuer.replace("http:", "https:")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._send({name: value[0] for name, value in parse_qs(body).items()})

        def _send(self, posted: dict[str, str]) -> None:
            status, data = provider.answer(self.path.partition("?")[0], posted)
            is_nested = provider.bend.get("nested") == self.path
            body = b"[" * 100_000 if is_nested else json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None: ...

    server.RequestHandlerClass = Handler
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
