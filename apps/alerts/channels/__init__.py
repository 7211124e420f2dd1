"""Where messages go: what each kind needs (`kinds`), and the rows, whose secrets are sealed."""
