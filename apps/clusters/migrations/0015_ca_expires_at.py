"""Keep when the CA of a cluster ends, for those that are registered, too: tests are run by people."""

from typing import Any

from django.db import migrations, models

from apps.core.certificates import ca_ends_at


def fill(apps: Any, schema_editor: Any) -> None:
    clusters = apps.get_model("clusters", "Cluster").objects
    for pk, pem in clusters.exclude(ca_certificate="").values_list("pk", "ca_certificate"):
        clusters.filter(pk=pk).update(ca_expires_at=ca_ends_at(pem))


class Migration(migrations.Migration):
    dependencies = [
        ("clusters", "0014_may_scale"),
    ]

    operations = [
        migrations.AddField(
            model_name="cluster",
            name="ca_expires_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
