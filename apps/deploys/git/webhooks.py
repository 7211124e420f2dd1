"""Webhooks of git providers: a hint to look at a repository now. Nothing of what they say is used.

The address names the repository by an unguessable key, and a signature proves that the provider
knows the secret: HMAC-SHA256 of the body (GitHub, Gitea, Forgejo, Bitbucket), or the secret itself
in a header (GitLab). Sent again, a message costs one more look, and those are bounded.
"""

import hashlib
import hmac

from django.core.cache import cache
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from apps.core.encryption.crypto import SecretUnreadable
from apps.core.web.gates import open_to_all
from apps.core.web.middleware import client_address
from apps.deploys.git.credentials import open_secret
from apps.deploys.git.tasks import look_now
from apps.deploys.models import GitRepository

MOST_BYTES = 2 * 1024 * 1024 - 1
# Good ones of one repository, and bad ones of one address.
MOST_A_MINUTE = 60
# https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries and the pages of
# the others: with and without the name of the algorithm before the digest.
SIGNATURES = ("X-Hub-Signature-256", "X-Gitea-Signature", "X-Forgejo-Signature", "X-Hub-Signature")
TOKEN = "X-Gitlab-Token"  # noqa: S105 - the name of a header


@csrf_exempt
@open_to_all
@require_POST
def receive(request: HttpRequest, key: str) -> HttpResponse:
    if int(request.headers.get("Content-Length") or 0) > MOST_BYTES:
        return _answer(413, "The message is too large. The portal finds the push by itself.")
    repository = GitRepository.objects.filter(key=key).first()
    if repository is None or not is_signed(
        request, body=request.body, secret=_secret_of(repository)
    ):
        # Good messages pass all the same: many repositories may share an address.
        if _is_too_often(f"from {client_address(request)}"):
            return _answer(429, "Too many bad messages from this address. Wait a minute.")
        return _answer(401, "There is no such webhook, or the signature is wrong.")
    if _is_too_often(f"of {repository.pk}"):
        return _answer(429, "Too many messages. Try again in a minute.")
    GitRepository.objects.filter(pk=repository.pk).update(webhook_seen_at=Now())
    if repository.sources.exists():
        look_now(repository)
    return _answer(202, "The repository is being checked.")


def is_signed(request: HttpRequest, *, body: bytes, secret: str) -> bool:
    """Return whether a message carries the signature of a provider that knows the secret."""
    if not secret:
        return False
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    for name in SIGNATURES:
        sent = request.headers.get(name, "").removeprefix("sha256=")
        if sent and hmac.compare_digest(sent.encode(), digest.encode()):
            return True
    sent = request.headers.get(TOKEN, "")
    return bool(sent) and hmac.compare_digest(sent.encode(), secret.encode())


def _secret_of(repository: GitRepository) -> str:
    try:
        return open_secret(repository, "webhook_secret")
    except SecretUnreadable:
        return ""


def _is_too_often(who: str) -> bool:
    key = f"git:webhooks:{who}"
    if cache.add(key, 1, 60):
        return False
    try:
        return int(cache.incr(key)) > MOST_A_MINUTE
    except ValueError:  # it ended between the two, or there is no cache
        return False


def _answer(status: int, message: str) -> HttpResponse:
    response = JsonResponse({"message": message}, status=status)
    response["Cache-Control"] = "no-store"
    return response
