"""What PostgreSQL tells open streams: which Deployment changed, and which session ended."""

from django.db import migrations

# What pages show of a Deployment. Leases and turns, which change all the time, are not told.
TELL = """
CREATE FUNCTION portal_live_deployment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('portal_live', 'deployment:' || NEW.id);
    RETURN NULL;
END $$;

CREATE TRIGGER portal_live AFTER UPDATE ON deployments_deployment
    FOR EACH ROW WHEN (
        (OLD.name, OLD.description, OLD.phase, OLD.wanted_id, OLD.applied_id, OLD.health,
         OLD.health_message, OLD.observation, OLD.open_incidents, OLD.incident_severity,
         OLD.last_error, OLD.quarantined_at)
        IS DISTINCT FROM
        (NEW.name, NEW.description, NEW.phase, NEW.wanted_id, NEW.applied_id, NEW.health,
         NEW.health_message, NEW.observation, NEW.open_incidents, NEW.incident_severity,
         NEW.last_error, NEW.quarantined_at)
    ) EXECUTE FUNCTION portal_live_deployment();

CREATE FUNCTION portal_live_operation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('portal_live', 'deployment:' || NEW.deployment_id);
    RETURN NULL;
END $$;

CREATE TRIGGER portal_live AFTER INSERT OR UPDATE ON deployments_operation
    FOR EACH ROW EXECUTE FUNCTION portal_live_operation();

CREATE FUNCTION portal_live_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('portal_live', 'deployment:' || deployment_id)
        FROM deployments_operation WHERE id = NEW.operation_id;
    RETURN NULL;
END $$;

CREATE TRIGGER portal_live AFTER INSERT OR UPDATE ON deployments_operationstep
    FOR EACH ROW EXECUTE FUNCTION portal_live_step();

-- The key of a session is a secret; its digest is not.
CREATE FUNCTION portal_live_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify(
        'portal_live', 'session:' || encode(sha256(convert_to(OLD.session_key, 'UTF8')), 'hex'));
    RETURN NULL;
END $$;

CREATE TRIGGER portal_live AFTER DELETE ON django_session
    FOR EACH ROW EXECUTE FUNCTION portal_live_session();
"""

TELL_NOTHING = """
DROP TRIGGER portal_live ON django_session;
DROP TRIGGER portal_live ON deployments_operationstep;
DROP TRIGGER portal_live ON deployments_operation;
DROP TRIGGER portal_live ON deployments_deployment;
DROP FUNCTION portal_live_session();
DROP FUNCTION portal_live_step();
DROP FUNCTION portal_live_operation();
DROP FUNCTION portal_live_deployment();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("observability", "0002_history"),
        ("deployments", "0004_open_incidents"),
        ("sessions", "0001_initial"),
    ]

    operations = [migrations.RunSQL(TELL, TELL_NOTHING)]
