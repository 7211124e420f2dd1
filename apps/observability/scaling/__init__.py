"""Why a queue scaled, and how it would have with other settings: what happened is put together from
history (`recorded`), replayed (`simulation`), compared (`recommendation`), and shown (`charts`,
`words`, `pages`, `views`).
"""
