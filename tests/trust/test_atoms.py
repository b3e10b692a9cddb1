"""Table B of trust: atoms, cells and lists that make no sense, at each place; and odd ones that do."""

import itertools
import json
import zipfile

import dgnn
import numpy as np
import pytest
from conftest import DATA

N = 16
BAD = [np.nan, np.inf, -np.inf, 1e308]
pytestmark = pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning", "ignore::dgnn.SmallSpinWarning")


def lattice(n=N, a=2.1):
    """n atoms some 2 Å apart, none at a place of symmetry."""
    rng = np.random.default_rng(n)
    places = np.array(list(itertools.product(range(-(-n // 4)), range(2), range(2))), float)[:n]
    return a * places + rng.uniform(-0.2, 0.2, (n, 3)), np.arange(n) % 2


def load(name="dpa3_base"):
    return dgnn.Model.load(DATA / "cases" / name / "model.pt2", threads=1, skin=0)


@pytest.fixture(scope="module")
def base():
    return load()


@pytest.fixture(scope="module")
def spins():
    return load("spin_dpa3")


def energy(model, coords, types, *arguments, **keywords):
    return model.compute(coords, types, *arguments, **keywords).energy


# ---------------------------------------------------------------- B1: numbers that are none


@pytest.mark.parametrize("bad", BAD)
def test_each_coordinate(base, bad):
    coords, types = lattice()
    expected = energy(base, coords, types)
    for atom, axis in itertools.product(range(N), range(3)):
        changed = coords.copy()
        changed[atom, axis] = bad
        named = rf"coords.*(atom {atom} has {'xyz'[axis]}|\[{atom}\]\[{axis}\])"
        with pytest.raises(dgnn.InputError, match=named):
            base.compute(changed, types)
        null = np.where(np.arange(N) == atom, -1, types)
        assert energy(base, changed, null) == energy(base, coords, null)  # a NULL atom is nowhere
    assert energy(base, coords, types) == expected


@pytest.mark.parametrize("bad", BAD[:3])
def test_each_spin(spins, bad):
    coords, types = lattice()
    directions = np.ones((N, 3))
    for atom, axis in itertools.product(range(N), range(3)):
        changed = directions.copy()
        changed[atom, axis] = bad
        with pytest.raises(dgnn.InputError, match=rf"spins: atom {atom} has .* in column {axis}"):
            spins.compute(coords, types, spins=changed)
        null = np.where(np.arange(N) == atom, -1, types)
        assert energy(spins, coords, null, spins=changed) == energy(spins, coords, null, spins=directions)


def ghosted(coords, types, box, images=1):
    """Owned rows and their images, with the swaps that bring them."""
    shifts = [s for s in itertools.product(range(-images, images + 1), repeat=3) if any(s)]
    rows = np.concatenate([coords] + [coords + np.array(s) @ box for s in shifts])
    n = len(coords)
    border = dgnn.Border([np.arange(n)] * len(shifts), *[[0] * len(shifts)] * 2, *[[n] * len(shifts)] * 2)
    return dict(coords=rows, types=np.tile(types, len(shifts) + 1), nlocal=n, border=border)


def test_each_ghost(base):
    """Owned and ghost rows of a host."""
    coords, types = lattice()
    arguments = ghosted(coords, types, np.eye(3) * 12)
    assert abs(base.compute_ghosted(**arguments).energy - energy(base, coords, types, np.eye(3) * 12)) < 1e-10
    rows = len(arguments["coords"])
    for bad, row, axis in itertools.product(BAD, [*range(N), *range(N, rows, 29), rows - 1], range(3)):
        changed = arguments["coords"].copy()
        changed[row, axis] = bad
        with pytest.raises(dgnn.InputError, match=rf"atom {row} "):
            base.compute_ghosted(**{**arguments, "coords": changed})


def test_tiny_numbers(base):
    """Denormal coordinates are places like others."""
    coords, types = lattice()
    coords[0] = 0
    tiny = coords.copy()
    tiny[0] = [5e-324, -1e-310, -0.0]
    np.testing.assert_array_equal(base.compute(tiny, types).forces, base.compute(coords, types).forces)


# ---------------------------------------------------------------- B2: atoms upon each other


@pytest.mark.parametrize("distance", [0.0, 5e-324, 1e-300, 1e-160, 1e-12, 9e-7])
def test_one_place(base, distance):
    with pytest.raises(dgnn.InputError, match="atoms 0 and 1 are .* A apart; expected distinct places"):
        base.compute([[0, 0, 0], [0, 0, distance]], [0, 1])


@pytest.mark.parametrize("distance", [1e-3, 0.01, 0.1])
def test_near_one_place(base, distance):
    """Nearer ones, from 1e-6 Å on, may overflow, on some machines (AVX-512's exponential has no bound for infinities, where
    AVX2's has); that is an error that says so."""
    for near, may_overflow in ((1e-6, True), (distance, False)):
        try:
            result = base.compute([[0, 0, 0], [0, 0, near], [1.1, 0, 0]], [0, 1, 1])
        except dgnn.InputError as error:
            assert may_overflow and "not finite; atoms far too close" in str(error)
        else:
            assert np.isfinite(result.energy) and np.isfinite(result.forces).all() and np.isfinite(result.virial).all()


# ---------------------------------------------------------------- B3, B4: cells


@pytest.mark.parametrize("cells", [0.5, 1, -1, 3, 1000])
def test_outside_of_the_cell(base, cells):
    coords, types = lattice()
    box = np.array([[9, 0, 0], [1, 6, 0], [0.5, -1, 7.0]])
    expected = base.compute(coords, types, box)
    whole = int(cells) if cells == int(cells) else 0
    rng = np.random.default_rng(1)
    shifts = rng.integers(-1, 2, (N, 3)) * whole + (cells != whole) * rng.integers(0, 2, (N, 3))
    result = base.compute(coords + shifts @ box, types, box)
    assert abs(result.energy - expected.energy) < 1e-11
    assert np.abs(result.forces - expected.forces).max() < 1e-10 * max(1, abs(cells))
    assert np.abs(shifts).max() >= 1


def test_on_faces(base):
    """On each face, edge and corner, with -0.0 and the last number below: like the place inside."""
    box = np.diag([6.0, 7.0, 8.0])
    rest, types = lattice(6, 1.7)
    types = np.append(types, 0)
    for sides in itertools.product([0.0, -0.0, 1.0, np.nextafter(1, 0)], repeat=3):
        at = (np.array(sides) + 0.0) @ box
        inside = np.where(np.abs(np.array(sides) % 1) < 1e-9, 0.0, sides) @ box
        one = base.compute(np.vstack([rest + 0.9, at]), types, box)
        two = base.compute(np.vstack([rest + 0.9, inside]), types, box)
        assert abs(one.energy - two.energy) < 1e-11
        np.testing.assert_allclose(one.forces, two.forces, atol=1e-11)


def images(coords, types, box, cutoff):
    """The same system as a cluster of all images within the cutoff of an atom; the atoms themselves first."""
    reach = np.ceil(cutoff * np.linalg.norm(np.linalg.inv(box), axis=0)).astype(int) + 1
    shifts = np.array(sorted(itertools.product(*[range(-r, r + 1) for r in reach]), key=any))
    rows = (shifts @ box)[:, None] + coords
    near = np.min(np.linalg.norm(rows[:, :, None] - coords, axis=3), axis=2) < cutoff + 0.1
    assert near[0].all()
    return rows[near], np.broadcast_to(types, near.shape)[near]


@pytest.mark.parametrize("name", ["se_e2_r", "dpa1_attn2"])
@pytest.mark.parametrize("box", [
    np.diag([3.0, 2.5, 4.0]), [[3, 0, 0], [2.9, 2, 0], [-2.7, 1.9, 2]],
    [[0, 3, 0], [3, 0, 0], [0.5, 0, 3.0]], [[2.2, 0, 0], [21, 2, 0], [0, -19, 2.4]],
], ids=["shorter than the cutoff", "tilted", "left-handed", "much tilted"])
def test_short_cells_against_images(name, box):
    """One or two atoms: each atom's energy is its energy among all the images as atoms of their own."""
    model, box = load(name), np.array(box, float)
    for coords in ([[0.1, 0.2, 0.3]], [[0.1, 0.2, 0.3], [0.9, 1.1, 1.0]]):
        coords, types = np.array(coords), np.arange(len(coords)) % 2
        result = model.compute(coords, types, box)
        rows, kinds = images(coords, types, box, model.cutoff)
        cluster = model.compute(rows, kinds)
        np.testing.assert_allclose(cluster.atom_energy[: len(coords)], result.atom_energy, atol=1e-11)
        assert len(rows) > 10 and result.ntruncated == 0


@pytest.mark.parametrize("box", [np.zeros((3, 3)), [[1, 0, 0], [0, 1, 0], [1, 1, 0]], np.diag([5, 5, 1e-300]),
                                 np.diag([5, np.inf, 5]), np.diag([5, 5, np.nan]), np.diag([1e308, 1e308, 1e308])],
                         ids=str)
def test_boxes_that_are_none(base, box):
    with pytest.raises(dgnn.InputError, match="box"):
        base.compute([[0.0, 0, 0]], [0], np.array(box, float))


# ---------------------------------------------------------------- B5, B6: none, NULL, types


def test_nobody(base, spins):
    for box in (None, np.eye(3) * 9):
        for coords, types in (([], []), (np.zeros((0, 3)), np.zeros(0, int)), (np.ones((3, 3)), [-1] * 3)):
            result = base.compute(coords, types, box, atomic=True)
            assert result.energy == 0 and not result.virial.any() and not result.forces.any()
            assert result.forces.shape == (len(coords), 3) and not result.atom_virial.any()
    result = spins.compute(np.ones((3, 3)), [-1] * 3, spins=np.full((3, 3), np.nan))
    assert result.energy == 0 and not result.forces_mag.any()


@pytest.mark.parametrize("nlocal", [0, 1])
def test_hosts_with_nobody(base, nlocal):
    """No owned row and ghosts; NULL ones; none at all."""
    one = np.zeros((nlocal, 3))
    assert base.compute_ghosted(one, [0] * nlocal, nlocal, mapping=list(range(nlocal))).forces.shape == (nlocal, 3)
    local = load("se_e2_r")  # passes no messages: ghosts need no owner
    for types in ([0, 1, 1], [-1, -1, -1]):
        result = local.compute_ghosted(lattice(3)[0], types, 0)
        assert result.energy == 0 and result.forces.shape == (3, 3) and not result.forces.any()
    assert local.compute_ghosted(np.zeros((0, 3)), [], 0).energy == 0


def test_null_atoms_at_each_place(base):
    coords, types = lattice()
    for k in range(N + 1):
        more = np.insert(coords, k, [1e9, np.nan, coords[0, 0]], axis=0)
        result = base.compute(more, np.insert(types, k, -1))
        expected = base.compute(coords, types)
        assert abs(result.energy - expected.energy) < 1e-12 * N
        np.testing.assert_array_equal(np.delete(result.forces, k, axis=0), expected.forces)
        assert not result.forces[k].any()


@pytest.mark.parametrize("bad", [-2, -(2**31), 2, 3, 2**31 - 1])
def test_each_type(base, bad):
    coords, types = lattice()
    for atom in range(N):
        with pytest.raises(dgnn.InputError, match=rf"types.*{atom}.*type {bad}"):
            base.compute(coords, np.where(np.arange(N) == atom, bad, types))


def test_a_map_without_the_element(base, tmp_path):
    with pytest.raises(dgnn.InputError, match="the model knows O, H; found Xx"):
        base.compute(lattice()[0], ["O", "Xx"] * (N // 2))
    with zipfile.ZipFile(base.path) as archive:
        tree = json.loads(archive.read("model/extra/model.json"))
    tree["model"]["type_map"] = ["O"]
    path = tmp_path / "model.json"
    path.write_text(json.dumps(tree))
    with pytest.raises(dgnn.ModelFormatError, match="ntypes is not the length of the model's type_map"):
        dgnn.Model.load(path)


# ---------------------------------------------------------------- B7: lists of a host


def test_any_list_of_neighbours(base):
    """Rows in any order, missing, twice, the atom itself, beyond the end: refused with the row, or taken as documented.
    The numbers of a list that is whole are those of dgnn's own."""
    coords, types = lattice(8)
    n, rng = len(coords), np.random.default_rng(0)
    arguments = dict(coords=coords, types=types, nlocal=n, mapping=np.arange(n))
    expected = base.compute_ghosted(**arguments)
    whole = [np.array([j for j in range(n) if j != i]) for i in range(n)]
    refused = 0
    for turn in range(600):
        rows = [rng.permutation(row) for row in whole]
        i, kind = rng.integers(n), turn % 6
        if kind == 1:
            rows[i][rng.integers(n - 1)] = i
        elif kind == 2:
            rows[i][0] = rows[i][1]
        elif kind == 3:
            rows[i][rng.integers(n - 1)] = rng.choice([n, n + 1, -2, 2**31 - 1, -(2**31)])
        elif kind == 4:
            rows[i] = np.insert(rows[i], rng.integers(n), -1)
        elif kind == 5:
            rows[i] = rows[i][:0]
        try:
            result = base.compute_ghosted(**arguments, neighbours=rows)
        except dgnn.InputError as error:
            assert kind in (1, 2, 3) and "neighbour" in str(error), (kind, error)
            refused += 1
            continue
        assert kind in (0, 4, 5)
        if kind != 5:
            assert result.energy == expected.energy
            np.testing.assert_array_equal(result.forces, expected.forces)
        else:
            assert result.energy != expected.energy and np.isfinite(result.forces).all()
    assert refused == 300


@pytest.mark.parametrize("neighbours", [
    ([0, 1], [1]), ([0, 1, 2, 3, 4], [0] * 4), ([1, 1, 1, 1], []), ([0, 2, 1, 3], [1, 2, 0]), ([0, 1, 1, 2**40], [1, 0]),
    ([0, -1, 1, 1], [1]), [[1], [0]], [[1], [0], [0], [0]], [[[1]], [0], [0]], [[1.5], [0], [0]],
], ids=str)
def test_lists_of_another_shape(base, neighbours):
    with pytest.raises(dgnn.InputError, match="neighbours"):
        base.compute_ghosted(*lattice(3), 3, mapping=[0, 1, 2], neighbours=neighbours)
