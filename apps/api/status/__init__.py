"""Status pages: their settings, components, reports and subscribers."""
