"""deepmd-kit's own numbers, for every case in tests/data and the trained water model.

float64: within 1e-10 absolute, or 1e-10 of the largest component. float32: the error against the same weights in
float64, over the largest component, is at most twice deepmd-kit's own, or 2e-7, whichever is larger. Rounding is a matter of
luck in a single system: deepmd-kit's own error there is beyond twice that of a copy with slightly moved atoms in up to
one pair of ten. So a case's worst over its systems is compared with deepmd-kit's worst over the same; and over a hundred
moved copies (`data/rounding.npz`) the root mean square for each system and quantity is compared, with a stricter limit:
deepmd-kit's own. What is compared must not be near zero; the worst figures are printed at the end of the run."""

import collections

import dgnn
import numpy as np
import pytest
from conftest import DATA, ROOT

CASES = sorted(path.name for path in (DATA / "cases").iterdir() if path.is_dir())
SYSTEMS = ("triclinic", "cluster", "slab", "sparse")
QUANTITIES = {"energy": "energy", "atom_energy": "atom_energy", "forces": "force", "virial": "virial",
              "forces_mag": "force_mag"}
# Of models whose output is no energy: what a result has, and deepmd-kit's names; NAME is a property's own.
OTHERS = {"dipole": {"dipole": "global_dipole", "atom_dipole": "dipole", "dipole_force": "force", "dipole_virial": "virial"},
          "polar": {"polar": "global_polar", "atom_polar": "polar"},
          "dos": {"dos": "dos", "atom_dos": "atom_dos"},
          "property": {"property": "NAME", "atom_property": "atom_NAME"}}
NOTHING = 1e-5
TABLE64 = "float64: largest difference from deepmd-kit over the limit's scale (limit 1e-10)"
TABLE32 = "float32: error against float64 over the largest component, dgnn's and deepmd-kit's (limit: twice that, or 2e-7)"

pytestmark = pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning")


class Case:
    """One system of an .npz: inputs for compute, and answers."""

    def __init__(self, arrays, system):
        self.arrays, self.system = arrays, system

    def get(self, kind, key):
        name = f"{self.system}/{kind}/{key}"
        return self.arrays[name] if name in self.arrays else None

    def inputs(self):
        return dict(coords=self.get("in", "coord"), types=self.get("in", "type"), box=self.get("in", "box"),
                    spins=self.get("in", "spin"), fparam=self.get("in", "fparam"), aparam=self.get("in", "aparam"),
                    charge_spin=self.get("in", "charge_spin"),
                    **({"derivatives": True} if "dipole_force" in self.answers("out") else {}))

    def output(self):
        """("energy", "dipole", ...; the name of a property)."""
        names = {key.split("/")[2] for key in self.arrays if key.startswith(f"{self.system}/out/")}
        if "energy" in names:
            return "energy", None
        for output in ("dipole", "polar", "dos"):
            if OTHERS[output][output] in names:
                return output, None
        return "property", next(name for name in names if f"atom_{name}" in names)

    def names(self):
        """Ours -> deepmd-kit's."""
        output, own = self.output()
        table = QUANTITIES if output == "energy" else OTHERS[output]
        return {ours: theirs.replace("NAME", own or "") for ours, theirs in table.items()}

    def answers(self, kind):
        return {ours: self.get(kind, theirs) for ours, theirs in self.names().items()
                if self.get(kind, theirs) is not None}


def ours(result, name):
    return np.ravel(getattr(result, name))


def assert_float64(result, answers, figures, row, table=TABLE64):
    for name, answer in answers.items():
        answer, value = np.ravel(answer), ours(result, name)
        assert value.shape == answer.shape
        largest = np.abs(answer).max()
        assert largest > NOTHING, f"{row} {name}: vacuous, the largest component is {largest}"
        # random weights of some local descriptors give small forces: their limit is 1e-6 of these, less than 1e-10
        error = np.abs(value - answer).max() / (max(1.0, largest) if largest > 1e-4 else 1e4 * largest)
        figures.record(table, row, name, error, 1e-10)
        assert error <= 1e-10, f"{row} {name}: {error:.3e}"


