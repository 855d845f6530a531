"""The command line that every entry point shares: Hydra with clear errors, and resume."""

from siamese_oneshot.cli.run import conf_dir, run_hydra

__all__ = ["conf_dir", "run_hydra"]
