"""Swarms under virtual time: the real notebook, judge, policy and search; trials, clock and network are simulated."""
