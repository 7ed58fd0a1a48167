"""What runs: tasks, recipes and trials, and the built-in GPT program."""
