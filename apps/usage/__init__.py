"""What Deployments did and what it cost, by day and month.

    history (days of 5 minutes, kept for a while) ──every hour──▶ usage day (kept) ──▶ page, CSV

`rollup` sums the days of history, `queries` reads what the page shows.
"""
