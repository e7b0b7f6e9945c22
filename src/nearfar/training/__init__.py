"""Changes the weights: texts that belong together come near, all others go far."""
