"""Models behind chat completions: what is asked, what comes, rounds of tools."""
