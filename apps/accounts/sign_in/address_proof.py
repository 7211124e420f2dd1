"""Whether the person behind an account has proved that mail to its address reaches them.

An account may exist before that: where no mail server is configured, an invitation's link is shown
to the inviter, and the first administrator types an address. Whoever set up such an account may be
another person than the one whose address it is. So the first proof ends what was set up before.
The proof is allauth's row of the address: `verified`.
"""

from functools import partial
from typing import Any

from allauth.account.models import EmailAddress
from allauth.account.signals import password_reset
from allauth.mfa import signals
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.dispatch import Signal
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse

from apps.accounts.mail import deliver, sends_mail
from apps.accounts.models import User
from apps.accounts.sessions.services import end_sessions

# Sent with `user` when what was set up before is ended. A receiver ends what its app keeps, and
# returns it in words for the mail, as a list.
earlier_access_ended = Signal()

KINDS = {
    Authenticator.Type.TOTP: "the authenticator app",
    Authenticator.Type.RECOVERY_CODES: "the recovery codes",
    Authenticator.Type.WEBAUTHN: "the passkey",
}


def is_address_proved(*, user: User) -> bool:
    """Return whether the person has proved that mail to the address of the account reaches them."""
    rows = EmailAddress.objects.filter(user=user, email=user.email, verified=True)
    return bool(rows.exists())


@transaction.atomic
def prove_address(
    *, user: User, by: str, keeps_password: bool = False, keep_key: str | None = None
) -> bool:
    """Note that the address of an account was proved just now; return whether it was not before.

    Call it when an identity is linked to an existing account for the first time, by single sign-on
    or by provisioning, before the person is signed in. The first proof of an account ends what was
    set up before it: sessions, passkeys, second factors, the password unless `keeps_password`, API
    token secrets and open invitations. The person is told by mail. An account that is proved
    already is left as it is, so calling it again is safe. `keep_key` is the session to keep.

    `by` ends the sentence "The address of your account was confirmed by …": for example "single
    sign-on of Nordhavn".
    """
    # Two first proofs at the same moment: the second waits here and then finds the first.
    User.objects.select_for_update(no_key=True).get(pk=user.pk)
    if is_address_proved(user=user):
        return False
    end_earlier_access(
        user=user,
        reason=f"was confirmed by {by}",
        keeps_password=keeps_password,
        keep_key=keep_key,
    )
    EmailAddress.objects.update_or_create(
        user=user, email=user.email, defaults={"verified": True, "primary": True}
    )
    return True


@transaction.atomic
def end_earlier_access(
    *, user: User, reason: str, keeps_password: bool, keep_key: str | None = None
) -> list[str]:
    """End every way into an account and what was made through them; return what ended, in words.

    The person is told by mail if there was anything. `reason` ends the sentence "The address of
    your account …".
    """
    ended = [*_end_sessions(user, keep_key), *_end_second_factors(user)]
    if not keeps_password and user.has_usable_password():
        user.set_unusable_password()
        user.save(update_fields=["password"])
        ended.append("the password")
    for _, theirs in earlier_access_ended.send(sender=User, user=user):
        ended += theirs or []
    if ended:
        transaction.on_commit(partial(deliver, _message(user, reason, ended)), robust=True)
    return ended


def connect() -> None:
    """Follow password resets. Called once, when the app is ready."""
    password_reset.connect(_follow_reset, dispatch_uid="prove the address by a reset")


@transaction.atomic
def _follow_reset(*, request: HttpRequest, user: User, **_: Any) -> None:
    """Whoever opened the link of a reset reads the mailbox, if the link was mailed.

    Without a mail server the operator hands the link on. That proves nothing, but what others have
    set up ends all the same: it must not outlive the reset.
    """
    # The answer to this very request writes into its session, which ends with the next request.
    keep_key = request.session.session_key
    if sends_mail():
        prove_address(user=user, by="a password reset", keeps_password=True, keep_key=keep_key)
    elif not is_address_proved(user=user):
        reason = "is not confirmed, and its password was reset"
        end_earlier_access(user=user, reason=reason, keeps_password=True, keep_key=keep_key)
    # The old password opened these, and those at Airflow depend on them.
    end_sessions(user=user, keep_key=keep_key)


def _end_sessions(user: User, keep_key: str | None) -> list[str]:
    count = end_sessions(user=user, keep_key=keep_key)
    return [f"{count} session{'' if count == 1 else 's'}"] if count else []


def _end_second_factors(user: User) -> list[str]:
    factors = list(Authenticator.objects.filter(user=user).order_by("pk"))
    words = []
    for one in factors:
        kind = KINDS[one.type]
        name = one.wrap().name if one.type == Authenticator.Type.WEBAUTHN else ""
        words.append(f"{kind} {name}".strip())
        one.delete()
        signals.authenticator_removed.send(
            sender=Authenticator, request=None, user=user, authenticator=one, actor=None
        )
    return words


def _message(user: User, reason: str, ended: list[str]) -> EmailMessage:
    context = {
        "email": user.email,
        "reason": reason,
        "ended": ended,
        "portal": settings.PORTAL_URL,
        "url": settings.PORTAL_URL + reverse("mfa_index"),
    }
    body = render_to_string("accounts/earlier_access_ended_mail.txt", context)
    return EmailMessage("Earlier access to your account has ended", body, to=[user.email])
