"""Files of a run: its result and its networks."""
