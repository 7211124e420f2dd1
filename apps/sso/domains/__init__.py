"""E-mail domains and their proof by DNS."""
