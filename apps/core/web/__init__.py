"""What stands between a browser and the views: the server's worker, middleware, gates, forms and
their pages, htmx.
"""
