"""The W&B workspace and report of the project, as code."""
