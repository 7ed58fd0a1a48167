"""`arnode watch`: a running node, full screen in a terminal. It reads the local API (docs/api.md) and nothing else."""
