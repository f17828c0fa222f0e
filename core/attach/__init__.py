"""A core on one side of a socket, operated from the other."""
