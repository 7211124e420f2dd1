"""Looking at a deploy before it changes anything.

upload ─► checking ─► ready ─► deployed
              │         ├───► discarded (by a person, or after a week)
              │         └───► checking (something else was deployed meanwhile)
              └───► failed: the packages or the code have to change

`services` moves the states, `checking` is the job: it locks the packages, installs them where
nothing runs with them yet, and reads the DAG files there. `comparing` says what differs from what
runs.
"""
