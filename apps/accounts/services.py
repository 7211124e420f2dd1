"""People, and the one-time links that let the first one in."""

import secrets
from datetime import timedelta
from functools import partial

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.mail import send_mail
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.template.loader import render_to_string
from django.utils import timezone

from apps.accounts.models import SignInLink, User
from apps.accounts.queries import digest_of, person_with_email
from apps.accounts.sessions.services import end_sessions
from apps.core.errors import Invalid, PortalError

LINK_LIFE = timedelta(hours=24)
ADDRESS_CHANGED = "The email address of your Astro Portal account was changed"
# Reserved by RFC 2606: an address there has no owner.
RETIRED_DOMAIN = "@retired.invalid"


class LinkUnusable(PortalError):
    """A one-time link was used, replaced, has expired or never was."""

    def __init__(self) -> None:
        super().__init__("This link was already used, has expired or was replaced by a newer one.")


class AddressTaken(Invalid):
    """Two accounts never have the same address."""

    def __init__(self) -> None:
        super().__init__("An account with this email address already exists.", field="email")


@transaction.atomic
def issue_sign_in_link(*, user: User | None, bypasses_single_sign_on: bool = False) -> str:
    """Make a one-time link and return its token, which is stored nowhere. It replaces unused ones.

    With `user` None the link sets up the installation and makes its first administrator. A link
    with `bypasses_single_sign_on` works although the person's domain enforces single sign-on.
    """
    SignInLink.objects.filter(user=user, used_at=None).delete()
    token = secrets.token_urlsafe(32)
    SignInLink.objects.create(
        user=user,
        token_digest=digest_of(token),
        expires_at=timezone.now() + LINK_LIFE,
        bypasses_single_sign_on=bypasses_single_sign_on,
    )
    return token


def use_sign_in_link(*, token: str) -> SignInLink:
    """Spend a link, once even if two requests come at the same moment. Raises LinkUnusable."""
    unused = SignInLink.objects.filter(
        token_digest=digest_of(token), used_at=None, expires_at__gt=Now()
    )
    if not unused.update(used_at=Now()):
        raise LinkUnusable
    return SignInLink.objects.select_related("user").get(token_digest=digest_of(token))


def create_person(
    *, email: str, name: str, password: str, is_address_proved: bool, is_operator: bool = False
) -> User:
    """Create an account. Raises Invalid naming the field.

    `is_address_proved` is whether the person has shown that mail to the address reaches them.
    """
    if person_with_email(email=email) is not None:
        raise AddressTaken
    check_password_strength(password=password, user=User(email=email, name=name))
    try:
        with transaction.atomic():
            return _create(
                email, name, password, is_address_proved=is_address_proved, is_operator=is_operator
            )
    except IntegrityError:
        # Another invitation of the same address was accepted since the question above.
        raise AddressTaken from None


def _create(
    email: str,
    name: str,
    password: str | None,
    *,
    is_address_proved: bool,
    is_operator: bool = False,
) -> User:
    name = " ".join(name.split())
    user = User.objects.create_user(email, password, name=name, is_operator=is_operator)
    EmailAddress.objects.create(
        user=user, email=user.email, primary=True, verified=is_address_proved
    )
    return user


def check_password_strength(*, password: str, user: User) -> None:
    """Raise Invalid with the first rule that the password breaks."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid(" ".join(error.messages), field="password") from None


def create_passwordless(*, email: str, name: str, is_address_proved: bool = True) -> User:
    """Create an account that signs in through an identity provider.

    The provider has verified the address, unless `is_address_proved` is false. Raises AddressTaken.
    """
    try:
        with transaction.atomic():
            return _create(email, name, None, is_address_proved=is_address_proved)
    except IntegrityError:
        raise AddressTaken from None


@transaction.atomic
def change_address(*, user: User, email: str) -> None:
    """Change the address of an account; the caller has verified it and checked that it is free.

    The old address is told by mail: whoever reads there may be the only one to notice.
    """
    before = user.email
    user.email = email
    user.save(update_fields=["email"])
    EmailAddress.objects.filter(user=user).delete()
    EmailAddress.objects.create(user=user, email=email, primary=True, verified=True)
    body = render_to_string("accounts/address_changed_mail.txt", {"before": before, "after": email})
    send = partial(send_mail, ADDRESS_CHANGED, body, None, [before])
    transaction.on_commit(send, robust=True)


@transaction.atomic
def retire_person(*, user: User) -> None:
    """Close an account permanently and free its address: whoever gets that next is a new person.

    What the account proved itself with is deleted. The row stays for what it did, with the address
    as its name if it had none.
    """
    user.name = user.name or user.email
    user.email = f"{user.pk}{RETIRED_DOMAIN}"
    user.is_active = False
    user.set_unusable_password()
    user.save(update_fields=["name", "email", "is_active", "password"])
    for proofs in (EmailAddress, Authenticator, SocialAccount, SignInLink):
        proofs.objects.filter(user=user).delete()
    end_sessions(user=user)


def deactivate_person(*, user: User) -> None:
    """Close an account: sign-in is refused and its sessions end at once. Roles stay."""
    user.is_active = False
    user.save(update_fields=["is_active"])
    end_sessions(user=user)


def reactivate_person(*, user: User) -> None:
    """Open a closed account again."""
    user.is_active = True
    user.save(update_fields=["is_active"])


def update_profile(*, user: User, name: str, time_zone: str) -> None:
    """Change a person's name and the time zone that pages are shown in."""
    user.name = " ".join(name.split())
    user.time_zone = time_zone
    user.save(update_fields=["name", "time_zone"])
