"""Hooks that come with the program, each in a folder as an operator would write it."""
