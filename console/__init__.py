"""The console: screens, keys and shell commands over `core.api`, and nothing else of the core."""
