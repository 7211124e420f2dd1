from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("deploys", "0006_promotions_states_and_branches")]

    operations = [
        migrations.AddField(
            model_name="upload",
            name="contents",
            field=models.CharField(
                choices=[
                    ("DAG_ONLY", "DAGs"),
                    ("IMAGE_ONLY", "Image"),
                    ("IMAGE_AND_DAG", "Image and DAGs"),
                ],
                db_default="DAG_ONLY",
                default="DAG_ONLY",
                max_length=13,
            ),
        ),
        migrations.AddField(
            model_name="upload",
            name="image",
            field=models.CharField(blank=True, db_default="", default="", max_length=400),
        ),
    ]