class Float32Errors:
    """Worst relative errors over systems: quantity -> [ours, deepmd-kit's]."""

    def __init__(self):
        self.worst = {}

    def add(self, result, answers, truth, row):
        for name, answer in answers.items():
            answer, true, value = np.ravel(answer), np.ravel(truth[name]), ours(result, name)
            largest = np.abs(true).max()
            assert largest > NOTHING, f"{row} {name}: vacuous, the largest component is {largest}"
            errors = [np.abs(numbers - true).max() / largest for numbers in (value, answer)]
            self.worst[name] = np.maximum(self.worst.get(name, 0.0), errors)

    def check(self, figures, row):
        for name, (error, peer) in self.worst.items():
            figures.record(TABLE32, row, name, error)
            figures.record(TABLE32, row, f"{name[:8]} deepmd", peer)
        for name, (error, peer) in self.worst.items():
            limit = max(2 * peer, 2e-7)
            assert error <= limit, f"{row} {name}: {error:.3e} of the largest, limit {limit:.3e}"


def assert_cases(model, cases, figures, row):
    """float64: each of them. Where something is float32: the worst over all of them."""
    errors = Float32Errors()
    for case in cases:
        result = model.compute(**case.inputs())
        answers, truth = case.answers("out"), case.answers("out64")
        output, _ = case.output()
        assert set(answers) >= ({"energy", "atom_energy", "forces", "virial"} if output == "energy"
                                else {output, f"atom_{output}"})
        if truth:  # something in the model is float32
            errors.add(result, answers, truth, row)
        else:
            assert_float64(result, answers, figures, row)
    errors.check(figures, row)


def test_rounding(figures):
    """Less rounding than deepmd-kit has, in each system and quantity, over 25 moved copies."""
    model = dgnn.Model.load(DATA / "cases" / "dpa3_f32" / "model.pt2")
    with np.load(DATA / "rounding.npz") as file:
        arrays = dict(file)
    table = "float32: root mean square error over 25 copies, over the largest component (limit: deepmd-kit's)"
    for system in SYSTEMS:
        errors = collections.defaultdict(list)
        for index, coords in enumerate(arrays[f"{system}/coord"]):
            result = model.compute(coords, arrays[f"{system}/type"], arrays.get(f"{system}/box"))
            for name, theirs in (("atom_energy", "atom_energy"), ("forces", "force"), ("virial", "virial")):
                answer, true = (np.ravel(arrays[f"{system}/{kind}/{theirs}"][index]) for kind in ("out", "out64"))
                largest = np.abs(true).max()
                assert largest > NOTHING
                errors[name].append([np.abs(x - true).max() / largest for x in (ours(result, name), answer)])
        for name, pairs in errors.items():
            error, peer = np.sqrt(np.mean(np.square(pairs), axis=0))
            figures.record(table, system, name, error)
            figures.record(table, system, f"{name[:8]} deepmd", peer)
            assert 0 < error <= peer, f"{system} {name}: {error:.2e}, deepmd-kit {peer:.2e}"


def load_arrays(folder):
    with np.load(folder / "cases.npz") as file:
        return dict(file)


def test_every_case_has_its_four_systems():
    assert len(CASES) >= 35
    for name in CASES:
        with np.load(DATA / "cases" / name / "cases.npz") as file:
            assert {key.split("/")[0] for key in file.files} == set(SYSTEMS)


@pytest.mark.parametrize("name", CASES)
def test_case(name, figures):
    folder = DATA / "cases" / name
    arrays = load_arrays(folder)
    model = dgnn.Model.load(folder / "model.pt2")
    assert model.dtype == ("float32" if "f32" in name else "float64")
    assert_cases(model, [Case(arrays, system) for system in SYSTEMS], figures, name)


@pytest.mark.parametrize("name", CASES)
def test_case_with_little_memory(name, figures):
    """memory="small" computes again what "fast" keeps."""
    folder = DATA / "cases" / name
    arrays = load_arrays(folder)
    model = dgnn.Model.load(folder / "model.pt2", memory="small")
    systems = SYSTEMS if "f32" in name else SYSTEMS[:1]
    assert_cases(model, [Case(arrays, system) for system in systems], figures, f"{name}, memory=small")


