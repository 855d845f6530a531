"""A page of HTML for the sweep and one for each run: whole in itself, no network, no server."""
