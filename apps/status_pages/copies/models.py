from django.db import models

from apps.object_stores.models import ObjectStore
from apps.status_pages.setup.models import StatusPage


class Copy(models.Model):
    """The files of a page as they were written last, packed, for web processes on any machine."""

    page = models.OneToOneField(
        StatusPage, primary_key=True, on_delete=models.CASCADE, related_name="copy"
    )
    built_at = models.DateTimeField()
    packed = models.BinaryField()


class BucketCopy(models.Model):
    """What of a page lies in a bucket: `files` has the SHA-256 of each object by its name below the
    store's prefix. `sent_at` is when the copy that is there was written, `problem` why there is no
    newer one.
    """

    page = models.ForeignKey(StatusPage, on_delete=models.CASCADE, related_name="bucket_copies")
    store = models.ForeignKey(ObjectStore, on_delete=models.CASCADE, related_name="status_copies")
    files = models.JSONField(default=dict)
    sent_at = models.DateTimeField(null=True, blank=True)
    tried_at = models.DateTimeField(null=True, blank=True)
    problem = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["page", "store"], name="one_copy_of_a_page_in_a_bucket")
        ]
