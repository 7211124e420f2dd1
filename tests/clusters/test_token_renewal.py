"""Tokens of service accounts that end: renewed in time, once, and told where nothing can."""

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, cast

import pytest

from apps.clusters.connections.credentials import clean_token
from apps.clusters.connections.planes import config_for
from apps.clusters.connections.renewal import _store, renew_tokens, renewal_of
from apps.clusters.connections.sealed import opened, seal_credential
from apps.clusters.models import Cluster
from apps.clusters.queries import state_of
from apps.core.errors import Invalid
from apps.dataplane.errors import DataPlaneError, Permanent, Unreachable
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.errors import Refused
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.registration.token_renewal import renewed_token
from tests.clusters.material import jwt

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def token(issued: datetime, life: timedelta = HOUR, account: str = "astro-portal") -> str:
    subject = f"system:serviceaccount:astro-portal-access:{account}"
    return jwt(sub=subject, iat=issued.timestamp(), exp=(issued + life).timestamp())


class RenewingPlane(FakePlane):
    """A plane whose cluster gives out tokens, or says why not."""

    answers: ClassVar[list[str | DataPlaneError]] = []
    asked: ClassVar[list[str]] = []

    def __init__(self, config: ClusterConfig) -> None:
        super().__init__()
        self.token = config.connection.token

    def renewed_token(self) -> str:
        self.asked.append(self.token)
        answer = self.answers.pop(0)
        if isinstance(answer, DataPlaneError):
            raise answer
        return answer


@pytest.fixture
def ending(remote: Cluster, settings: Any) -> Cluster:
    """A cluster that was registered with a token of an hour."""
    here = f"{__name__}.RenewingPlane"
    settings.DATA_PLANES = settings.DATA_PLANES | {"kubernetes": here}
    RenewingPlane.answers.clear()
    RenewingPlane.asked.clear()
    connection = config_for(remote).connection.with_token(token(NOW))
    seal_credential(remote, connection)
    remote.credential_expires_at = NOW + HOUR
    for name, value in renewal_of(connection.token, now=NOW).items():
        setattr(remote, name, value)
    remote.connection_version += 1
    remote.save()
    return remote


def test_a_new_token_is_renewed_at_once_and_then_after_two_thirds_of_its_life(
    ending: Cluster,
) -> None:
    second, third = token(NOW), token(NOW + 40 * timedelta(minutes=1))
    RenewingPlane.answers[:] = [second, third]

    assert renew_tokens(now=NOW) == 1
    assert renew_tokens(now=NOW + timedelta(minutes=39)) == 0
    ending.refresh_from_db()
    assert ending.credential_expires_at is None, "people need not do anything"
    assert ending.token_ends_at == NOW + HOUR
    assert second in opened(ending, "credential")
    assert second.encode() not in bytes(ending.credential or b"")
    assert renew_tokens(now=NOW + timedelta(minutes=40)) == 1

    ending.refresh_from_db()
    assert config_for(ending).connection.token == third
    assert RenewingPlane.asked == [token(NOW), second], "each with the one before it"


def test_an_account_that_may_not_renew_is_told_as_one_whose_credential_ends(
    ending: Cluster,
) -> None:
    RenewingPlane.answers[:] = [Refused("The cluster refuses it.", status=403), token(NOW)]

    assert renew_tokens(now=NOW) == 0
    ending.refresh_from_db()
    version = ending.connection_version
    assert ending.credential_expires_at == NOW + HOUR
    assert ending.renew_token_at == NOW + timedelta(minutes=10)
    ending.check_result = {"is_usable": True}
    ending.checked_at = NOW
    assert "The credential expires on 20 Nov 2026" in state_of(ending, now=NOW).message

    assert renew_tokens(now=NOW + timedelta(minutes=10)) == 1, "once the manifest is applied"
    ending.refresh_from_db()
    assert ending.credential_expires_at is None
    assert ending.connection_version == version + 1


def test_a_cluster_that_is_away_is_asked_again_and_told_when_it_gets_close(
    ending: Cluster,
) -> None:
    away = Unreachable("Nobody answers.")
    ending.token_ends_at, ending.credential_expires_at = NOW + 24 * HOUR, None
    ending.save()
    RenewingPlane.answers[:] = [away, away]

    renew_tokens(now=NOW)
    ending.refresh_from_db()
    assert ending.credential_expires_at is None
    assert ending.renew_token_at == NOW + HOUR
    Cluster.objects.update(renew_token_at=NOW)
    renew_tokens(now=NOW + 23.5 * HOUR)

    ending.refresh_from_db()
    assert ending.credential_expires_at == NOW + 24 * HOUR
    Cluster.objects.update(blind_until=NOW + 25 * HOUR, renew_token_at=NOW)
    assert renew_tokens(now=NOW + 24 * HOUR) == 0
    assert len(RenewingPlane.asked) == 2, "the circuit breaker holds for this, too"


def test_a_token_that_a_person_replaces_meanwhile_stays(ending: Cluster) -> None:
    other = token(NOW, 24 * HOUR)
    stale = Cluster.objects.get(pk=ending.pk)
    seal_credential(ending, config_for(ending).connection.with_token(other))
    ending.connection_version += 1
    ending.save()

    assert not _store(stale, token(NOW + HOUR), now=NOW)
    assert not _store(stale, Refused("No.", status=403), now=NOW)

    ending.refresh_from_db()
    assert config_for(ending).connection.token == other
    assert ending.renew_token_at == NOW


def test_a_short_token_of_a_service_account_is_taken_and_others_are_not() -> None:
    assert clean_token(token(NOW), field="token", now=NOW)[1] == NOW + HOUR
    with pytest.raises(Invalid, match="nothing renews it"):
        clean_token(jwt(sub="alice", exp=(NOW + HOUR).timestamp()), field="token", now=NOW)
    with pytest.raises(Invalid, match="nothing renews it"):
        clean_token(token(NOW, timedelta(minutes=4)), field="token", now=NOW)


class Answering:
    """An API that answers a request for a token with this text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def new_token(self, **_asked: Any) -> str:
        return self.text


def test_a_cluster_that_gives_out_something_else_is_refused() -> None:
    good = token(NOW + HOUR)
    for text in ("", "x", token(NOW, account="admin"), f"{good}\r\nX-Evil: 1", good + "a" * 20_000):
        with pytest.raises(Permanent, match="no token of the same account"):
            renewed_token(cast(Api, Answering(text)), token(NOW))
    assert renewed_token(cast(Api, Answering(good)), token(NOW)) == good
