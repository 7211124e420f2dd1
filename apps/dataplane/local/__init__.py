"""The data plane on the portal's own machine. `plane.LocalPlane` is the entry, `machine` also
starts the portal's programs.
"""
