"""Copies of pages: written when something changes and every minute, read by each visit."""
