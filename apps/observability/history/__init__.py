"""What was measured of Deployments, kept in PostgreSQL.

    sample, 30 s ──an hour is over──▶ day of 30 s ─▶ day of 5 min ─▶ day of 1 h
    what ended, 5 min ────────────────────────────▶ day of 5 min ─▶ day of 1 h

`metrics` says what there is, `packing` how a day is written, `storage` writes, packs and forgets,
`queries` reads. What was not measured is a gap everywhere, never zero.
"""
