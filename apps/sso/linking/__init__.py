"""How an identity gets to an account that was there before it."""
