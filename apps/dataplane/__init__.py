"""What runs Deployments, free of Django. `base.DataPlane` is the protocol, `spec` its input,
`status` its output, `errors` what it raises; `local`, `kubernetes` and `fake` implement it.
"""
