"""Keep when the CAs of database servers and registries end, for those that are there, too."""

from typing import Any

from django.db import migrations, models

from apps.core.certificates import ca_ends_at


def fill(apps: Any, schema_editor: Any) -> None:
    clusters = apps.get_model("clusters", "Cluster").objects
    for name in ("database_ca", "registry_ca"):
        for pk, pem in clusters.exclude(**{name: ""}).values_list("pk", name):
            clusters.filter(pk=pk).update(**{f"{name}_expires_at": ca_ends_at(pem)})


class Migration(migrations.Migration):
    dependencies = [
        ("clusters", "0015_ca_expires_at"),
    ]

    operations = [
        migrations.AddField(
            model_name="cluster",
            name="database_ca_expires_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="cluster",
            name="registry_ca_expires_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
