"""Service level objectives: how often the runs of a DAG are to succeed, and what is left of the
error budget.

    run results (kept for days) ──every 10 min──▶ objective day (kept) ──▶ page, CSV, API, alerts

`counting` sums the results, `budget` says what they mean, `queries` reads what the pages show.
"""
