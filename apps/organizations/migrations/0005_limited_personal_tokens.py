import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("organizations", "0004_personal_tokens")]

    operations = [
        migrations.AddField(
            model_name="personaltoken",
            name="permissions",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=80), blank=True, null=True, size=None
            ),
        ),
    ]
