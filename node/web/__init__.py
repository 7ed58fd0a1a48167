"""The local web page of a running node, and the JSON API under it (docs/api.md). Nothing here changes any state."""
