"""Reusable widgets: data in by plain methods, intent out by messages; no core, no mirror."""
