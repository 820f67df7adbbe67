"""A worker of an application: the training step's home."""
