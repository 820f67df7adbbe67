"""The operations carried out on a GPU."""
