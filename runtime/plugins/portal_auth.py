"""Sign-in to the Airflow UI through the portal, as the portal's user and with the role that the
portal assigns.

Runs inside the api-server. There are no passwords here: a visitor without a session is redirected
to the portal, which posts back a token that it signed for this Deployment, valid for one minute.
Airflow holds the portal's public key only, so nothing found here can be used to sign in elsewhere.
"""

import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import jwt
from airflow.api_fastapi.app import get_cookie_path
from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.configuration import AIRFLOW_HOME, conf
from fastapi import Body, FastAPI, HTTPException, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from portal_connection_test import tested
from portal_counts import counts, tables
from portal_dags import dags
from portal_grid import grid
from portal_history import history
from portal_logs import part
from portal_why import waiting, why

ROLES = ("viewer", "user", "op", "admin")
MAX_TOKEN_AGE_SECONDS = 120
SESSION_SECONDS = 3600
MAX_FORM_BYTES = 16_384
MOST_LOG_BYTES = 4 * 1024 * 1024
# The year 9999, after which a moment has no date.
MOST_SECONDS = 253_370_764_800


class PortalUser(SimpleAuthManagerUser):
    """A user of the portal, and the session there that they came from."""

    def __init__(self, *, username: str, role: str, portal_session: str) -> None:
        super().__init__(username=username, role=role, teams=[])
        self.portal_session = portal_session


class PortalAuthManager(SimpleAuthManager):
    """Airflow's own four roles, held by users of the portal."""

    def init(self) -> None:
        """Make no users and no password file."""

    def _get_teams(self) -> set[str]:
        return set()

    def serialize_user(self, user: SimpleAuthManagerUser) -> dict[str, Any]:
        """Return the claims of a session. The edge or gateway in front of Airflow reads them, and
        drops a session whose person has another role by now (the portal's
        apps/dataplane/edge/roles.py).
        """
        portal_session = getattr(user, "portal_session", "")
        return {**super().serialize_user(user), "portal_session": portal_session}

    def get_url_login(self, **kwargs: Any) -> str:
        # Airflow itself appends "?next=...", so the address has no query of its own.
        portal = os.environ["PORTAL_URL"].rstrip("/")
        url = f"{portal}/airflow/{os.environ['PORTAL_DEPLOYMENT_REF']}/"
        next_url = kwargs.get("next_url")
        return f"{url}?{urlencode({'next': next_url})}" if next_url else url

    def get_url_logout(self) -> str:
        # Airflow redirects there without clearing its cookie, so the cookie is cleared on our own
        # page.
        return f"{get_cookie_path()}auth/portal/logout"

    def get_fastapi_app(self) -> FastAPI:
        app = FastAPI(title="Sign-in through the portal", openapi_url=None)
        app.add_api_route("/portal/callback", self._callback, methods=["POST"], response_model=None)
        app.add_api_route("/portal/logout", self._logout, methods=["GET"], response_model=None)
        app.add_api_route("/portal/counts", self._counts, methods=["GET"], response_model=None)
        app.add_api_route("/portal/dags", self._dags, methods=["GET"], response_model=None)
        app.add_api_route("/portal/history", self._history, methods=["GET"], response_model=None)
        app.add_api_route("/portal/grid", self._grid, methods=["GET"], response_model=None)
        app.add_api_route("/portal/log", self._log, methods=["GET"], response_model=None)
        path = "/portal/connection-test"
        app.add_api_route(path, self._connection_test, methods=["POST"], response_model=None)
        app.add_api_route("/portal/tables", self._tables, methods=["GET"], response_model=None)
        app.add_api_route("/portal/why", self._why, methods=["GET"], response_model=None)
        return app

    async def _callback(self, request: Request) -> RedirectResponse:
        check_origin(request.headers.get("Origin", ""), portal=os.environ["PORTAL_URL"])
        form = await _read_form(request)
        claims = verified_claims(form.get("token", ""))
        user = PortalUser(
            username=claims["sub"],
            role=claims["role"],
            portal_session=str(claims.get("portal_session", "")),
        )
        session = self.generate_jwt(user, expiration_time_in_seconds=SESSION_SECONDS)
        response = RedirectResponse(safe_next(form.get("next", ""), get_cookie_path()), 303)
        response.headers["Cache-Control"] = "no-store"
        response.set_cookie(
            COOKIE_NAME_JWT_TOKEN,
            session,
            path=get_cookie_path(),
            httponly=True,
            samesite="lax",
            secure=_is_behind_tls(),
        )
        return response

    async def _logout(self) -> RedirectResponse:
        response = RedirectResponse(f"{os.environ['PORTAL_URL'].rstrip('/')}/", 303)
        response.delete_cookie(
            COOKIE_NAME_JWT_TOKEN,
            path=get_cookie_path(),
            httponly=True,
            samesite="lax",
            secure=_is_behind_tls(),
        )
        return response

    # Not async: the database is waited for in a thread.
    def _counts(self, user: GetUserDep) -> dict[str, Any]:
        _require_portal(user)
        return counts()

    def _connection_test(
        self, user: GetUserDep, conn_id: Annotated[str, Body(embed=True, max_length=250)]
    ) -> dict[str, Any]:
        _require_portal(user)
        return tested(conn_id)

    def _tables(self, user: GetUserDep) -> dict[str, Any]:
        _require_portal(user)
        return tables()

    def _dags(self, user: GetUserDep, known: str = "") -> dict[str, Any]:
        _require_portal(user)
        return dags(known)

    def _history(
        self,
        user: GetUserDep,
        since: Annotated[int | None, Query(ge=0, le=MOST_SECONDS)] = None,
        results: Annotated[float | None, Query(ge=0, le=MOST_SECONDS)] = None,
    ) -> dict[str, Any]:
        _require_portal(user)
        return history(since=since, results_since=results)

    def _grid(
        self,
        user: GetUserDep,
        dag_id: str,
        run_id: str = "",
        runs: Annotated[int, Query(ge=1, le=30)] = 14,
    ) -> dict[str, Any]:
        _require_portal(user)
        return grid(dag_id=dag_id, run_id=run_id, runs=runs)

    def _log(
        self,
        user: GetUserDep,
        dag_id: str,
        run_id: str,
        task_id: str,
        map_index: int = -1,
        try_number: Annotated[int, Query(ge=0)] = 1,
        begin: Annotated[int | None, Query(ge=0)] = None,
        end: Annotated[int | None, Query(ge=0)] = None,
        most: Annotated[int, Query(ge=1, le=MOST_LOG_BYTES)] = MOST_LOG_BYTES,
        lines: Annotated[int, Query(ge=1, le=MOST_LOG_BYTES)] = MOST_LOG_BYTES,
        contains: str = "",
        level: str = "",
    ) -> Response:
        _require_portal(user)
        found = part(
            ids=(dag_id, run_id, task_id, map_index),
            try_number=try_number,
            begin=begin,
            end=end,
            limits=(lines, most),
            contains=contains,
            level=level,
        )
        # As it is: to look through megabytes for what is no JSON takes longer than to read them.
        return JSONResponse(found)

    def _why(
        self,
        user: GetUserDep,
        dag_id: str = "",
        run_id: str = "",
        task_id: str = "",
        map_index: int = -1,
    ) -> dict[str, Any]:
        _require_portal(user)
        if not task_id:
            return waiting()
        return why(dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index)


