"""What must hold whatever the weights: forces and virial are the derivatives of the energy, and translation, rotation,
permutation, another cell of the same lattice and atoms moved by lattice vectors change nothing.

The systems: no centre exceeds sel or a_sel, and no edge comes to a cutoff when atoms move by the steps; both are asserted."""

import dgnn
import numpy as np
import pytest
from conftest import DATA, ROOT

CASES = ["dpa3_base", "dpa3_headline_small", "dpa3_two_heads", "dpa3_sequential", "dpa3_exclude", "dpa1_attn2", "dpa1_strip",
         "se_e2_a", "se_e2_r"]
DERIVATIVES = "derivatives of energy: error over the largest component (limit 1e-7)"
SYMMETRIES = "symmetries: error over the largest component (limit 1e-11)"
BOX = np.array([[7.9, 0.0, 0.0], [1.1, 7.3, 0.0], [-0.7, 0.9, 6.8]])
CUTOFFS = (5.0, 3.5)


def spread(n, box, seed):
    """n positions that keep 1.3 Å apart, in cell fractions."""
    rng, found = np.random.default_rng(seed), []
    shifts = np.array([[a, b, c] for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)])
    while len(found) < n:
        candidate = rng.random(3)
        if all(np.linalg.norm((candidate - other + shifts) @ box, axis=1).min() > 1.3 for other in found):
            found.append(candidate)
    return np.array(found) @ box


def distances(coords, box):
    reach = range(-2, 3)
    shifts = np.array([[a, b, c] for a in reach for b in reach for c in reach]) @ box
    return np.linalg.norm(coords[:, None, None] - coords[None, :, None] - shifts, axis=-1)


def system():
    for seed in range(100):
        coords = spread(16, BOX, seed)
        apart = distances(coords, BOX)
        if all(np.abs(apart - cutoff).min() > 5e-3 for cutoff in CUTOFFS):
            return coords, np.arange(16) % 2
    raise AssertionError("no system without an edge at a cutoff")


@pytest.fixture(scope="module", params=CASES)
def case(request):
    model = dgnn.Model.load(DATA / "cases" / request.param / "model.pt2", threads=1)
    assert model.cutoff == CUTOFFS[0]
    assert model.info()["descriptor"].get("repflow", {}).get("a_rcut", CUTOFFS[1]) == CUTOFFS[1]
    coords, types = system()
    result = model.compute(coords, types, BOX)
    assert result.ntruncated == 0 and result.nangle_truncated == 0
    assert np.abs(result.forces).max() > 5e-5 and np.abs(result.virial).max() > 5e-5
    return request.param, model, coords, types, result


def slope(energies, step):
    """Of fourth order, from energies of atoms at -2, -1, 1, 2 steps: summed last, so that little is cancelled."""
    before2, before, after, after2 = energies
    return np.sum(8 * (after - before) - (after2 - before2)) / (12 * step)


def test_forces_are_derivatives(case, figures):
    name, model, coords, types, result = case
    step, worst = 1e-3, 0.0
    for atom in range(0, 16, 3):
        for axis in range(3):
            energies = []
            for k in (-2, -1, 1, 2):
                moved = coords.copy()
                moved[atom, axis] += k * step
                energies.append(model.compute(moved, types, BOX).atom_energy)
            worst = np.maximum(worst, abs(slope(energies, step) + result.forces[atom, axis]))
    error = worst / np.abs(result.forces).max()
    figures.record(DERIVATIVES, name, "forces", error, 1e-7)
    assert error < 1e-7


def test_virial_is_the_strain_derivative(case, figures):
    name, model, coords, types, result = case
    step, worst = 2e-4, 0.0
    for i in range(3):
        for j in range(3):
            energies = []
            for k in (-2, -1, 1, 2):
                strain = np.eye(3)
                strain[j, i] += k * step
                energies.append(model.compute(coords @ strain, types, BOX @ strain).atom_energy)
            worst = np.maximum(worst, abs(slope(energies, step) + result.virial[i, j]))
    error = worst / np.abs(result.virial).max()
    figures.record(DERIVATIVES, name, "virial", error, 1e-7)
    assert error < 1e-7


def close(figures, row, column, value, expected):
    error = np.abs(np.asarray(value) - expected).max() / np.abs(expected).max()
    figures.record(SYMMETRIES, row, column, error, 1e-11)
    assert error < 1e-11, f"{column}: {error:.2e}"


