"""Built-in and custom roles, and who has which permission through which grants."""
