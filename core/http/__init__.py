"""One HTTP server for the whole core, on its own loop."""
