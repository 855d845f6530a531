"""What a run leaves behind: result.json and the W&B run."""
