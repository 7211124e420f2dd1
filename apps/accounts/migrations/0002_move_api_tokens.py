from django.db import migrations


class Migration(migrations.Migration):
    """API tokens belong to organizations: the tables keep their rows and get new names."""

    dependencies = [("accounts", "0001_initial")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.AlterModelTable("apitoken", "organizations_apitoken"),
                migrations.AlterModelTable("apitokensecret", "organizations_apitokensecret"),
            ],
            state_operations=[
                migrations.DeleteModel("ApiTokenSecret"),
                migrations.DeleteModel("ApiToken"),
            ],
        )
    ]
