"""Deployments, from the form to what a data plane is told. The way of an edit, a
`configuration.Configuration`:

    views.configure   forms, judged by options and validation
          ▼
    drafts            kept until it is confirmed
          ▼
    views.review      changes, merging, yaml_text: what it means, and what others saved meanwhile
          ▼
    services          revisions: a new revision and the operation that people watch
          ▼
    tasks             a hint only; lifecycle says what is due, and who may drive it
          ▼
    reconciler        compiler: the specification for the data plane; records: what came of it

`badge` and `queries` say what is true now, `list_queries` of many at once. `sealed` and `keys` hold
secrets, `leftovers` clears away what nobody finished.
"""
