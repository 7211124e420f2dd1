"""Remove what was pasted and stored with certificates, private keys above all."""

from typing import Any

from django.db import migrations

from apps.core.certificates import certificates_in


def keep_certificates_alone(apps: Any, schema_editor: Any) -> None:
    rows = apps.get_model("object_stores", "ObjectStore").objects
    for pk, text in rows.exclude(ca_certificate="").values_list("pk", "ca_certificate"):
        rows.filter(pk=pk).update(ca_certificate=certificates_in(text))


class Migration(migrations.Migration):
    dependencies = [
        ("object_stores", "0001_buckets"),
    ]

    operations = [
        migrations.RunPython(keep_certificates_alone, migrations.RunPython.noop),
    ]
