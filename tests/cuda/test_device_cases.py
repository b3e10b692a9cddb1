"""Models on a device, which the fake driver is: the CPU's cases with the device as one more parameter."""

import dgnn
import numpy as np
import pytest
from conftest import DATA
from fake import device, environment, nothing_open  # noqa: F401
from test_cases import CASES, SYSTEMS, Case, assert_cases, load_arrays, ours

TABLE = "device against the CPU: largest difference over the largest component (limit 1e-11)"
REFUSED = {"dipole_dpa3", "polar_dpa3", "linear_dpa3_dpa1"}  # a rotation matrix; a part of another family
# Hybrids whose parts are DPA3's; the others have local descriptors or DPA2's, too.
HYBRIDS = {"hybrid_dpa3_nested", "hybrid_dpa3_twice"}
RUN = [name for name in CASES
       if ("dpa3" in name and name not in REFUSED and not name.startswith("hybrid")) or name in HYBRIDS
       or name in ("spin_charge", "spin_exclude", "spin_f32", "spin_fparam", "spin_small_sel", "spin_three")]
# Of each option that has a stage, or a kernel's branch, of its own; the others are long.
SHORT = {"dpa3_base", "dpa3_sequential", "dpa3_not_smooth", "dpa3_no_angle", "dpa3_use_dist", "dpa3_exp_switch", "dpa3_two_heads",
         "dpa3_exclude_small_sel", "dpa3_charge_spin", "dpa3_compress_split_incr", "dpa3_compress_linear", "dpa3_tebd",
         "dpa3_one_layer_sequential", "dpa3_dynamic_sel", "dpa3_f32", "dpa3_gelu", "dpa3_fparam_aparam", "dpa3_atom_exclude",
         "spin_dpa3", "spin_f32", "hybrid_dpa3_twice", "linear_dpa3_sum", "zbl_dpa3", "dos_dpa3", "dpa3_equal_cutoffs"}

pytestmark = [pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning"), pytest.mark.filterwarnings("ignore::dgnn.SmallSpinWarning")]


def cases(name, systems):
    arrays = load_arrays(DATA / "cases" / name)
    return [Case(arrays, system) for system in systems]


def marked(names):
    return [pytest.param(name, marks=() if name in SHORT else pytest.mark.long) for name in names]


def test_names():
    assert set(RUN) >= SHORT and len(RUN) > 60


@pytest.mark.parametrize("name", marked(RUN))
def test_case(name, device, figures):
    """deepmd-kit's numbers, within the limits that the CPU's have."""
    model = dgnn.Model.load(DATA / "cases" / name / "model.pt2", device="cuda")
    assert model.device == "cuda:0"
    before = device.cuda_on_cpu_launches(b"repflow_geometry_f32") + device.cuda_on_cpu_launches(b"repflow_geometry_f64")
    assert_cases(model, cases(name, SYSTEMS if "f32" in name else SYSTEMS[:2]), figures, f"{name}, device")
    after = device.cuda_on_cpu_launches(b"repflow_geometry_f32") + device.cuda_on_cpu_launches(b"repflow_geometry_f64")
    assert after > before  # it was the device


def compare(result, other, figures, row):
    names = [name for name in ("energy", "forces", "virial", "atom_energy", "atom_virial", "forces_mag")
             if getattr(other, name, None) is not None]
    assert len(names) >= 4
    for name in names:
        answer, value = ours(other, name), ours(result, name)
        largest = np.abs(answer).max()
        assert largest > 0
        error = np.abs(value - answer).max() / largest
        figures.record(TABLE, row, name, error, 1e-11)
        assert error <= 1e-11, f"{row} {name}: {error:.3e}"


@pytest.mark.parametrize("name", marked([name for name in RUN if "f32" not in name and name.startswith(("dpa3", "spin", "hybrid"))]))
@pytest.mark.parametrize("system", SYSTEMS[2:3])
def test_as_the_cpu(name, system, device, figures):
    """With atoms' virials, which go through four sides of backward."""
    path = DATA / "cases" / name / "model.pt2"
    inputs = cases(name, [system])[0].inputs()
    answers = [dgnn.Model.load(path, dtype="float64", device=where).compute(**inputs, atomic=True) for where in ("cuda", "cpu")]
    compare(*answers, figures, name)


@pytest.mark.parametrize("length", [0.0, 1e-200, 1e-9])
@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize("name", ["spin_dpa3", pytest.param("spin_dpa3_both", marks=pytest.mark.long)])
def test_spins_of_zero(name, atomic, length, device, figures):
    """An atom and its virtual one at one place, or so near that the square of their distance is zero."""
    inputs = cases(name, SYSTEMS[2:3])[0].inputs()
    inputs["spins"] = np.where(np.arange(len(inputs["spins"]))[:, None] % 2, inputs["spins"], length * inputs["spins"])
    path = DATA / "cases" / name / "model.pt2"
    answers = [dgnn.Model.load(path, dtype="float64", device=where).compute(**inputs, atomic=atomic) for where in ("cuda", "cpu")]
    compare(*answers, figures, f"{name}, spins of {length}")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["dpa3_base", "dpa3_sequential"])
def test_bits_repeat(name, dtype, device):
    """Whatever the order in which threads and blocks run, and in a fresh session."""
    path = DATA / "cases" / name / "model.pt2"
    inputs = cases(name, ["triclinic"])[0].inputs()
    results = []
    for order in (b"f", b"b", b"s", b"f"):
        device.cuda_on_cpu_order(order)
        results.append(dgnn.Model.load(path, dtype=dtype, device="cuda").compute(**inputs, atomic=True))
    for result in results[1:]:
        for quantity in ("energy", "forces", "virial", "atom_virial"):
            assert np.array_equal(getattr(result, quantity), getattr(results[0], quantity)), quantity


@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize("name", ["dpa3_base", "dpa3_sequential", "dpa3_not_smooth"])
def test_chunks_have_the_same_bits(name, atomic, device):
    """However many angles are done at a time: one centre's, some centres', all."""
    inputs = cases(name, ["triclinic"])[0].inputs()
    results, launches = [], []
    for angles in ("1", "1000", "1000000"):
        before = device.cuda_on_cpu_launches(b"repflow_angle_start_f64")
        with environment(DGNN_CUDA_ANGLES=angles):
            model = dgnn.Model.load(DATA / "cases" / name / "model.pt2", device="cuda")
        results.append(model.compute(**inputs, atomic=atomic))
        launches.append(device.cuda_on_cpu_launches(b"repflow_angle_start_f64") - before)
    assert launches[0] > launches[1] > launches[2]
    for result in results[1:]:
        for quantity in ("energy", "forces", "virial") + ("atom_virial",) * atomic:
            assert np.array_equal(getattr(result, quantity), getattr(results[0], quantity)), quantity


@pytest.mark.parametrize("text", ["0", "-1", "x", "1x", "1.5"])
def test_chunks_that_are_none(text, device, base_path):
    with environment(DGNN_CUDA_ANGLES=text), pytest.raises(dgnn.InputError, match=f"DGNN_CUDA_ANGLES: found '{text}'"):
        dgnn.Model.load(base_path, device="cuda")
