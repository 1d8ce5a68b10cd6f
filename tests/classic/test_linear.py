"""Sparse products: every way to compute them gives the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from napari_inr_tomo.classic import linear
from napari_inr_tomo.classic.linear import WHOLE, LinearMap, chunks

CPU = torch.device("cpu")


@pytest.fixture
def matrix():
    """A matrix of (40, 70) with rows and columns that hold nothing."""
    made = sparse.random(40, 70, 0.2, "lil", np.float32, rng=np.random.default_rng(0))
    made[3] = 0
    made[39] = 0
    made[:, 5] = 0
    return made.tocsr()


@pytest.mark.parametrize("narrow", [0, 16])
@pytest.mark.parametrize("columns", [1, 15, 16, 17, 29, 32, 64, 131])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_are_those_of_the_dense_matrix(
    matrix, columns, dtype, narrow, monkeypatch
):
    monkeypatch.setattr(linear, "_NARROW", narrow)
    made = LinearMap(matrix.astype(np.float64), CPU, dtype)
    dense = torch.from_numpy(matrix.toarray()).to(dtype)
    generator = torch.Generator().manual_seed(columns)
    right = torch.randn(70, columns, generator=generator, dtype=dtype)
    left = torch.randn(columns, 40, generator=generator, dtype=dtype).t()
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(
        made.forward(right), dense @ right, rtol=0, atol=tolerance
    )
    torch.testing.assert_close(
        made.adjoint(left), dense.t() @ left, rtol=0, atol=tolerance
    )


def test_a_value_that_is_no_number_reaches_only_what_it_touches(matrix):
    right = torch.ones(70, 32)
    right[7] = torch.nan
    found = LinearMap(matrix, CPU, torch.float32).forward(right)
    touched = torch.from_numpy(matrix[:, [7]].toarray()[:, 0] != 0)
    assert torch.equal(found.isnan().any(1), touched)


@pytest.mark.parametrize("count", [1, 31, WHOLE, WHOLE + 1, 200])
def test_chunks_are_all_slices_once(count):
    parts = chunks(count, CPU)
    assert [i for part in parts for i in range(count)[part]] == list(range(count))
    assert count > WHOLE or len(parts) == 1
