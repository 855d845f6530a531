"""The job of ``evaluate``: one or more models on the same frozen episodes, side by side."""
