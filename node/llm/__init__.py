"""The node's way to a language model: a process that speaks with it, what may be spent, and when to leave it alone."""
