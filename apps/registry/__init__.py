"""The portal as token server of a container registry (Distribution token specification).

    docker login ─► GET /registry/token, Basic ──► callers: who is it?
                                                     └─► rights: what of what it asks may it?
                    a token of five minutes ◄───────── signing: signed with a key of the portal

The registry is a process of the operator's. It believes what the bundle of certificates has signed,
and never asks the portal: rights that end are gone with the token that named them.
"""
