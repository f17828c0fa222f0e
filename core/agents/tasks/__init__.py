"""Work that is accepted for agents, its runs, and the stream of what happens to it."""
