"""What agents remember beyond one conversation: the protocol of memory providers, the built-in one, and their use."""
