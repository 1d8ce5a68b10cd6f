"""A sparse matrix and its transpose as a pair of torch operators."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import torch

# slices handled together on a CPU: wide enough for the vector units, and a block of
# the slices still fits the cache
CHUNK = 32
WHOLE = 2 * CHUNK
"""So few slices are not cut at all: what the cache would save goes into copies."""

_NARROW = 16 if sys.platform == "linux" else 0
"""Up to so many columns MKL's sparse product is faster; elsewhere torch has none."""


def to_torch(matrix: Any, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Return a scipy CSR matrix as a torch one with int32 indices."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype("int32")),
            torch.from_numpy(matrix.indices.astype("int32")),
            torch.from_numpy(matrix.data),
            size=matrix.shape,
            dtype=dtype,
            device=device,
            check_invariants=False,
        )


def multiply(matrix: torch.Tensor, dense: torch.Tensor) -> torch.Tensor:
    """Return sparse @ dense; packed first, for distant rows cost several times more.

    A processor looks the rows of a float32 ``dense`` up as an embedding and sums them:
    for 32 to 200 columns in a half to a fifth of the time of its sparse product.
    """
    dense = dense.contiguous()
    on_processor = dense.device.type == "cpu" and dense.dtype == torch.float32
    if not on_processor or dense.shape[1] <= _NARROW:
        return matrix @ dense
    return torch.nn.functional.embedding_bag(
        matrix.col_indices(),
        dense,
        matrix.crow_indices(),
        mode="sum",
        per_sample_weights=matrix.values(),
        include_last_offset=True,
    )


class LinearMap:
    """A matrix and its exact transpose, both kept in the compressed row format."""

    def __init__(self, matrix: Any, device: torch.device, dtype: torch.dtype) -> None:
        self.matrix = to_torch(matrix, device, dtype)
        self.transposed = to_torch(matrix.T.tocsr(), device, dtype)

    @property
    def nbytes(self) -> int:
        """Bytes both matrices take."""
        return sum(
            part.numel() * part.element_size()
            for m in (self.matrix, self.transposed)
            for part in (m.crow_indices(), m.col_indices(), m.values())
        )

    def forward(self, dense: torch.Tensor) -> torch.Tensor:
        """Return matrix @ dense for a (column, n)."""
        return multiply(self.matrix, dense)

    def adjoint(self, dense: torch.Tensor) -> torch.Tensor:
        """Return matrix.T @ dense for a (row, n)."""
        return multiply(self.transposed, dense)


def chunks(count: int, device: torch.device) -> list[slice]:
    """Split ``count`` slices into chunks (one only on a GPU).

    All but the last are of whole vectors: rows of 29 numbers take a third longer than
    rows of 32.
    """
    size = CHUNK if device.type == "cpu" and count > WHOLE else max(count, 1)
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