def _require_portal(user: GetUserDep) -> None:
    if user.role != "admin":
        raise HTTPException(403, "Only the portal itself is told.")


def check_origin(origin: str, *, portal: str) -> None:
    """Refuse a form that was not sent by a page of the portal: with a ticket of its own, another
    website could sign a visitor in as another user. Browsers send the origin of every POST.
    """
    if not origin or origin_of(origin) != origin_of(portal):
        raise HTTPException(403, f"Open Airflow from the portal at {portal}.")


def origin_of(url: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of an address (RFC 6454), None if it is none of a website."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None


def verified_claims(token: str) -> dict[str, Any]:
    """Return the claims of a portal token that is valid here, now and for the first time."""
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            Path(os.environ["PORTAL_PUBLIC_KEY_FILE"]).read_text(),
            algorithms=["EdDSA"],
            audience=os.environ["PORTAL_AUDIENCE"],
            issuer=os.environ["PORTAL_ISSUER"],
            leeway=10,
            options={"require": ["exp", "iat", "jti", "sub", "iss", "aud"]},
        )
    except jwt.PyJWTError as error:
        sentence = "This sign-in link is not valid any more. Go back to the portal."
        raise HTTPException(401, sentence) from error
    if claims["exp"] - claims["iat"] > MAX_TOKEN_AGE_SECONDS or claims.get("role") not in ROLES:
        raise HTTPException(401, "The portal sent a sign-in that Airflow does not accept.")
    if not _use_once(str(claims["jti"])):
        raise HTTPException(401, "This sign-in link was used already. Go back to the portal.")
    return claims


def safe_next(target: str, base_path: str) -> str:
    """Return the path to continue at: of this Airflow only, whatever address `target` names."""
    if any(ord(character) < 33 or character == "\\" for character in target):
        return base_path
    try:
        parts = urlsplit(target)
    except ValueError:
        return base_path
    if not parts.path.startswith(base_path) or not _is_plain(parts.path):
        return base_path
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _is_plain(path: str) -> bool:
    """Return whether a path neither climbs nor names a host, however often it is decoded."""
    for _ in range(3):
        climbs = any(part in (".", "..") for part in path.split("/"))
        if climbs or "\\" in path or path.startswith("//") or not path.isprintable():
            return False
        decoded = unquote(path)
        if decoded == path:
            return True
        path = decoded
    return False


def _use_once(token_id: str) -> bool:
    """Remember the token; return False if it was seen before. A file, as api-server processes share
    those.
    """
    folder = Path(AIRFLOW_HOME) / "used-sign-ins"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    oldest = time.time() - 3 * MAX_TOKEN_AGE_SECONDS
    for path in folder.iterdir():
        if path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)
    name = hashlib.sha256(token_id.encode()).hexdigest()
    try:
        os.close(os.open(folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    return True


async def _read_form(request: Request) -> Mapping[str, str]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise HTTPException(413, "The form is too large.")
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in fields.items()}


def _is_behind_tls() -> bool:
    return bool(conf.get("api", "base_url", fallback="").startswith("https://"))
