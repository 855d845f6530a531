"""Sweeps that survive: Hydra sweepers that resume, skip what is complete, and search."""
