"""What was measured of Deployments, for a Prometheus of one's own: `families` says what there is,
`queries` reads the newest values, `exposition` writes them in the format of OpenMetrics.

Everything comes from rows that are stored anyway: being scraped asks no cluster.
"""
