from django.db.models import F

from apps.core.kept_queries import KeptRows, asked
from apps.deployments.models import Deployment


def test_a_kept_query_reads_what_is_asked_with_all_that_was_joined_in_one_query(
    make_deployment, django_assert_num_queries
):
    one, other = make_deployment(name="one"), make_deployment(name="other")
    rows = Deployment.objects.select_related("workspace__organization", "wanted", "applied")
    kept = KeptRows(rows.annotate(twice=F("id") * 2).filter(pk=asked("named")))

    with django_assert_num_queries(2):
        found = [kept.one(named=row.pk) for row in (one, other)]
        told = [
            (row, row.twice, row.workspace.organization, row.wanted.configuration, row.applied)
            for row in found
        ]

    assert told == [
        (row, row.pk * 2, row.workspace.organization, row.wanted.configuration, row.applied)
        for row in (one, other)
    ]
    assert kept.one(named=0) is None
