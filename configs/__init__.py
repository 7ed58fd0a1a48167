"""Task files: data, no logic."""
