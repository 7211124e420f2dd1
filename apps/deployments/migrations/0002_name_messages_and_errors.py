from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("deployments", "0001_initial")]

    operations = [
        migrations.RenameField("deployment", "health_sentence", "health_message"),
        migrations.RenameField("deployment", "trouble", "last_error"),
    ]
