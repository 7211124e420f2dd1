"""The digest: an email that people ask for, each day or week, with what they look at first."""
