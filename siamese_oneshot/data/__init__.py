"""Pictures of characters: sources, splits, pairs, episodes, distortion, batches."""
