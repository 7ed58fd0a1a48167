"""The program a person starts: command line, research loop, feed, export."""
