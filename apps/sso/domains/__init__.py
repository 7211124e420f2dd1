"""E-mail domains and their verification by DNS."""
