"""A cut of a chain needs an event of the chain that explains it, and takes no events but old ones."""

from importlib import import_module

from django.db import migrations, models

# The clocks of the portal and of the database may differ.
EXPLAIN = """
CREATE OR REPLACE FUNCTION audit_guard_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NEW.sequence IS NULL AND NEW.hash = '' THEN
        RETURN NEW;
    END IF;
    -- Tying an event to the one before it, once.
    IF TG_OP = 'UPDATE' AND OLD.sequence IS NULL
        AND to_jsonb(NEW) - '{sequence,previous_hash,hash}'::text[]
          = to_jsonb(OLD) - '{sequence,previous_hash,hash}'::text[] THEN
        RETURN NEW;
    END IF;
    -- Retention: what lies before the cut of the chain, and is as old as the cut says.
    IF TG_OP = 'DELETE' AND EXISTS (
        SELECT FROM audit_auditchain
        WHERE organization_id = COALESCE(OLD.organization_id, 0)
          AND forgotten_sequence >= OLD.sequence
          AND OLD.at < now() + interval '1 hour' - make_interval(days => retention_days)) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'Audit events are append-only: % refused', TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE OR REPLACE FUNCTION audit_guard_chain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.organization_id = OLD.organization_id
        AND NEW.last_sequence IN (OLD.last_sequence, OLD.last_sequence + 1)
        AND NEW.forgotten_sequence BETWEEN OLD.forgotten_sequence AND NEW.last_sequence
        AND (NEW.last_sequence > OLD.last_sequence OR NEW.last_hash = OLD.last_hash)
        AND (NEW.forgotten_sequence > OLD.forgotten_sequence
             OR (NEW.forgotten_hash = OLD.forgotten_hash
                 AND NEW.retention_days = OLD.retention_days)) THEN
        IF NEW.forgotten_sequence = OLD.forgotten_sequence THEN
            RETURN NEW;
        END IF;
        IF NEW.retention_days >= 1 AND EXISTS (
            SELECT FROM audit_auditevent
            WHERE COALESCE(organization_id, 0) = NEW.organization_id
              AND sequence = NEW.forgotten_sequence AND hash = NEW.forgotten_hash)
        AND EXISTS (
            SELECT FROM audit_auditevent
            WHERE COALESCE(organization_id, 0) = NEW.organization_id
              AND action = 'audit.events_deleted'
              AND (sequence IS NULL OR sequence > NEW.forgotten_sequence)
              AND changes ->> 'up_to' = NEW.forgotten_sequence::text
              AND changes ->> 'hash' = NEW.forgotten_hash
              AND changes ->> 'retention_days' = NEW.retention_days::text) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'The chain of audit events only goes forward: % refused', TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
"""

_before = import_module("apps.audit.migrations.0002_append_only")


class Migration(migrations.Migration):
    dependencies = [("audit", "0002_append_only")]

    operations = [
        migrations.AddField(
            "auditchain", "retention_days", models.IntegerField(default=0, db_default=0)
        ),
        migrations.RunSQL(EXPLAIN, _before.UNGUARD + _before.GUARD),
    ]
