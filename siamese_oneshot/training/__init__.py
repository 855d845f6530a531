"""Training: its command with its checks, launched processes, and the run itself."""
