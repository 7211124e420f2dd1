"""The styleguide: every component on one page, for operators."""
