"""Each family with intermediates kept and made anew, in float64 and float32: the same numbers. deepmd-kit's numbers are in
tests/parity."""

import dgnn
import numpy as np
import pytest
from conftest import DATA

FAMILIES = ["dpa1_attn2", "dpa1_strip", "dpa2_all_updates", "dpa2_like_medium", "dpa3_charge_spin_default",
            "dpa3_compress_sequential", "hybrid_local", "linear_dpa1", "se_atten_v2", "se_e2_a", "se_e2_a_vector_mean",
            "se_e2_r", "se_e3", "se_e3_tebd", "se_e3_tebd_strip", "spin_dpa3"]


def inputs_of(name):
    with np.load(DATA / "cases" / name / "cases.npz") as file:
        found = {key.split("/")[-1]: file[key] for key in file.files if key.startswith("triclinic/in/")}
    return {dict(coord="coords", type="types", spin="spins").get(key, key): value for key, value in found.items()}


@pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning")
@pytest.mark.parametrize("name", FAMILIES)
def test_modes_agree(name):
    inputs = inputs_of(name)

    def compute(**options):
        model = dgnn.Model.load(DATA / "cases" / name / "model.pt2", threads=2, **options)
        return model.compute(**inputs, atomic=True)

    expected = compute(dtype="float64")
    size = np.abs(expected.forces).max()
    assert size > 1e-4
    for options, tolerance in ((dict(memory="small", dtype="float64"), 1e-12), (dict(dtype="float32"), 1e-4),
                               (dict(memory="small", dtype="float32"), 1e-4)):
        result = compute(**options)
        assert np.abs(result.forces - expected.forces).max() <= tolerance * size, options
        assert np.abs(result.atom_virial - expected.atom_virial).max() <= tolerance * max(1, size), options
        assert abs(result.energy - expected.energy) <= tolerance * len(inputs["types"]), options
    assert not np.array_equal(result.forces, expected.forces)  # float32 was float32
