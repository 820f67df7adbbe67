"""Models: how the weights of each lie in one flat vector, and how they start."""
