"""Naming, changing, testing and removing package indexes. Passwords are sealed, written and never
shown, and go to no other host than the one they were entered for.
"""

from base64 import b64encode
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.core.certificates import certificates_alone
from apps.core.encryption.crypto import SecretUnreadable
from apps.core.encryption.keys import key_ring
from apps.core.errors import Invalid
from apps.core.outbound.guarded_http import Guard, Reach, get, parts_of_address
from apps.deployments.models import Deployment
from apps.package_indexes.models import PackageIndex
from apps.package_indexes.queries import Place, fields_of, indexes_of, password_of

MOST_INDEXES = 10
SETTING = "PORTAL_PACKAGE_INDEX_NETWORKS"
TEST_SECONDS, MOST_ANSWER_BYTES = 10, 64 * 1024
WRONG = "Enter an address that begins with https://, such as https://packages.example.org/simple."


class TestFailed(Invalid):
    """The index cannot be used as it is; the message says why."""

    __test__ = False


@dataclass(frozen=True, kw_only=True)
class IndexData:
    """What a person enters. An empty `password` keeps the one that is stored, for the same host and
    user.
    """

    name: str
    url: str
    username: str = ""
    password: str = ""
    ca_certificate: str = ""
    is_only: bool = False


@transaction.atomic
def add_index(*, actor: User, place: Place, data: IndexData) -> PackageIndex:
    """Name an index. Raises Invalid."""
    if indexes_of(place).count() >= MOST_INDEXES:
        raise Invalid(f"There are {MOST_INDEXES} package indexes here already. Remove one first.")
    index = PackageIndex(**fields_of(place), created_by=actor)
    _write(index, data)
    _record(
        "added", actor, index, {"package index": [None, index.name], "address": [None, index.url]}
    )
    return index


@transaction.atomic
def change_index(*, actor: User, index: PackageIndex, data: IndexData) -> None:
    """Change an index. What packages are locked stays; the next lock asks as it is now. Raises
    Invalid.
    """
    index = PackageIndex.objects.select_for_update(of=("self",)).get(pk=index.pk)
    before = _shown(index)
    index.version += 1
    _write(index, data)
    after = _shown(index)
    changes: dict[str, Any] = {
        name: [before[name], after[name]] for name in before if before[name] != after[name]
    }
    if data.password:
        changes["password"] = ["replaced", "replaced"]
    _record("changed", actor, index, {"package index": [index.name, index.name], **changes})


@transaction.atomic
def copy_indexes(*, actor: User, source: Deployment, target: Deployment) -> None:
    """Name for a new Deployment what another one names itself; passwords are sealed once more.
    Raises SecretUnreadable.
    """
    for index in indexes_of(source):
        copy = PackageIndex(
            deployment=target,
            name=index.name,
            url=index.url,
            username=index.username,
            ca_certificate=index.ca_certificate,
            is_only=index.is_only,
            created_by=actor,
        )
        password = password_of(index)
        identity = copy.identity("secret")
        copy.secret = key_ring().seal(value=password, identity=identity) if password else None
        copy.save(force_insert=True)
        changes = {
            "package index": [None, copy.name],
            "address": [None, copy.url],
            "copied from": [None, source.name],
        }
        _record("added", actor, copy, changes)


@transaction.atomic
def remove_index(*, actor: User, index: PackageIndex) -> None:
    """Ask an index no longer."""
    _record("removed", actor, index, {"package index": [index.name, None]})
    index.delete()


def test_index(*, index: PackageIndex) -> str:
    """Ask an index from here and return a sentence about it.

    Raises TestFailed, and ExchangeFailed where nothing answers or the address is refused.
    """
    reach = Reach(
        networks=settings.PACKAGE_INDEX_NETWORKS,
        setting=SETTING,
        allows_http=False,
        ca=index.ca_certificate,
    )
    guard = Guard(reach=reach, seconds=TEST_SECONDS, most_bytes=MOST_ANSWER_BYTES)
    password = _password_kept(index)
    if index.secret and not password:
        raise TestFailed("Its password cannot be read any more. Enter it again.")
    headers = {"Accept": "application/vnd.pypi.simple.v1+json, text/html;q=0.1"}
    if password:
        pair = f"{index.username}:{password}".encode()
        headers["Authorization"] = f"Basic {b64encode(pair).decode()}"
    # Any name will do: an index that lacks it answers that it does.
    status = get(f"{index.url}/pip/", headers=headers, guard=guard).status
    return _judged(index, status)


def _judged(index: PackageIndex, status: int) -> str:
    if status in (401, 403):
        raise TestFailed(
            f"{index.name} answers, and refuses the user and password (status {status})."
        )
    if status not in (200, 404):
        raise TestFailed(f"{index.name} answers with status {status}, which no package index does.")
    return f"{index.name} answers, as this machine asks it."


def _write(index: PackageIndex, data: IndexData) -> None:
    url = checked_url(data.url)
    is_same = (_origin(url), data.username) == (_origin(index.url), index.username)
    password = data.password or (_password_kept(index) if is_same else "")
    if data.username and not password:
        raise Invalid("Enter the password.", field="password")
    if password and not data.username:
        raise Invalid("Enter the user; for a token alone it often is __token__.", field="username")
    index.name, index.url, index.username = data.name, url, data.username
    index.ca_certificate = certificates_alone(data.ca_certificate, field="ca_certificate")
    index.is_only = data.is_only
    identity = index.identity("secret")
    index.secret = key_ring().seal(value=password, identity=identity) if password else None
    index.updated_at = timezone.now()
    try:
        with transaction.atomic():
            index.save()
    except IntegrityError:
        raise Invalid(
            f"There is a package index “{data.name}” here already.", field="name"
        ) from None


def _password_kept(index: PackageIndex) -> str:
    try:
        return password_of(index)
    except SecretUnreadable:
        return ""


def checked_url(url: str) -> str:
    """Return an address without a slash at its end. Raises Invalid for one that is of no use."""
    url = url.strip().rstrip("/")
    parts = parts_of_address(url, allows_http=False)
    if parts is None:
        raise Invalid(WRONG, field="url")
    if parts.username or parts.password:
        raise Invalid("Leave the user and the password out of the address.", field="url")
    if parts.query or parts.fragment:
        raise Invalid("Leave what follows a ? or # out of the address.", field="url")
    return url


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return (parts.scheme, parts.netloc)


def _shown(index: PackageIndex) -> dict[str, Any]:
    return {
        "name": index.name,
        "address": index.url,
        "user": index.username,
        "password": "set" if index.secret else None,
        "CA certificate": "set" if index.ca_certificate else None,
        "replaces the public index": index.is_only,
    }


def _record(what: str, actor: User, index: PackageIndex, changes: dict[str, Any]) -> None:
    record_on(action=f"package_index.{what}", actor=actor, on=index.place, changes=changes)
