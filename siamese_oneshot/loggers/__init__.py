"""Loggers: CSV and Weights & Biases."""
