"""The shell commands: one module for each noun, all over the same four verbs as the screen."""
