"""Windows by compiled kernels: autograd, vmap and memory layout around `neurometa.core.kernels`."""
