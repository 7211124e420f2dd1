from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("organizations", "0002_api_tokens")]

    operations = [
        migrations.AddField("invitation", "proves_address", models.BooleanField(default=False)),
    ]
