import uuid
from typing import ClassVar

from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.db import models
from django.utils import timezone

from apps.access.queries import ScopedQuerySet
from apps.access.roles.catalogue import Scope
from apps.organizations.models import Organization, Team


class Domain(models.Model):
    """An email domain that an organization claims. It counts once it is verified by DNS.

    An identity provider is trusted for addresses of verified domains only. `is_enforced` disables
    every other way to sign in with an address of the domain.
    """

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="domains")
    name = models.CharField(max_length=253)
    token = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=timezone.now)
    checked_at = models.DateTimeField(null=True, blank=True)
    verified_at = models.DateTimeField(null=True, blank=True)
    problem = models.CharField(max_length=300, blank=True)
    is_enforced = models.BooleanField(default=False)

    access_scope: ClassVar[Scope] = "organization"
    access_paths: ClassVar[dict[str, str]] = {"organization": "organization"}

    objects = ScopedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "name"], name="domain_unique_in_organization"
            ),
            models.UniqueConstraint(
                fields=["name"],
                condition=models.Q(verified_at__isnull=False),
                name="domain_verified_once",
            ),
            models.CheckConstraint(
                condition=models.Q(is_enforced=False) | models.Q(verified_at__isnull=False),
                name="only_verified_domains_are_enforced",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def access_parent(self) -> Organization:
        return self.organization

    @property
    def record_name(self) -> str:
        return f"_astro-portal.{self.name}"

    @property
    def record_value(self) -> str:
        return f"astro-portal-verification={self.token}"


class SSOConnection(models.Model):
    """An identity provider of an organization.

    `key` is its part of URLs and the first half of every identity there, so it is random and never
    reused. `config` is public: for SAML `entity_id`, `sso_url` and `certificates` (PEM); for OIDC
    `issuer`. `default_role` is the organization role of new users, empty when they must be invited.
    Sign-in works once it is enabled, which takes a successful test since the last change
    (`tested_at`).

    `configured_by` wrote what its answers are checked against. Once an owner approves that, its
    answers reach everyone of the organization; before, only people whose permissions that person
    has. `addresses_verified_because` is why an owner accepts addresses that the identity provider
    does not call verified. `overage_at` is when it last sent people without their groups, because
    there were too many. `encryption_key` (sealed) reads assertions encrypted for
    `encryption_certificate`.
    """

    class Protocol(models.TextChoices):
        SAML = "saml", "SAML 2.0"
        OIDC = "openid_connect", "OpenID Connect"

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="sso_connections"
    )
    key = models.SlugField(max_length=40, unique=True)
    protocol = models.CharField(max_length=20, choices=Protocol.choices)
    name = models.CharField(max_length=60)
    client_id = models.CharField(max_length=255, blank=True)
    client_secret = models.BinaryField(null=True, blank=True)
    config = models.JSONField(default=dict)
    email_attribute = models.CharField(max_length=200, blank=True)
    name_attribute = models.CharField(max_length=200, blank=True)
    groups_attribute = models.CharField(max_length=200, blank=True)
    default_role = models.CharField(max_length=60, blank=True)
    configured_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    approved_at = models.DateTimeField(null=True, blank=True)
    addresses_verified_because = models.CharField(max_length=200, blank=True)
    encryption_key = models.BinaryField(null=True, blank=True)
    encryption_certificate = models.TextField(blank=True)
    overage_at = models.DateTimeField(null=True, blank=True)
    is_enabled = models.BooleanField(default=False)
    tested_at = models.DateTimeField(null=True, blank=True)
    test_result = models.JSONField(default=dict, blank=True)
    used_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    access_scope: ClassVar[Scope] = "organization"
    access_paths: ClassVar[dict[str, str]] = {"organization": "organization"}

    objects = ScopedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "name"], name="sso_connection_name_unique"
            ),
            models.CheckConstraint(
                condition=models.Q(is_enabled=False) | models.Q(tested_at__isnull=False),
                name="only_tested_connections_are_enabled",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def access_parent(self) -> Organization:
        return self.organization

    def identity(self, field: str) -> str:
        """Name a sealed field of this row for the cipher."""
        return f"sso.connection|{self.key}|{field}"

    @property
    def issuer(self) -> str:
        """The name that the identity provider has for itself. Identities belong to it."""
        return str(self.config.get("entity_id") or self.config.get("issuer") or "")


class ReservedKey(models.Model):
    """The key of a connection that a person has begun to add. The identity provider is told its
    addresses before it is there, maybe days before.
    """

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    protocol = models.CharField(max_length=20, choices=SSOConnection.Protocol.choices)
    key = models.SlugField(max_length=40, unique=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "user", "protocol"], name="one_connection_is_begun"
            )
        ]

    def __str__(self) -> str:
        return self.key


