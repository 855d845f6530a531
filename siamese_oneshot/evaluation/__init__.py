"""From embeddings to figures with intervals."""
