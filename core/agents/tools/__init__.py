"""What tools of an agent may touch and where they run: workspaces, files, the sandbox."""
