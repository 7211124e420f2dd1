"""Connections and variables from a file of elsewhere, and into one:

text of a person ─▶ parsing ─▶ formats ─▶ services: preview ─▶ what is ticked ─▶ objects.services

Whatever is in the text is hostile, and much of it is secret: no message quotes it, no page shows a
value, and between preview and import it is kept sealed for an hour.
"""
