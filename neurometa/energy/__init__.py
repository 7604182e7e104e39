"""Energy and latency: what a run did, counted, and what that costs on a chip whose figures are published."""
