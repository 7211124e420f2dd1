from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("dags", "0001_dag_summaries")]

    operations = [
        migrations.AddField(
            model_name="dagsummary",
            name="catches_up",
            field=models.BooleanField(blank=True, null=True),
        ),
    ]
