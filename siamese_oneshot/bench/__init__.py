"""How fast, measured side by side in one process: ``python -m siamese_oneshot.bench``."""
