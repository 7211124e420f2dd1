"""Organizations and workspaces with their people, invitations, Teams, roles and tokens, a room for
each. `services` has the writes that span them.
"""
