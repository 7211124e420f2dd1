"""Git servers: their addresses, what the portal asks them, and the program that asks."""
