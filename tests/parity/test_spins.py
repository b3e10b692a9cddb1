"""Spin models where the cases don't reach: nearly no spin, ties among an atom's images, rows with ghosts. Answers are
deepmd-kit's own (tests/data/make_spins.py)."""

import dgnn
import numpy as np
import pytest
from conftest import DATA
from test_compositions import few, load

with np.load(DATA / "spins.npz") as file:
    ARRAYS = dict(file)
QUANTITIES = {"energy": "energy", "atom_energy": "atom_energy", "forces": "force", "virial": "virial",
              "forces_mag": "force_mag"}

pytestmark = [pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning"),
              pytest.mark.filterwarnings("ignore::dgnn.SmallSpinWarning")]


def rows(kind):
    """The prefixes of all systems of a kind."""
    return sorted({key.rsplit("/", 2)[0] for key in ARRAYS if key.startswith(kind + "/")})


def arrays(prefix):
    return {key[len(prefix) + 1:]: value for key, value in ARRAYS.items() if key.startswith(prefix + "/")}


def inputs(row):
    given = arrays(row + "/in")
    return dict(coords=given["coord"], types=given["type"], box=given["box"], spins=given["spin"])


def difference(value, answer):
    return np.abs(np.ravel(value) - np.ravel(answer)).max()


# ---------------------------------------------------------------- nearly no spin


@pytest.mark.parametrize("row", rows("small"))
def test_small_spins(row, figures):
    """Within 1e-10 of the largest component, or of what rounding does to deepmd-kit's own answers: four times their
    change under rigid shifts; and, in what it adds up from the pulls that draw an atom and its virtual one apart (1e16
    and more, where dgnn leaves them out), eight roundings of the largest pull."""
    _, name, system, length = row.split("/")
    model, _ = load(name)
    result = model.compute(**inputs(row))
    answers, moved = arrays(row + "/out"), arrays(row + "/moved")
    pull = np.abs(answers["force_mag"]).max() / max(model.info()["virtual_scale"])
    for ours, theirs in QUANTITIES.items():
        lost = 8 * np.finfo(float).eps * pull if ours in ("forces", "virial") else 0.0
        limit = max(1e-10 * max(1.0, np.abs(answers[theirs]).max()), 4 * moved[theirs], lost)
        error = difference(getattr(result, ours), answers[theirs])
        figures.record("a third of the spins nearly zero: error over what rounding allows", f"{name} {system} {length}",
                       ours, error / limit, 1.0)
        assert error <= limit, f"{ours}: {error:.2e}, limit {limit:.2e}"


@pytest.mark.parametrize("name", ["spin_dpa3", "spin_dpa2", "spin_dpa1", "spin_se_e2_a"])
def test_forces_with_spins_of_zero(name):
    """Forces are derivatives of the energy also where an atom and its virtual one are at one place."""
    model, _ = load(name)
    given = few(name)
    given["spins"] = np.zeros_like(given["spins"])
    result = model.compute(**given)
    direction = np.random.default_rng(1).standard_normal(given["coords"].shape)
    energies = [model.compute(**{**given, "coords": given["coords"] + h * direction}).energy
                for h in (-2e-4, -1e-4, 1e-4, 2e-4)]
    slope = (energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / 1.2e-3
    largest = np.abs(result.forces).max()
    assert largest > 1e-6
    assert abs(slope + np.sum(result.forces * direction)) < 1e-7 * max(1.0, largest)


def test_one_warning():
    """With the first call of a model, and not again."""
    model, _ = load("spin_dpa2")
    given = few("spin_dpa2")
    small = {**given, "spins": 1e-3 * given["spins"]}
    with pytest.warns(dgnn.SmallSpinWarning, match=r"\d magnetic atoms .* less than 0\.05 Å"):
        model.compute(**small)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: pytest.fail("warned again"))
        model.compute(**small)
        model.compute(**{**small, "spins": np.zeros_like(given["spins"])})


