"""The neighbour list against two others, vesin and ASE, on random systems."""

import os
import pathlib
import subprocess

import ase.neighborlist
import numpy as np
import pytest
import vesin

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = [
    "tests/c/nlist_dump.c",
    *(f"csrc/base/{name}.c" for name in ("alloc", "cpu", "parallel", "status", "stop")),
    *(f"csrc/geom/{name}.c" for name in ("cell", "pairvector", "candidates", "nlist")),
]


@pytest.fixture(scope="module")
def program():
    """build/c/nlist_dump, compiled where it is missing or older than its sources."""
    path = ROOT / "build" / "c" / "nlist_dump"
    inputs = [ROOT / source for source in SOURCES] + list((ROOT / "csrc").glob("*/*.h"))
    if not path.exists() or path.stat().st_mtime < max(source.stat().st_mtime for source in inputs):
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = "-std=c11 -D_GNU_SOURCE -O2 -g -ffp-contract=off -Wall -Wextra -Werror -Icsrc -Icsrc/include".split()
        compiler = os.environ.get("CC", "cc").split()
        subprocess.run([*compiler, *flags, *SOURCES, "-o", path, "-lm", "-pthread"], cwd=ROOT, check=True)
    return path


def neighbours(program, positions, box, pbc, cutoff, skin=0.0):
    """Arrays i, j, S, d, D in dgnn's order."""
    head = [len(positions), cutoff, skin, box is not None, *pbc]
    numbers = np.concatenate([head, [] if box is None else np.ravel(box), np.ravel(positions)])
    text = " ".join(float(number).hex() for number in numbers)
    output = subprocess.run([program], input=text, capture_output=True, text=True, check=True).stdout
    table = np.array([line.split() for line in output.splitlines()], dtype=float).reshape(-1, 9)
    return table[:, 0].astype(int), table[:, 1].astype(int), table[:, 2:5].astype(int), table[:, 5], table[:, 6:9]


def by_name(i, j, S, d, D):
    """The same pairs in an order that any program can be brought into."""
    order = np.lexsort((*np.asarray(S).T, j, i))
    return np.column_stack([i, j, S])[order].astype(int), np.asarray(d)[order], np.asarray(D)[order]


def assert_same(ours, theirs):
    names, distances, vectors = by_name(*ours)
    their_names, their_distances, their_vectors = by_name(*theirs)
    np.testing.assert_array_equal(names, their_names)
    np.testing.assert_allclose(distances, their_distances, rtol=0, atol=1e-12)
    np.testing.assert_allclose(vectors, their_vectors, rtol=0, atol=1e-12)


def random_system(rng, kind):
    """kind: orthorhombic, triclinic, tilted, left-handed, small; positions also outside the cell."""
    lengths = rng.uniform(1.6, 3.5, 3) if kind == "small" else rng.uniform(5, 16, 3)
    box = np.diag(lengths)
    if kind != "orthorhombic":
        box = box + rng.uniform(-0.4, 0.4, (3, 3)) * lengths.min() * (1 - np.eye(3))
    if kind == "tilted":
        box[1, 0] += 2.3 * lengths[0]
    if kind == "left-handed":
        box = box[[1, 0, 2]]
    n = rng.integers(1, 4 if kind == "small" else 50)
    return box, rng.uniform(-1, 2, (n, 3)) @ box


KINDS = ["orthorhombic", "triclinic", "tilted", "left-handed", "small"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pbc", range(8))
def test_same_pairs_as_vesin_and_ase(program, kind, pbc):
    rng = np.random.default_rng([pbc, KINDS.index(kind)])
    periodic = [bool(pbc >> k & 1) for k in range(3)]
    total = 0
    for trial in range(3):
        box, positions = random_system(rng, kind)
        cutoff = rng.uniform(3, 6)
        ours = neighbours(program, positions, box, periodic, cutoff, skin=[0, 0.5, 2][trial])
        search = vesin.NeighborList(cutoff=cutoff, full_list=True)
        assert_same(ours, search.compute(positions, box, periodic, "ijSdD"))
        assert_same(ours, ase.neighborlist.primitive_neighbor_list("ijSdD", periodic, box, positions, cutoff))
        assert np.all(np.diff(ours[0]) >= 0)
        assert np.all((np.diff(ours[3]) >= 0) | (np.diff(ours[0]) > 0)), "each centre's neighbours come nearest first"
        total += len(ours[0])
    if kind != "small" or pbc:
        assert total > 0


@pytest.mark.parametrize("away", [0.0, 5000.0, -2e6])
def test_molecules_without_box(program, away):
    rng = np.random.default_rng(5)
    positions = rng.uniform(0, 12, (60, 3)) + [away, 0, -away]
    positions[30:] += [0, 3000, 0]
    ours = neighbours(program, positions, None, [0, 0, 0], 4.5)
    theirs = ase.neighborlist.primitive_neighbor_list("ijSdD", [False] * 3, np.eye(3), positions, 4.5)
    assert len(ours[0]) > 200
    assert_same(ours, theirs)


@pytest.mark.parametrize("n", [0, 1])
def test_next_to_nothing(program, n):
    positions = np.full((n, 3), 1.0)
    assert len(neighbours(program, positions, None, [0, 0, 0], 6.0)[0]) == 0
    box = np.eye(3) * 4.0
    i, j, S, d, D = neighbours(program, positions, box, [1, 1, 0], 4.0)
    assert len(i) == 4 * n, "the four images at exactly the cutoff are inside"
    assert np.all(d == 4.0)


def test_two_atoms_at_one_place(program):
    with pytest.raises(subprocess.CalledProcessError) as caught:
        neighbours(program, np.zeros((2, 3)), None, [0, 0, 0], 6.0)
    assert "atoms 0 and 1 are 0 A apart" in caught.value.stderr