@pytest.mark.parametrize("name", [name for name in CASES if "f32" in name])
def test_float32_archive_in_float64(name, figures):
    folder = DATA / "cases" / name
    arrays = load_arrays(folder)
    model = dgnn.Model.load(folder / "model.pt2", dtype="float64")
    assert model.dtype == "float64"
    for system in SYSTEMS:
        case = Case(arrays, system)
        assert_float64(model.compute(**case.inputs()), case.answers("out64"), figures, f"{name}, dtype=float64")


@pytest.mark.parametrize("name", [name for name in CASES if "f32" not in name])
def test_float64_archive_in_float32(name, figures):
    """No answer of deepmd-kit's to compare with: a bound that a wrong precision would break either way."""
    folder = DATA / "cases" / name
    arrays = load_arrays(folder)
    model = dgnn.Model.load(folder / "model.pt2", dtype="float32")
    assert model.dtype == "float32"
    case = Case(arrays, "slab")
    result = model.compute(**case.inputs())
    for quantity, answer in case.answers("out").items():
        answer, value = np.ravel(answer), ours(result, quantity)
        error = np.abs(value - answer).max() / np.abs(answer).max()
        figures.record("float64 archives in float32: error over the largest component (limit 1e-4)", name, quantity,
                       error, 1e-4)
        assert error < 1e-4, f"{quantity}: {error:.3e}"
    rounded = {"energy": "forces"}.get(model.output, f"atom_{model.output}")
    assert np.any(ours(result, rounded) != np.ravel(case.answers("out")[rounded]))


@pytest.mark.parametrize("system", ["oh6", "oh6_open", "water192"])
def test_whole_archive(system, figures):
    """Compiled code and the nested artifact are there, and are not touched."""
    folder = DATA / "real"
    model = dgnn.Model.load(folder / "dpa3_small.pt2")
    assert_cases(model, [Case(load_arrays(folder), system)], figures, "real archive")


def test_six_layers(figures):
    folder = DATA / "perf"
    model = dgnn.Model.load(folder / "dpa3_L6_f32.pt2")
    assert model.dtype == "float32"
    assert_cases(model, [Case(load_arrays(folder), "water192")], figures, "six layers, 128")


def test_six_layers_in_float64(figures):
    folder = DATA / "perf"
    model = dgnn.Model.load(folder / "dpa3_L6_f32.pt2", dtype="float64")
    case = Case(load_arrays(folder), "water192")
    assert_float64(model.compute(**case.inputs()), case.answers("out64"), figures, "six layers, dtype=float64")


def test_trained_water(figures):
    folder = ROOT / "examples" / "water"
    with np.load(folder / "frames.npz") as file:
        frames = dict(file)
    model = dgnn.Model.load(folder / "model.pt2")
    result = model.compute(frames["coord"], frames["type"], frames["box"])
    assert result.forces.shape == frames["force"].shape
    assert_float64(result, dict(energy=frames["energy"], atom_energy=frames["atom_energy"], forces=frames["force"],
                                virial=frames["virial"]), figures, "trained water, 20 frames")
    # The model is a trained one: it knows the labels that it never saw.
    assert np.sqrt(np.mean((result.forces - frames["label_force"]) ** 2)) < 0.3


def test_assertions_can_fail(figures):
    """The comparison itself: a difference of 2e-10, and a quantity that is all zeros."""
    answer = {"energy": np.array([0.5])}
    result = dgnn.Result(energy=0.5 + 2e-10, forces=None, virial=None, atom_energy=None)

    class Nowhere:
        def record(self, *_):
            pass

    with pytest.raises(AssertionError, match="energy"):
        assert_float64(result, answer, Nowhere(), "row")
    with pytest.raises(AssertionError, match="vacuous"):
        assert_float64(result, {"energy": np.zeros(1)}, Nowhere(), "row")
