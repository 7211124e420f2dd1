from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone


class UserKind(models.TextChoices):
    PERSON = "person", "Person"
    SERVICE = "service", "API token"


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email__iexact=username)


class User(AbstractBaseUser, PermissionsMixin):
    """A person, or the service user that an API token acts as. What either may do comes from grants
    alone; `is_operator` opens pages of this installation.
    """

    kind = models.CharField(max_length=10, choices=UserKind.choices, default=UserKind.PERSON)
    email = models.EmailField(max_length=254, unique=True)
    name = models.CharField(max_length=150, blank=True)
    is_active = models.BooleanField(default=True)
    is_operator = models.BooleanField(default=False)
    joined_at = models.DateTimeField(default=timezone.now)
    time_zone = models.CharField(max_length=64, default="UTC")

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = UserManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("email"), name="user_email_unique_ignoring_case"),
            models.CheckConstraint(
                condition=models.Q(is_superuser=False), name="nobody_is_superuser"
            ),
            models.CheckConstraint(
                condition=models.Q(kind=UserKind.PERSON) | models.Q(is_operator=False),
                name="no_token_is_operator",
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.email


class SignInLink(models.Model):
    """A one-time link that signs its holder in: made on the machine itself, for the first
    administrator.
    """

    token_digest = models.CharField(max_length=64, unique=True)
    user = models.ForeignKey(User, null=True, blank=True, on_delete=models.CASCADE)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)
    bypasses_single_sign_on = models.BooleanField(default=False)


class OutgoingMail(models.Model):
    """An email in the outbox: stored for the operator because no mail server is configured."""

    to = models.TextField()
    subject = models.CharField(max_length=255)
    body = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)
