from django.db import models

from apps.status_pages.setup.models import StatusPage


class Copy(models.Model):
    """The files of a page as they were written last, packed, for web processes on any machine."""

    page = models.OneToOneField(
        StatusPage, primary_key=True, on_delete=models.CASCADE, related_name="copy"
    )
    built_at = models.DateTimeField()
    packed = models.BinaryField()
