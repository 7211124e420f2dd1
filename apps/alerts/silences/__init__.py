"""Silences: times in which nothing is told, once or every week (maintenance windows)."""
