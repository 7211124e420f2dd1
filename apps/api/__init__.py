"""The one API of the portal, in the shape that the Astro CLI speaks.

    urls            addresses below /v1, the document of the API, its pages
      ▼
    service         all operations, under one roof
      ▼
    places, people, deployments     operations by noun: what a call says, then a query or a service
      ▼
    wire            tokens and permissions, ids, pages of lists, errors

An operation calls what the pages call: no rule is written here a second time.
"""
