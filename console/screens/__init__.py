"""One file for each view: it reads the mirror, draws with shared widgets, and names what is under the cursor."""
