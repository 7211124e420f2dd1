from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("clusters", "0001_initial")]

    operations = [migrations.RenameField("cluster", "trouble", "last_error")]
