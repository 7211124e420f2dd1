"""Deployments, from the form to the data plane. The way of an edit, one room after the other:

    pages            configure: the form of an edit
          ▼
    configuration    schema, options, validation: what it may be, as pure values
          ▼
    editing          forms, drafts: stored until the review confirms it
          ▼
    pages            review, by changes and merging: what it means, what was saved in the meantime
          ▼
    editing          services, revisions: a new revision, and the operation that people follow
          ▼
    tasks            a hint only; reconciling.lifecycle decides what is due, and which worker has it
          ▼
    reconciling      reconciler, compiler, results: one pass towards the revision, and its outcome

Besides:

    reconciling      surveys, live_metrics, breaker, cluster_jobs: what is true on each cluster
    secrets          sealed values, and the rotation of the key that seals them
    badge, models    the one word for the state of a Deployment, and the rows behind it
    cleanup          the daily removal of drafts and secrets that were never applied
"""
