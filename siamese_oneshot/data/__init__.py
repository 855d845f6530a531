"""Images of characters: sources, splits, pairs, episodes, augmentation, sampler."""
