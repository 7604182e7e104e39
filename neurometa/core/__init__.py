"""The simulator: neurons, layers, networks. Knows nothing of learning, configuration or files."""
