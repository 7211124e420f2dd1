"""What became of a commit, reported to the provider that shows it beside the commit.

A row is an outbox: `state` is what is true, `sent_state` what the provider was told. `tracking`
follows the deploy of each pending commit, `reporting` sends what differs, and tries again. A deploy
waits for neither. `shapes` is what each provider's API documents.
"""
