"""What an agent may do without asking: rules, patterns, risks."""
