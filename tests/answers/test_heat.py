"""Atoms' virials as a heat flux needs them, W_j = - sum_i dE_i/dr_j (x) (r_j - r_i), and the flux itself.

Against: deepmd-kit's own in clusters; its own of an unfolded cell, where each path of messages has its true displacement
(tests/data/heat); central differences of atoms' energies; the derivative of the energy's moment along a trajectory. Local
models' are compared in tests/unit/test_local.py; ranks' in tests/mpi and tests/c, with all other results."""

import threading

import dgnn
import numpy as np
import pytest
from conftest import DATA
from dgnn import kinds
from dgnn.testing import thread_ranks

pytestmark = pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning")

INPUTS = dict(coords="coord", types="type", box="box", spins="spin", fparam="fparam", aparam="aparam",
              charge_spin="charge_spin")
UNFOLDED = sorted(path.stem for path in (DATA / "heat").iterdir())
PASSING = sorted(path.name for path in (DATA / "cases").iterdir()
                 if path.is_dir() and path.name.split("_")[0] not in kinds.OUTPUTS
                 and any(word in path.name for word in ("dpa2", "dpa3", "hybrid", "linear", "spin")))
MODES = {"plain": {}, "small": dict(memory="small"), "threads": dict(threads=3), "reference": dict(cpu="reference"),
         "float32": dict(dtype="float32")}
TABLE = "atoms' virials: worst difference, over the largest component"


def load(name, monkeypatch=None, cpu=None, **options):
    if cpu:
        monkeypatch.setenv("DGNN_DISABLE_CPU", "avx512,avx2,neon,portable")
    return dgnn.Model.load(DATA / "cases" / name / "model.pt2", **options)


def given(arrays, system):
    return {ours: arrays[f"{system}/in/{theirs}"] for ours, theirs in INPUTS.items() if f"{system}/in/{theirs}" in arrays}


def apart(value, answer):
    return np.abs(value - answer.reshape(value.shape)).max() / np.abs(answer).max()


def differences(model, system, far=None, rows=None, h=2e-3):
    """W by central differences of atoms' energies, of fourth order. far: displacements from atom j, where not by place."""
    coords, expected = system["coords"], []
    for j in range(len(coords) if rows is None else rows):
        expected.append([])
        for a in range(3):
            slope = 0
            for step, weight in ((-2, 1), (-1, -8), (1, 8), (2, -1)):
                moved = coords.copy()
                moved[j, a] += step * h
                slope = slope + weight / (12 * h) * model.compute(**{**system, "coords": moved}).atom_energy
            expected[j].append(-slope @ (far(j) if far else coords[j] - coords))
    return np.array(expected)


FITTING32 = {"dpa3_fit32": 1e-6}  # its fitting net computes in float32 in deepmd-kit, too


@pytest.mark.parametrize("name", PASSING)
def test_clusters_have_deepmd_kits(name, figures):
    """float32: the error against the same weights in float64 is at most twice deepmd-kit's own, or 2e-7. In its graph
    form deepmd-kit gives each edge's part to the neighbour, in clusters too: those are compared with differences."""
    model = load(name)
    if not model.has_message_passing:
        return
    with np.load(DATA / "cases" / name / "cases.npz") as file:
        arrays = dict(file)
    result = model.compute(**given(arrays, "cluster"), atomic=True)
    answer, value = arrays["cluster/out/atom_virial"], result.atom_virial
    assert np.abs(answer).max() > 1e-5
    if name.endswith("_graph"):
        model = load(name, dtype="float64")
        value, limit = model.compute(**given(arrays, "cluster"), atomic=True).atom_virial, 1e-7
        error = min(apart(value, differences(model, given(arrays, "cluster"), h=h)) for h in (1e-3, 2e-4))  # or a pair crosses
    elif model.dtype == "float32":
        exact = arrays["cluster/out64/atom_virial"]
        error, limit = apart(value, exact), float(max(2e-7, 2 * apart(answer.reshape(value.shape), exact)))
    else:
        error, limit = apart(value, answer), FITTING32.get(name, 1e-10)
        assert np.abs(value.sum(axis=0) - result.virial).max() < 1e-10 * np.abs(answer).max()
    figures.record(TABLE, name, f"clusters, {model.dtype}", error, limit)
    assert error <= limit


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", UNFOLDED)
def test_periodic_ones_are_those_of_the_unfolded_cell(name, mode, figures, monkeypatch):
    model = load(name, monkeypatch, **MODES[mode])
    limit = 1e-10 if mode != "float32" else 1e-5
    with np.load(DATA / "heat" / f"{name}.npz") as file:
        arrays = dict(file)
    for system in ("triclinic", "wide", "cluster"):
        inputs, answer = given(arrays, system), arrays[f"{system}/out/atom_virial_unfolded"]
        for _ in range(2):
            result = model.compute(**inputs, atomic=True)
        error = apart(result.atom_virial, answer)
        figures.record(TABLE, name, f"unfolded, {mode}", error, limit)
        assert error < limit, system
        bare = model.compute(**inputs)
        for quantity in ("energy", "forces", "virial", "atom_energy"):
            assert np.array_equal(getattr(bare, quantity), getattr(result, quantity)) or mode == "plain", quantity
        total = np.abs(result.atom_virial.sum(axis=0) - result.virial).max()
        assert total < limit * np.abs(answer).max()


