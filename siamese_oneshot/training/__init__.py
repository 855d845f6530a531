"""Training: its command, checks of the configuration, launched processes, and the run itself."""
