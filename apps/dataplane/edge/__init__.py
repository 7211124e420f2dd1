"""What the local edge and the gateway to clusters share: addresses, headers, pages, and the
streaming of bodies.

It depends on neither plane.
"""
