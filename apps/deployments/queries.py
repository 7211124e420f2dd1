"""Reads for pages: each returns what one page shows, in a fixed number of queries."""
