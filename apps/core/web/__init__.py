"""What stands between a browser and the views: middleware, gates, forms and their pages, htmx."""
