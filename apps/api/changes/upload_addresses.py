"""Addresses to which code is sent. Each is signed, and of one upload."""

from django.conf import settings
from django.core import signing
from django.urls import reverse

from apps.deploys.models import Upload

UPLOAD_SALT = "api.upload"
DAY_SECONDS = 86_400


def address_of(upload: Upload) -> str:
    """Return where to send the code of an upload; it works for a day."""
    key = signing.dumps(upload.pk, salt=UPLOAD_SALT)
    return f"{settings.PORTAL_URL}{reverse('api:upload')}?key={key}"


def upload_of_key(key: str) -> Upload | None:
    """Find the upload that an address was made for, within a day, until it is finished."""
    try:
        number = signing.loads(key, salt=UPLOAD_SALT, max_age=DAY_SECONDS)
    except signing.BadSignature:
        return None
    waiting = Upload.objects.filter(pk=number, finished_at=None)
    return waiting.select_related("deployment", "created_by").first()
