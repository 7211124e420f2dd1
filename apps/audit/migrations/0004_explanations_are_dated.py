"""An event that explains a cut bears the time at which it is written.

With another one it could be deleted as an old event by the next cut, and with it the only trace
that the first was shorter than the retention.
"""

from importlib import import_module

from django.db import migrations

_before = import_module("apps.audit.migrations.0003_explained_cuts").EXPLAIN
_ANY = "IF TG_OP = 'INSERT' AND NEW.sequence IS NULL AND NEW.hash = '' THEN"
_DATED = """IF TG_OP = 'INSERT' AND NEW.sequence IS NULL AND NEW.hash = ''
        AND (NEW.action <> 'audit.events_deleted' OR NEW.at BETWEEN
            clock_timestamp() - interval '1 hour' AND clock_timestamp() + interval '1 hour') THEN"""
DATED = _before.replace(_ANY, _DATED)


class Migration(migrations.Migration):
    dependencies = [("audit", "0003_explained_cuts")]

    operations = [migrations.RunSQL(DATED, _before)]
