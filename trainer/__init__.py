"""Runs trials: task files, recipes, limited subprocesses. Knows nothing of peers, records or decisions."""
