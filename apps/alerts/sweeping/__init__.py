"""Evaluating the rules: `sweep` is one turn of it, over the `world` that it reads first."""