# ---------------------------------------------------------------- central differences

# Of what tests/data/heat lacks: name, arguments of chain, the reach of messages. NULL atoms stand in one of them.
DIFFERENCES = {"dpa3_sequential": {}, "dpa3_exclude": {}, "dpa3_dynamic_sel": {}, "dpa3_compress_sequential": {},
               "dpa3_base": dict(null=True), "dpa2_exclude": {}, "dpa2_all_updates": {}, "dpa2_inside": {}, "dpa2_strip": {},
               "linear_dpa3_sum": {}, "linear_dpa3_dpa1": dict(null=True), "hybrid_dpa3": {}, "hybrid_two_rcut": {},
               "hybrid_dpa3_nested": {}, "spin_dpa3": dict(null=True), "spin_dpa3_both": {}, "spin_dpa2": {}, "spin_exclude": {}}


def chain(name, null=False):
    """A few atoms in a cell that is periodic along x alone."""
    rng = np.random.default_rng(5)
    coords = np.array([[0.1, 0.0, 0.2], [1.6, 0.9, -0.3], [2.9, -0.4, 0.8], [4.1, 0.5, 0.3]]) + rng.uniform(-0.2, 0.2, (4, 3))
    system = dict(coords=coords, types=np.array([0, 1, 0, 1], np.int32), box=np.diag([5.3, 40.0, 40.0]), pbc=(1, 0, 0))
    if null:
        system["types"][2] = -1
    with np.load(DATA / "cases" / name / "cases.npz") as file:
        if "cluster/in/spin" in file:
            system["spins"] = file["cluster/in/spin"][:4] * 1.0
        for key in ("fparam", "charge_spin"):
            if f"cluster/in/{key}" in file:
                system[key] = file[f"cluster/in/{key}"]
        if "cluster/in/aparam" in file:
            system["aparam"] = file["cluster/in/aparam"][:4]
    return system


def repeated(system, times):
    shifts = np.arange(times)[:, None, None] * system["box"][0]
    more = {key: np.tile(system[key], (times, *[1] * (system[key].ndim - 1))) for key in ("types", "spins", "aparam")
            if key in system}
    return {**system, **more, "coords": (system["coords"] + shifts).reshape(-1, 3),
            "box": system["box"] * np.array([times, 1, 1])[:, None]}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_central_differences(name, figures):
    """Of atoms' energies in a cell so long that no atom feels two images of another, even through messages."""
    model = load(name)
    system, layers = chain(name, **DIFFERENCES[name]), 4
    long = repeated(system, int(np.ceil(2 * (layers + 1) * model.cutoff / 5.3)) + 1)
    length = long["box"][0, 0]

    def far(j):
        vectors = long["coords"][j] - long["coords"]
        vectors[:, 0] -= length * np.round(vectors[:, 0] / length)
        return vectors

    expected = differences(model, long, far, len(system["coords"]))
    value = model.compute(**system, atomic=True).atom_virial
    error = apart(value, expected)
    figures.record(TABLE, name, "differences", error, 1e-7)
    assert np.abs(expected).max() > 1e-4 and error < 1e-7


# ---------------------------------------------------------------- symmetries


