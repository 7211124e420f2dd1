"""Package indexes of people's own: an organization, a workspace or a Deployment names them, with
credentials that are written and never shown. What chooses or installs packages asks them first.
"""
