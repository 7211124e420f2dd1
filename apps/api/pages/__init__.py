"""Pages about the API: its reference, how to use the Astro CLI, and one's own tokens."""