def rotation():
    """Neither a symmetry of the cell nor near the identity."""
    q, r = np.linalg.qr(np.random.default_rng(3).standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else q[:, [1, 0, 2]]


def test_translation(case, figures):
    name, model, coords, types, result = case
    moved = model.compute(coords + [3.3, -2.1, 11.7], types, BOX)
    close(figures, name, "translation", moved.atom_energy, result.atom_energy)
    close(figures, name, "translation", moved.forces, result.forces)
    close(figures, name, "translation", moved.virial, result.virial)


def test_rotation(case, figures):
    name, model, coords, types, result = case
    turn = rotation()
    turned = model.compute(coords @ turn, types, BOX @ turn)
    assert np.abs(turned.forces - result.forces).max() > 5e-5
    close(figures, name, "rotation", turned.atom_energy, result.atom_energy)
    close(figures, name, "rotation", turned.forces, result.forces @ turn)
    close(figures, name, "rotation", turned.virial, turn.T @ result.virial @ turn)


def test_mirror(case, figures):
    """A left-handed cell."""
    name, model, coords, types, result = case
    mirror = np.diag([1.0, 1.0, -1.0])
    assert np.linalg.det(BOX @ mirror) < 0
    seen = model.compute(coords @ mirror, types, BOX @ mirror)
    close(figures, name, "mirror", seen.atom_energy, result.atom_energy)
    close(figures, name, "mirror", seen.forces, result.forces @ mirror)


def test_permutation(case, figures):
    name, model, coords, types, result = case
    order = np.random.default_rng(4).permutation(len(types))
    mixed = model.compute(coords[order], types[order], BOX)
    close(figures, name, "permutation", mixed.atom_energy, result.atom_energy[order])
    close(figures, name, "permutation", mixed.forces, result.forces[order])
    close(figures, name, "permutation", mixed.virial, result.virial)


def test_supercell(case, figures):
    name, model, coords, types, result = case
    parts = [coords + a * BOX[0] + b * BOX[2] for a in range(2) for b in range(3)]
    large = model.compute(np.concatenate(parts), np.tile(types, 6), BOX * [[2], [1], [3]])
    close(figures, name, "supercell", large.atom_energy, np.tile(result.atom_energy, 6))
    close(figures, name, "supercell", large.forces, np.tile(result.forces, (6, 1)))
    close(figures, name, "supercell", large.virial, 6 * result.virial)


def test_another_cell_of_the_lattice(case, figures):
    name, model, coords, types, result = case
    other = np.array([[1, 0, 0], [1, 1, 0], [0, -1, 1]]) @ BOX
    again = model.compute(coords, types, other)
    close(figures, name, "other cell", again.atom_energy, result.atom_energy)
    close(figures, name, "other cell", again.forces, result.forces)
    close(figures, name, "other cell", again.virial, result.virial)


def test_lattice_vectors(case, figures):
    name, model, coords, types, result = case
    moved = coords + np.random.default_rng(5).integers(-3, 4, (len(types), 3)) @ BOX
    assert np.abs(moved - coords).max() > 5
    again = model.compute(moved, types, BOX)
    close(figures, name, "lattice vectors", again.atom_energy, result.atom_energy)
    close(figures, name, "lattice vectors", again.forces, result.forces)


def test_a_reused_list_gives_the_bits_of_a_fresh_one(case):
    name, model, coords, types, _ = case
    skinned = dgnn.Model.load(model.path, threads=1, skin=0.6)
    fresh = dgnn.Model.load(model.path, threads=1, skin=0)
    rng, reused = np.random.default_rng(6), 0
    for _ in range(6):
        coords = coords + 0.04 * rng.standard_normal(coords.shape)
        ours, theirs = skinned.compute(coords, types, BOX, atomic=True), fresh.compute(coords, types, BOX, atomic=True)
        reused += ours.list_reused
        assert not theirs.list_reused
        assert ours.energy == theirs.energy
        for quantity in ("forces", "virial", "atom_energy", "atom_virial"):
            np.testing.assert_array_equal(getattr(ours, quantity), getattr(theirs, quantity))
    assert 2 <= reused < 6


def test_calls_repeat_bit_for_bit(water_path):
    """Ordered sums: two calls, and two models, on two threads."""
    with np.load(ROOT / "examples" / "water" / "frames.npz") as frames:
        system = frames["coord"][0], frames["type"], frames["box"][0]
    results = [dgnn.Model.load(water_path, threads=2).compute(*system) for _ in range(2)]
    np.testing.assert_array_equal(results[0].forces, results[1].forces)
    assert results[0].energy == results[1].energy and np.abs(results[0].forces).max() > 1