class LinkProof(models.Model):
    """That a person proved to be the owner of the account which an identity is linked to.

    Without it the identity reaches only accounts within what the connection may reach by itself. It
    ends when what the connection's answers are checked against changes.
    """

    account = models.OneToOneField(
        SocialAccount, on_delete=models.CASCADE, related_name="link_proof"
    )
    proved_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"proof of {self.account_id}"


class GroupMapping(models.Model):
    """A group at an identity provider whose people are the members of a Team.

    `seen_at` is the last sign-in with the group: a renamed group is not seen any more.
    """

    connection = models.ForeignKey(
        SSOConnection, on_delete=models.CASCADE, related_name="group_mappings"
    )
    group = models.CharField(max_length=200)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="group_mappings")
    seen_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "group", "team"], name="group_mapped_once_to_a_team"
            )
        ]

    def __str__(self) -> str:
        return self.group


class GroupMember(models.Model):
    """A person whose last sign-in reported a mapped group."""

    mapping = models.ForeignKey(GroupMapping, on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["mapping", "user"], name="group_member_once")
        ]


class UsedAssertion(models.Model):
    """A SAML assertion that was used to sign in. It works once, in whichever process."""

    connection = models.ForeignKey(SSOConnection, on_delete=models.CASCADE, related_name="+")
    assertion_id = models.CharField(max_length=256)
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "assertion_id"], name="assertion_used_once"
            )
        ]
        indexes = [models.Index(fields=["expires_at"], name="used_assertion_end")]


class ScimToken(models.Model):
    """The credential with which an identity provider provisions people. Stored as a digest."""

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="scim_tokens"
    )
    name = models.CharField(max_length=60)
    digest = models.CharField(max_length=64, unique=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name


class ScimRecord(models.Model):
    """A person or group as an identity provider describes it, with the account or Team for it.

    `document` is the SCIM resource, with the attributes that are kept and no others. `key` is what
    must be unique among the organization's records of a kind: the user name, or the display name of
    a group. A person whose address is in no verified domain has no `user`, and `problem` says so.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="scim_records"
    )
    kind = models.CharField(max_length=40)
    key = models.CharField(max_length=255, null=True)  # noqa: DJ001 - no name is unique among none
    external_id = models.CharField(max_length=255, blank=True)
    document = models.JSONField()
    version = models.PositiveIntegerField(default=1)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    team = models.OneToOneField(
        Team, null=True, blank=True, on_delete=models.SET_NULL, related_name="scim_record"
    )
    problem = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "kind", "key"], name="scim_key_unique"),
            models.UniqueConstraint(
                fields=["organization", "user"],
                condition=models.Q(user__isnull=False),
                name="scim_person_once",
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "kind", "external_id"], name="scim_external_id")
        ]


class BypassLink(models.Model):
    """Emergency access when the identity provider is down: with this link, passwords of enforced
    domains work. One for each organization; its token is stored as a digest.
    """

    organization = models.OneToOneField(
        Organization, on_delete=models.CASCADE, related_name="bypass_link"
    )
    token_digest = models.CharField(max_length=64, unique=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    used_at = models.DateTimeField(null=True, blank=True)
