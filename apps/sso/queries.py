"""Reads about domains and identity providers."""

from dataclasses import dataclass

from allauth.socialaccount.models import SocialAccount

from apps.accounts.models import User
from apps.accounts.queries import digest_of
from apps.organizations.models import Organization
from apps.sso.models import BypassLink, Domain, SSOConnection


@dataclass(frozen=True)
class Ways:
    """How an address can sign in: by these connections, and by password unless `is_enforced`."""

    connections: tuple[SSOConnection, ...]
    is_enforced: bool


def domain_of(email: str) -> str:
    """Return the domain of an address as name servers know it: in lower case and in ASCII."""
    name = email.rpartition("@")[2].strip().lower()
    try:
        return name.encode("idna").decode()
    except UnicodeError:
        return name


def ways_to_sign_in(*, email: str) -> Ways:
    """Return the sign-in methods of an address; without a verified domain, a password."""
    domain = verified_domain(email=email)
    if domain is None:
        return Ways((), is_enforced=False)
    enabled = SSOConnection.objects.filter(
        organization_id=domain.organization_id, is_enabled=True
    ).order_by("name")
    return Ways(tuple(enabled), is_enforced=domain.is_enforced)


def connections_of(*, user: User) -> list[SSOConnection]:
    """Return the enabled connections through which a person has signed in before."""
    keys = SocialAccount.objects.filter(user=user).values("provider")
    found = SSOConnection.objects.filter(key__in=keys, is_enabled=True)
    return list(found.select_related("organization").order_by("name"))


def verified_domain(*, email: str) -> Domain | None:
    """Return the verified domain that an address belongs to, with its organization."""
    verified = Domain.objects.filter(name=domain_of(email), verified_at__isnull=False)
    return verified.select_related("organization").first()


def owns_address(*, connection: SSOConnection, email: str) -> bool:
    """Return whether the connection's organization has verified the domain of an address.

    Claims about other addresses are refused: an identity provider could assert anyone's.
    """
    domain = verified_domain(email=email)
    return domain is not None and domain.organization_id == connection.organization_id


def is_domain_of(*, organization: Organization, name: str) -> bool:
    """Return whether an organization has verified a domain."""
    return organization.domains.filter(
        name=name.strip().lower(), verified_at__isnull=False
    ).exists()


def bypass_link(*, token: str) -> BypassLink | None:
    """Return the bypass link with this token, with its organization."""
    links = BypassLink.objects.filter(token_digest=digest_of(token))
    return links.select_related("organization").first()
