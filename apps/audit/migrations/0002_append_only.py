"""What no model can say: events are tied into a chain at commit, and nothing changes them later."""

from django.db import migrations

# At the end of the transaction, not when the event is written: the row of the chain is then locked
# for the moment of the commit only, and after every other lock, so that it is in no deadlock.
LINK = """
CREATE FUNCTION audit_link_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    chain_id bigint := COALESCE(NEW.organization_id, 0);
    chain audit_auditchain%ROWTYPE;
    link text;
BEGIN
    SELECT * INTO chain FROM audit_auditchain WHERE organization_id = chain_id FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO audit_auditchain
            (organization_id, last_sequence, last_hash, forgotten_sequence, forgotten_hash)
            VALUES (chain_id, 0, repeat('0', 64), 0, repeat('0', 64))
            ON CONFLICT DO NOTHING;
        SELECT * INTO chain FROM audit_auditchain WHERE organization_id = chain_id FOR UPDATE;
    END IF;
    link := encode(sha256(convert_to(
        chain.last_hash || ':' || (chain.last_sequence + 1) || ':' || NEW.digest, 'UTF8')), 'hex');
    UPDATE audit_auditevent
        SET sequence = chain.last_sequence + 1, previous_hash = chain.last_hash, hash = link
        WHERE id = NEW.id;
    UPDATE audit_auditchain SET last_sequence = chain.last_sequence + 1, last_hash = link
        WHERE organization_id = chain_id;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER audit_link_event AFTER INSERT ON audit_auditevent
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION audit_link_event();
"""

UNLINK = """
DROP TRIGGER audit_link_event ON audit_auditevent;
DROP FUNCTION audit_link_event();
"""

GUARD = """
CREATE FUNCTION audit_guard_event() RETURNS trigger LANGUAGE plpgsql AS $$
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
    -- Retention: what lies before the cut of the chain.
    IF TG_OP = 'DELETE' AND EXISTS (
        SELECT FROM audit_auditchain
        WHERE organization_id = COALESCE(OLD.organization_id, 0)
          AND forgotten_sequence >= OLD.sequence) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'Audit events are append-only: % refused', TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER audit_guard_event BEFORE INSERT OR UPDATE OR DELETE ON audit_auditevent
    FOR EACH ROW EXECUTE FUNCTION audit_guard_event();

CREATE FUNCTION audit_guard_chain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.organization_id = OLD.organization_id
        AND NEW.last_sequence IN (OLD.last_sequence, OLD.last_sequence + 1)
        AND NEW.forgotten_sequence BETWEEN OLD.forgotten_sequence AND NEW.last_sequence
        AND (NEW.last_sequence > OLD.last_sequence OR NEW.last_hash = OLD.last_hash)
        AND (NEW.forgotten_sequence > OLD.forgotten_sequence
             OR NEW.forgotten_hash = OLD.forgotten_hash) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'The chain of audit events only goes forward: % refused', TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER audit_guard_chain BEFORE UPDATE OR DELETE ON audit_auditchain
    FOR EACH ROW EXECUTE FUNCTION audit_guard_chain();

CREATE FUNCTION audit_refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Audit events are append-only: TRUNCATE refused'
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER audit_refuse_truncate BEFORE TRUNCATE ON audit_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_truncate();
CREATE TRIGGER audit_refuse_truncate BEFORE TRUNCATE ON audit_auditchain
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_truncate();
"""

UNGUARD = """
DROP TRIGGER audit_refuse_truncate ON audit_auditchain;
DROP TRIGGER audit_refuse_truncate ON audit_auditevent;
DROP FUNCTION audit_refuse_truncate();
DROP TRIGGER audit_guard_chain ON audit_auditchain;
DROP FUNCTION audit_guard_chain();
DROP TRIGGER audit_guard_event ON audit_auditevent;
DROP FUNCTION audit_guard_event();
"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]

    operations = [
        migrations.RunSQL(LINK, UNLINK),
        migrations.RunSQL(GUARD, UNGUARD),
    ]
