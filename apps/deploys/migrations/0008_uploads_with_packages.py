import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("deploys", "0007_uploads_of_images")]

    operations = [
        migrations.AddField(
            model_name="upload",
            name="preview",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="upload",
                to="deploys.preview",
            ),
        ),
    ]
