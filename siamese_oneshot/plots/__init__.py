"""Plots. Each ``draw_`` function returns a matplotlib figure; `figures` names and saves them."""
