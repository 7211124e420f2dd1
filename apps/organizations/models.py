from typing import ClassVar

from django.conf import settings
from django.contrib.auth.models import Group
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from apps.access.models import Grant, TeamGrant, ending_index
from apps.access.queries import ScopedQuerySet
from apps.access.roles.catalogue import Scope


class Organization(models.Model):
    """The tenant: people, workspaces, clusters. Nothing crosses from one to another."""

    name = models.CharField(max_length=80)
    slug = models.SlugField(max_length=60, unique=True)
    created_at = models.DateTimeField(default=timezone.now)

    access_scope: ClassVar[Scope] = "organization"
    access_paths: ClassVar[dict[str, str]] = {"organization": ""}

    objects = ScopedQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name

    @property
    def access_parent(self) -> None:
        return None


class Workspace(models.Model):
    """A group of Deployments with its own members and roles. Its slug is unique in the whole
    portal.
    """

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="workspaces"
    )
    name = models.CharField(max_length=50)
    slug = models.SlugField(max_length=60, unique=True)
    description = models.CharField(max_length=250, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    access_scope: ClassVar[Scope] = "workspace"
    access_paths: ClassVar[dict[str, str]] = {"workspace": "", "organization": "organization"}

    objects = ScopedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("name"), "organization", name="workspace_name_unique_in_organization"
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def access_parent(self) -> Organization:
        return self.organization


class OrganizationGrant(Grant):
    content_object = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="grants"
    )

    class Meta(Grant.Meta):
        indexes = [
            models.Index(fields=["content_object", "permission"], name="organization_grant_object"),
            ending_index("organization_grant"),
        ]


class WorkspaceGrant(Grant):
    content_object = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="grants")

    class Meta(Grant.Meta):
        indexes = [
            models.Index(fields=["content_object", "permission"], name="workspace_grant_object"),
            ending_index("workspace_grant"),
        ]


class Team(models.Model):
    """People of an organization who share roles. Its `auth.Group` is what guardian knows of it, and
    `group.user_set` are its members; the group's name is only a unique key.

    A member who is currently not in the organization gets no permissions through it.
    """

    class Source(models.TextChoices):
        MANUAL = "manual", "Kept here"
        MIRRORED = "mirrored", "Mirrors a group of an identity provider"

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="teams")
    name = models.CharField(max_length=80)
    description = models.CharField(max_length=250, blank=True)
    group = models.OneToOneField(Group, on_delete=models.PROTECT, related_name="team")
    source = models.CharField(max_length=10, choices=Source.choices, default=Source.MANUAL)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("name"), "organization", name="team_name_unique_in_organization"
            )
        ]

    def __str__(self) -> str:
        return self.name


class OrganizationTeamGrant(TeamGrant):
    content_object = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="team_grants"
    )

    class Meta(TeamGrant.Meta):
        indexes = [
            models.Index(
                fields=["content_object", "permission"], name="organization_team_grant_object"
            ),
            ending_index("organization_team_grant"),
        ]


class WorkspaceTeamGrant(TeamGrant):
    content_object = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, related_name="team_grants"
    )

    class Meta(TeamGrant.Meta):
        indexes = [
            models.Index(
                fields=["content_object", "permission"], name="workspace_team_grant_object"
            ),
            ending_index("workspace_team_grant"),
        ]


class Invitation(models.Model):
    """An offer of roles to an email address. The link's token is stored as a digest only."""

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="invitations"
    )
    workspace = models.ForeignKey(
        Workspace, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    email = models.EmailField(max_length=254)
    organization_role = models.CharField(max_length=60, default="member")
    workspace_role = models.CharField(max_length=60, blank=True)
    token_digest = models.CharField(max_length=64, unique=True)
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    roles_end_at = models.DateTimeField(null=True, blank=True)
    # Whether the link went to the address alone. Otherwise the inviter has seen it.
    proves_address = models.BooleanField(default=False)
    accepted_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                "organization",
                condition=models.Q(accepted_at=None, revoked_at=None),
                name="one_open_invitation_per_address",
            )
        ]


class ApiToken(models.Model):
    """A name, an expiry and a service user, which holds the token's one role. `scope` is the kind
    of object that it holds it on: organization, workspace or deployment.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_token"
    )
    scope = models.CharField(max_length=20)
    name = models.CharField(max_length=80)
    description = models.CharField(max_length=250, blank=True, db_default="")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    last_used_from = models.CharField(max_length=64, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name


class ApiTokenSecret(models.Model):
    """The digest of a token's secret. A token has one, and for a while after a rotation the
    previous one, too. A secret works as long as its creator could create it again.
    """

    token = models.ForeignKey(ApiToken, on_delete=models.CASCADE, related_name="secrets")
    digest = models.CharField(max_length=64, unique=True)
    beginning = models.CharField(max_length=16)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    made_at = models.DateTimeField(default=timezone.now)
    ends_at = models.DateTimeField(null=True, blank=True)

    @property
    def shown(self) -> str:
        """A part of the secret, to tell it from others: its beginning, or its end where all begin
        alike.
        """
        return self.beginning if self.beginning.startswith("…") else f"{self.beginning}…"


class PersonalToken(models.Model):
    """A token with which a person's own programs call, in one organization and with all that the
    person may do there, or with those of its `permissions` that the person holds.

    `fingerprint` is of the password it was made under: with another one the token is refused.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="personal_tokens"
    )
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=80)
    digest = models.CharField(max_length=64, unique=True)
    ending = models.CharField(max_length=16)
    fingerprint = models.CharField(max_length=64)
    # None: all.
    permissions = ArrayField(models.CharField(max_length=80), null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True)
    last_used_from = models.CharField(max_length=64, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("name"), "user", name="personal_token_name_unique_of_person"
            )
        ]

    def __str__(self) -> str:
        return self.name
