"""Images of people's own: their names, and what a registry says about them.

`references` reads a name, `registries` asks a registry for it, `inspection` finds out whether it is
an Airflow that can run here. Nothing is stored, and nothing of an image is ever run here.
"""
