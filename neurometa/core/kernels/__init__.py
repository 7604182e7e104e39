"""The scan's kernels. `reference` defines the semantics; the others must equal it, forward and backward."""
