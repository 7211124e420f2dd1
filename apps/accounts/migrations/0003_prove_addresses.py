"""Accounts so far counted as proved whoever had seen the link that made them."""

from typing import Any

from django.db import migrations, models


def forget_unproved(apps: Any, schema_editor: Any) -> None:
    """Keep the proof of people who have signed in through an identity provider."""
    addresses = apps.get_model("account", "EmailAddress").objects.all()
    linked = apps.get_model("socialaccount", "SocialAccount").objects.values("user_id")
    addresses.exclude(user_id__in=linked).update(verified=False)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_move_api_tokens"),
        ("account", "0009_emailaddress_unique_primary_email"),
        ("socialaccount", "0006_alter_socialaccount_extra_data"),
    ]

    operations = [
        migrations.AddField(
            "signinlink", "bypasses_single_sign_on", models.BooleanField(default=False)
        ),
        migrations.RunPython(forget_unproved, migrations.RunPython.noop, elidable=True),
    ]
