from collections.abc import Collection

from apps.status_pages.reports.models import FINAL, Report


def open_reports(page_ids: Collection[int]) -> list[Report]:
    """List what is posted and not over on some pages, with its components."""
    rows = Report.objects.filter(page__in=page_ids, posted_at__isnull=False).exclude(
        stage__in=FINAL
    )
    return list(rows.prefetch_related("components").order_by("-begins_at"))
