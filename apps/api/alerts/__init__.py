"""Alerts for programs: rules, channels, silences, messages, and what rules found.

Rules and channels have the shapes of Astro, where a rule is called an alert.
"""
