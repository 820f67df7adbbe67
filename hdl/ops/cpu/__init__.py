"""The operations carried out by the C core."""
