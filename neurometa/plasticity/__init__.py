"""Inner loops: how fast weights move, given a support set. One rule a file; none knows of meta-learning."""