@pytest.mark.parametrize("name", ["spin_three", "spin_dpa2"])
def test_threads(name):
    """Virtual nodes, the last ones, take no part in the last layer: parts of threads differ there."""
    given = few(name)
    results = []
    for threads in (1, 2, 3, 16):
        model = dgnn.Model.load(DATA / "cases" / name / "model.pt2", threads=threads)
        results.append(model.compute(**given))
        assert np.array_equal(model.compute(**given).forces_mag, results[-1].forces_mag)
    for result in results[1:]:
        assert abs(result.energy - results[0].energy) < 1e-12
        for key in ("forces", "forces_mag"):
            assert difference(getattr(result, key), getattr(results[0], key)) < 1e-13


# ---------------------------------------------------------------- ties


@pytest.mark.parametrize("name", sorted({row.split("/")[1] for row in rows("image")}))
def test_ties_among_images(name, figures):
    """sel keeps two of an atom's four images at one distance, where it has no spin: deepmd-kit takes a real and a virtual
    one at one place rather than two real ones at opposite places."""
    model, _ = load(name)
    found = [row for row in rows("image") if row.split("/")[1] == name]
    for row in found:
        answer = ARRAYS[row + "/out/energy"]
        error = difference(model.compute(**inputs(row)).energy, answer) / np.abs(answer).max()
        figures.record("ties among images (limit 1e-10)", name, "energy", error, 1e-10)
        assert error <= 1e-10, f"{row}: {error:.2e}"
    assert len(found) == 6


# ---------------------------------------------------------------- rows with ghosts


@pytest.mark.parametrize("how", ["mapping", "border"])
@pytest.mark.parametrize("row", rows("ghost"))
def test_lower_interface(row, how, figures):
    """deepmd-kit's list in LAMMPS: each atom's own other node, its neighbours and their virtual ones. Features of ghosts
    come from their owners by a mapping, or by a swap with this rank itself."""
    model, _ = load(row.split("/")[1])
    given, answers = arrays(row + "/in"), arrays(row + "/out")
    owner, nlist = given["mapping"], given["nlist"]
    nlocal = len(nlist)
    border = dgnn.Border([owner[nlocal:]], [0], [0], [len(owner) - nlocal], [len(owner) - nlocal])
    options = dict(spins=given["spin"], fparam=given.get("fparam"), aparam=given.get("aparam"),
                   neighbours=[near[near >= 0] for near in nlist],
                   **(dict(mapping=owner) if how == "mapping" else dict(border=border)))
    result = model.compute_ghosted(given["coord"], given["type"], nlocal, **options)
    names = {**QUANTITIES, "forces": "extended_force", "forces_mag": "extended_force_mag"}
    for ours, theirs in names.items():
        error = difference(getattr(result, ours), answers[theirs]) / np.abs(answers[theirs]).max()
        figures.record("ghosts and lists of a host: error over the largest component (limit 1e-10)", row[6:], ours, error,
                       1e-10)
        assert error <= 1e-10, f"{ours}: {error:.2e}"
    home = model.compute_ghosted(given["coord"], given["type"], nlocal, ghost_forces="add", **options)
    for ours in ("forces", "forces_mag"):
        expected = np.zeros((nlocal, 3))
        np.add.at(expected, owner, getattr(result, ours))
        assert not getattr(home, ours)[nlocal:].any()
        assert difference(getattr(home, ours)[:nlocal], expected) <= 1e-12 * np.abs(expected).max()


def test_list_that_ends_at_the_cutoff_is_another():
    """The virtual atom of an atom beyond such a list may be within the cutoff: it is an edge in compute alone."""
    model, _ = load("spin_dpa1_fparam")
    given = arrays("ghost/spin_dpa1_fparam/5.0/in")
    nlocal = len(given["nlist"])
    energies = [model.compute_ghosted(
        given["coord"], given["type"], nlocal, mapping=given["mapping"], spins=given["spin"], fparam=given["fparam"],
        aparam=given["aparam"], neighbours=near).energy for near in ([row[row >= 0] for row in given["nlist"]], None)]
    assert abs(energies[0] - energies[1]) > 1e-8