@pytest.mark.parametrize("name", ["dpa3_base", "dpa3_sequential", "dpa2_base", "spin_dpa3", "spin_dpa2", "hybrid_two_messages",
                                  "linear_dpa3_sum"])
def test_symmetries(name, figures):
    """Translation, rotation, lattice moves of single atoms, and a supercell, where no neighbour is cut off: opposite images
    are at one distance, and rounding decides between them."""
    model, rng = load(name), np.random.default_rng(3)
    with np.load(DATA / "cases" / name / "cases.npz") as file:
        systems = [given(dict(file), which) for which in ("triclinic", "slab", "sparse")]
    for system in systems:
        result = model.compute(**system, atomic=True)
        if not result.ntruncated and not result.nangle_truncated:
            break
    assert not result.ntruncated
    value = result.atom_virial
    box, coords = system["box"], system["coords"]
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    moves = coords + rng.integers(-2, 3, coords.shape) @ box
    turned = {key: system[key] @ turn.T for key in ("coords", "box", "spins") if key in system}
    double = {key: np.concatenate((system[key], system[key])) for key in ("types", "spins", "aparam") if key in system}
    double.update(coords=np.concatenate((coords, coords + box[1])), box=box * np.array([1, 2, 1])[:, None])
    for what, other, back in (
            ("translated", dict(coords=coords + rng.uniform(-3, 3, 3)), lambda w: w),
            ("lattice moves", dict(coords=moves), lambda w: w),
            ("rotated", turned, lambda w: turn.T @ w @ turn),
            ("supercell", double, lambda w: w[: len(coords)]),
            ("supercell, second half", double, lambda w: w[len(coords):])):
        error = apart(back(model.compute(**{**system, **other}, atomic=True).atom_virial), value)
        figures.record(TABLE, name, what.split(",")[0], error, 1e-11)
        assert error < 1e-11, what


