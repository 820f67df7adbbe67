"""Runners: they decide where the training step runs and how bytes travel, and nothing else."""
