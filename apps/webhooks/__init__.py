"""Webhooks: machines are told what happens in the portal, each event once and in order.

    operation, revision, health, incident, audit event
        │  triggers of the database, in the transaction of the change
        ▼
    event (outbox) ──▶ dispatching ──▶ delivery (one for each webhook) ──▶ sender ──▶ receiver
                      (who wants it)   (log, kept for a while)

`sender` is the loop, a thread of `collect`. An event is composed within a second of its commit; a
webhook is emptied by one thread at a time, in the order of its `sequence`.
"""
