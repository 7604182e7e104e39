"""To and from the Neuromorphic Intermediate Representation: Pedersen et al. 2024, doi:10.1038/s41467-024-52259-9."""

from neurometa.export.nir.read import from_nir
from neurometa.export.nir.write import to_nir, write_nir

__all__ = ["from_nir", "to_nir", "write_nir"]
