"""Counts of centres with more neighbours than sel or a_sel, against a count by hand; hybrids and sums count all parts."""

import dgnn
import numpy as np
import pytest
from conftest import DATA

# What forms angles in each: (a_sel, a_rcut), from `dgnn info`; a centre counts once however many parts cut it.
CASES = {
    "dpa3_base": 1,
    "hybrid_dpa3": 1,
    "hybrid_dpa3_nested": 3,
    "hybrid_local": 0,
    "linear_dpa3_twice": 2,
    "linear_dpa3_dpa1": 1,
}


def limits(descriptor):
    """(a_sel, a_rcut) of all DPA3 in a description."""
    own = descriptor.get("repflow")
    found = [(own["a_sel"], own["a_rcut"])] if own and own["update_angle"] else []
    for part in descriptor.get("list", []) + [model["descriptor"] for model in descriptor.get("models", [])]:
        found += limits(part)
    return found


@pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning")
@pytest.mark.parametrize("name", CASES)
def test_counts(name):
    model = dgnn.Model.load(DATA / "cases" / name / "model.pt2")
    info = model.info()
    random = np.random.default_rng(3)
    coords = random.uniform(0, 5.5, (70, 3)) + np.repeat([0.0, 20.0], [62, 8])[:, None]  # few of them have few neighbours
    types = random.integers(0, len(info["type_map"]), len(coords))
    distance = np.linalg.norm(coords[:, None] - coords[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    found = limits(info["descriptor"])
    assert len(found) == CASES[name]
    crowded = np.zeros(len(coords), bool)
    for a_sel, a_rcut in found:
        crowded |= (distance < a_rcut).sum(axis=1) > a_sel
    result = model.compute(coords, types)
    assert result.nangle_truncated == crowded.sum()
    assert bool(found) == (0 < crowded.sum() < len(coords))
