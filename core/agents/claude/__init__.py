"""Claude Code over stream-json: its lines, and what it asks."""
