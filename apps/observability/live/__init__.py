"""Changes and log lines as they happen, by server-sent events.

    page ──ticket──▶ browser ──POST /_live/stream──▶ edge ──▶ server ──▶ Viewer ◀── Hub
                                                                            ▲
    PostgreSQL: NOTIFY of a status, of a session that ended ── changes ─────┤
    data plane: one reader for each log, whoever reads along ── followers ──┘

The web process signs a `ticket` for what a page shows. This process, which loads Django and shares
the collector's on one machine, checks it together with the session and the permission (`rights`),
again each minute, and at once when the session ends. A viewer who reads slower than lines come is
dropped (`viewers`). Every page works without: it polls until a stream opens and after one broke.
"""
