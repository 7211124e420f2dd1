"""Registered data planes. `services` changes clusters, `connections` holds credentials and returns
the data plane of a row.
"""
