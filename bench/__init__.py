"""Measurements, each beside what a reader would compare it with. Never part of the tests.

`python -m bench` runs all of them, `python -m bench list-page` one. A measurement without a peer
from the same minute says more about the machine than about the portal, so every line is a ratio
first.
"""
