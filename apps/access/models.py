from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import Permission
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now
from django.utils import timezone
from guardian.managers import GroupObjectPermissionManager, UserObjectPermissionManager
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase

from apps.accounts.models import UserKind


class Role(models.Model):
    """A named set of permissions. It *is* a row of auth.Permission, so that guardian can hold it on
    an object.

    Editing a role rewrites no grant. Built-in roles follow `catalogue.BUILT_IN_ROLES` and belong to
    no organization. A limited role is held in its workspaces only, in none when all are gone.
    """

    organization = models.ForeignKey(
        "organizations.Organization",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="custom_roles",
    )
    scope = models.CharField(max_length=20)
    key = models.SlugField(max_length=60)
    name = models.CharField(max_length=80)
    description = models.CharField(max_length=250, blank=True)
    rank = models.PositiveSmallIntegerField(default=50)
    permissions = ArrayField(models.CharField(max_length=80))
    permission = models.OneToOneField(Permission, on_delete=models.PROTECT, related_name="role")
    is_limited = models.BooleanField(default=False)
    workspaces = models.ManyToManyField("organizations.Workspace", blank=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["scope", "key"], name="role_key_unique_in_scope"),
            models.UniqueConstraint(
                Lower("name"),
                "scope",
                "organization",
                nulls_distinct=False,
                name="role_name_unique_in_organization",
            ),
        ]

    def __str__(self) -> str:
        return self.name


def ending_index(name: str) -> models.Index:
    """Return the partial index that finds expired grants among a million without an expiry."""
    ends = Q(expires_at__isnull=False)
    return models.Index(fields=["expires_at"], condition=ends, name=f"{name}_end")


class GrantQuerySet(models.QuerySet[Any]):
    def live(self) -> "GrantQuerySet":
        """Leave out expired grants, by the database's clock."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=Now()))

    def of_people(self) -> "GrantQuerySet":
        """Leave out what API tokens hold."""
        return self.filter(user__kind=UserKind.PERSON)

    def giving(self, permission: str) -> "GrantQuerySet":
        """Keep grants of roles that contain the permission."""
        return self.filter(permission__role__permissions__contains=[permission])


class GrantManager(UserObjectPermissionManager):
    def get_queryset(self) -> GrantQuerySet:
        return GrantQuerySet(self.model, using=self._db)

    def live(self) -> GrantQuerySet:
        """Leave out expired grants, by the database's clock."""
        return self.get_queryset().live()


class Grant(UserObjectPermissionBase):
    """A role held by a user on one object: guardian's row, with who granted it, when, and its
    expiry.

    Each scoped model has a concrete table with a plain foreign key called `content_object`;
    guardian finds it there.
    """

    granted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    granted_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[GrantManager] = GrantManager()

    class Meta:
        abstract = True
        unique_together = ["user", "permission", "content_object"]

    @property
    def role(self) -> Role:
        return self.permission.role


class TeamGrantManager(GroupObjectPermissionManager):
    def get_queryset(self) -> GrantQuerySet:
        return GrantQuerySet(self.model, using=self._db)

    def live(self) -> GrantQuerySet:
        """Leave out expired grants, by the database's clock."""
        return self.get_queryset().live()


class TeamGrant(GroupObjectPermissionBase):
    """A role held by a Team, as its `auth.Group`, on one object. The same columns as a `Grant`."""

    granted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    granted_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[TeamGrantManager] = TeamGrantManager()

    class Meta:
        abstract = True
        unique_together = ["group", "permission", "content_object"]

    @property
    def role(self) -> Role:
        return self.permission.role