@pytest.mark.parametrize("options", [{}, dict(memory="small")], ids=["fast", "small"])
@pytest.mark.parametrize("name", ["dpa2_base", "dpa2_all_updates", "spin_dpa2", "dpa3_base"])
def test_large_systems(name, options, figures):
    """So many atoms that sums over pairs go group by group, in groups that threads make larger: the same bits, and in every
    copy of a cell what a small system has."""
    one, three = load(name, threads=1, **options), load(name, threads=3, **options)
    with np.load(DATA / "cases" / name / "cases.npz") as file:
        system = given(dict(file), "cluster")
    n = len(system["coords"])
    shifts = 60.0 * np.stack(np.meshgrid(*[np.arange(6)] * 3), axis=-1).reshape(-1, 3)[: 1 + 256 // n]
    more = {key: np.concatenate([system[key]] * len(shifts)) for key in ("types", "spins", "aparam") if key in system}
    large = {**system, **more, "coords": (system["coords"] + shifts[:, None]).reshape(-1, 3)}
    alone = one.compute(**system, atomic=True).atom_virial
    value = one.compute(**large, atomic=True).atom_virial
    if not name.startswith("dpa3"):  # where threads have accumulators of their own
        assert np.array_equal(value, three.compute(**large, atomic=True).atom_virial)
    error = apart(value.reshape(len(shifts), *alone.shape), np.broadcast_to(alone, (len(shifts), *alone.shape)))
    figures.record(TABLE, name, "many copies", error, 1e-11)
    assert error < 1e-11


# ---------------------------------------------------------------- ranks


@pytest.mark.parametrize("name", ["dpa3_base", "dpa3_sequential", "dpa2_base", "dpa2_no_neighbours", "spin_dpa3", "spin_dpa2",
                                  "hybrid_two_messages", "linear_dpa3_sum"])
def test_ranks(name, figures):
    """Ranks are threads: messages carry moments home with their gradients, or not, call by call."""
    model = load(name)
    with np.load(DATA / "cases" / name / "cases.npz") as file:
        system = given(dict(file), "slab")
    whole, comms, found = model.compute(**system, atomic=True), thread_ranks(3), {}

    def work(rank):
        mine = np.random.default_rng(1).permutation(len(system["coords"]))[rank::3]
        own = {**system, **{key: system[key][mine] for key in ("coords", "types", "spins", "aparam") if key in system}}
        bare, result, again = (model.compute(**own, ids=mine, comm=comms[rank], atomic=atomic) for atomic in (False, True, True))
        assert np.array_equal(bare.forces, result.forces) and np.array_equal(result.atom_virial, again.atom_virial)
        found[rank] = mine, result.atom_virial

    on_threads(3, work)
    value = np.empty_like(whole.atom_virial)
    for mine, share in found.values():
        value[mine] = share
    error = apart(value, whole.atom_virial)
    figures.record(TABLE, name, "ranks", error, 1e-11)
    assert len(found) == 3 and error < 1e-11


def with_images(system, reach):
    """(arguments of compute_ghosted: rows of all atoms and of images within reach of one, the row of each one's owner)."""
    coords, box, rows, owner = system["coords"], system["box"], [system["coords"]], [np.arange(len(system["coords"]))]
    for shift in np.ndindex(9, 9, 9):
        away = np.array(shift) - 4
        if away.any():
            images = coords + away @ box
            near = np.linalg.norm(images[:, None] - coords, axis=-1).min(axis=1) < reach
            assert not near.any() or np.abs(away).max() < 4  # all of them
            rows.append(images[near])
            owner.append(np.flatnonzero(near))
    owner = np.concatenate(owner)
    each = {key: system[key][owner] for key in ("types", "spins") if key in system}
    others = {key: system[key] for key in ("fparam", "aparam", "charge_spin") if key in system}
    return dict(coords=np.concatenate(rows), nlocal=len(coords), **each, **others), owner


@pytest.mark.parametrize("name", ["dpa3_base", "dpa3_sequential", "dpa2_base", "spin_dpa3", "spin_dpa2", "hybrid_two_messages",
                                  "linear_dpa3_sum"])
def test_rows_of_a_host(name, figures):
    """compute_ghosted: ghosts' shares go home, or stay in their rows; heat_flux of either is that of compute."""
    model = load(name)
    with np.load(DATA / "cases" / name / "cases.npz") as file:
        system = given(dict(file), "triclinic")
    whole = model.compute(**system, atomic=True)
    rows, owner = with_images(system, model.cutoff + (1.5 if model.is_spin else 0.1))
    n, rng = rows["nlocal"], np.random.default_rng(2)
    velocities, masses = rng.standard_normal((n, 3)), rng.uniform(1, 20, n)
    flux = dgnn.heat_flux(whole, velocities, masses)
    for ghost_forces in ("add", "return"):
        result = model.compute_ghosted(**rows, mapping=owner, ghost_forces=ghost_forces, atomic=True)
        home = np.zeros((n, 3, 3))
        np.add.at(home, owner, result.atom_virial)
        assert (ghost_forces == "add") != result.atom_virial[n:].any() and len(owner) > 5 * n
        error = apart(home, whole.atom_virial)
        figures.record(TABLE, name, f"rows of a host, {ghost_forces}", error, 1e-11)
        assert error < 1e-11
        found = dgnn.heat_flux(result, velocities[owner], np.where(np.arange(len(owner)) < n, masses[owner], 0))
        assert np.abs(found - flux).max() < 1e-10 * np.abs(flux).max()


def on_threads(count, work):
    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# ---------------------------------------------------------------- the flux


def moving(name, seed=1):
    """(model, inputs, velocities, masses) of a cluster at rest as a whole."""
    from ase import units

    model = load(name)
    with np.load(DATA / "cases" / name / "cases.npz") as file:
        system = given(dict(file), "cluster")
    rng = np.random.default_rng(seed)
    masses = rng.uniform(1, 20, len(system["coords"]))
    velocities = rng.standard_normal(system["coords"].shape) * np.sqrt(units.kB * 300 / masses)[:, None]
    return model, system, velocities, masses


@pytest.mark.parametrize("name", ["dpa3_base", "dpa2_base", "hybrid_two_messages", "linear_dpa3_sum", "dpa1_attn2"])
def test_flux_is_the_derivative_of_the_energys_moment(name, figures):
    """d/dt sum_i r_i (E_i + K_i) along a short trajectory without a thermostat, by differences of fourth order."""
    model, system, velocities, masses = moving(name)
    step, steps = 0.002, 8  # in ASE's unit of time, 10 fs
    moments, fluxes = [], []
    forces = model.compute(**system).forces
    v, coords = velocities - 4 * step * forces / masses[:, None], system["coords"] - 4 * step * velocities
    result = model.compute(**{**system, "coords": coords}, atomic=True)
    for _ in range(steps + 1):
        energy = result.atom_energy + 0.5 * masses * (v**2).sum(axis=1)
        moments.append(energy @ coords)
        fluxes.append(dgnn.heat_flux(result, v, masses))
        for weight in (1.3512071919596578, -1.7024143839193153, 1.3512071919596578):  # Forest and Ruth's, of fourth order
            coords = coords + 0.5 * weight * step * v
            v = v + weight * step * model.compute(**{**system, "coords": coords}).forces / masses[:, None]
            coords = coords + 0.5 * weight * step * v
        result = model.compute(**{**system, "coords": coords}, atomic=True)
    moments = np.array(moments)
    slope = (moments[:-4] - 8 * moments[1:-3] + 8 * moments[3:-1] - moments[4:]) / (12 * step)
    error = np.abs(slope - np.array(fluxes[2:-2])).max() / np.abs(slope).max()
    figures.record("heat flux of a cluster: difference from the derivative of its energy's moment (limit 1e-6)", name, "J",
                   error, 1e-6)
    assert error < 1e-6


def test_flux_of_frames_parts_and_ranks():
    model, system, v, masses = moving("dpa3_base")
    frames = {**system, "coords": np.stack((system["coords"], system["coords"] * 1.01))}
    result = model.compute(**frames, atomic=True)
    both = dgnn.heat_flux(result, np.stack((v, -v)), masses)
    convective, virial = dgnn.heat_flux(result, np.stack((v, -v)), masses, parts=True)
    assert both.shape == convective.shape == (2, 3) and np.array_equal(both, convective + virial)
    single = dgnn.heat_flux(model.compute(**system, atomic=True), v, masses)
    assert np.allclose(both[0], single, rtol=1e-13)


def test_flux_over_ranks():
    """Ranks are threads: the total is one rank's, the same bits on all; an error on one is raised on all."""
    model, system, v, masses = moving("dpa3_base")
    whole = dgnn.heat_flux(model.compute(**system, atomic=True), v, masses)
    comms, found = thread_ranks(3), {}

    def work(rank):
        mine = np.arange(len(v))[rank::3]
        own = {**system, "coords": system["coords"][mine], "types": system["types"][mine]}
        result = model.compute(**own, atomic=True, comm=comms[rank])
        flux = dgnn.heat_flux(result, v[mine], masses[mine], comm=comms[rank])
        try:
            dgnn.heat_flux(result, v[mine] if rank else v[:1], masses[mine], comm=comms[rank])
        except dgnn.InputError as error:
            found[rank] = flux, str(error)

    on_threads(3, work)
    assert len(found) == 3
    for flux, message in found.values():
        assert np.abs(flux - whole).max() < 1e-11 * np.abs(whole).max() and np.array_equal(flux, found[0][0])
        assert "rank 0: velocities: expected shape" in message


def test_flux_refuses():
    model, system, v, masses = moving("dpa3_base")
    result = model.compute(**system, atomic=True)
    for arguments, message in (((model.compute(**system), v, masses), "no atom_virial"),
                               ((result, v[:-1], masses), "velocities: expected shape"),
                               ((result, v, masses[:-1]), "masses: expected shape"),
                               ((result, v, -masses), "none below 0"),
                               ((result, v * np.nan, masses), "not finite"),
                               ((result, "fast", masses), "array of numbers")):
        with pytest.raises(dgnn.InputError, match=message):
            dgnn.heat_flux(*arguments)


def test_stresses_of_ase_are_these():
    from ase import Atoms
    from dgnn.calculator import DGNNCalculator

    with np.load(DATA / "heat" / "dpa3_base.npz") as file:
        inputs, answer = given(dict(file), "wide"), file["wide/out/atom_virial_unfolded"].reshape(-1, 3, 3)
    path = DATA / "cases" / "dpa3_base" / "model.pt2"
    names = dgnn.Model.load(path).type_map
    atoms = Atoms([names[t] for t in inputs["types"]], inputs["coords"], cell=inputs["box"], pbc=True)
    atoms.calc = DGNNCalculator(path)
    stresses = atoms.get_stresses(voigt=False)
    assert np.abs(stresses + 0.5 * (answer + answer.transpose(0, 2, 1)) / atoms.get_volume()).max() < 1e-12
