"""The proposer that asks a language model: what it is told, how its answer is read, and what may come of it."""
