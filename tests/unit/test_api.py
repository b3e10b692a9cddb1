"""The arguments of the Python interface: what is taken, what is refused and how."""

import dgnn
import numpy as np
import pytest
from api_case import base, load_case, same_bits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

ERRORS = (dgnn.InputError,)


@pytest.fixture(scope="module")
def with_parameters():
    model, inputs = load_case("dpa3_fparam_aparam")
    for name in ("fparam", "aparam"):
        inputs[name] = inputs[name].astype(np.float32).astype(float)
    return model, inputs


@pytest.fixture(scope="module")
def with_charge():
    return load_case("dpa3_charge_spin")


def fixture_of(request, argument):
    return request.getfixturevalue({"fparam": "with_parameters", "aparam": "with_parameters",
                                    "charge_spin": "with_charge"}.get(argument, "base"))


# ---------------------------------------------------------------- what is taken


def spaced(array):
    wide = np.full([2 * length for length in array.shape], 77, array.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in array.shape)]
    view[...] = array
    return view


def reversed_storage(array):
    return np.ascontiguousarray(array[::-1])[::-1]


def misaligned(array):
    raw = np.empty(array.nbytes + 16, np.uint8)
    start = 1 + (-raw.ctypes.data) % 8
    view = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    view[...] = array
    assert array.dtype.itemsize == 1 or not view.flags.aligned
    return view


def read_only(array):
    copy = array.copy()
    copy.flags.writeable = False
    return copy


class Subclass(np.ndarray):
    pass


LAYOUTS = {
    "list": lambda a: a.tolist(),
    "tuple": lambda a: tuple(map(tuple, a.tolist())) if a.ndim == 2 else tuple(a.tolist()),
    "fortran": np.asfortranarray,
    "spaced": spaced,
    "reversed": reversed_storage,
    "misaligned": misaligned,
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "read-only": read_only,
    "memoryview": lambda a: memoryview(np.ascontiguousarray(a)),
    "subclass": lambda a: a.view(Subclass),
}
FLOATS = {"float32": np.float32, "longdouble": np.longdouble}
INTEGERS = {"int8": np.int8, "uint8": np.uint8, "int32": np.int32, "uint32": np.uint32, "int64": np.int64,
            "uint64": np.uint64}
ARGUMENTS = ["coords", "types", "box", "fparam", "aparam", "charge_spin", "ids"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("argument", ARGUMENTS)
def test_layouts_are_taken(request, argument, layout):
    model, inputs = fixture_of(request, argument)
    expected = model.compute(**inputs)
    same_bits(model.compute(**{**inputs, argument: LAYOUTS[layout](inputs[argument])}), expected)


@pytest.mark.parametrize("argument,dtype", [
    *[(argument, dtype) for argument in ("coords", "box", "fparam", "aparam", "charge_spin") for dtype in FLOATS],
    *[(argument, dtype) for argument in ("types", "ids") for dtype in INTEGERS],
])
def test_dtypes_are_taken(request, argument, dtype):
    model, inputs = fixture_of(request, argument)
    expected = model.compute(**inputs)
    value = inputs[argument].astype({**FLOATS, **INTEGERS}[dtype])
    same_bits(model.compute(**{**inputs, argument: value}), expected)


def test_integer_box_and_coordinates(base):
    model, _ = base
    coords, box = np.array([[0, 0, 0], [1, 1, 0], [0, 1, 1]]), np.diag([9, 9, 9])
    same_bits(model.compute(coords, [0, 1, 1], box), model.compute(coords.astype(float), [0, 1, 1], box.astype(float)))


def test_symbols(base):
    model, inputs = base
    symbols = [model.type_map[k] for k in inputs["types"]]
    expected = model.compute(**inputs)
    same_bits(model.compute(**{**inputs, "types": symbols}), expected)
    same_bits(model.compute(**{**inputs, "types": np.array(symbols)}), expected)


def test_inputs_are_not_written_to(base):
    model, inputs = base
    copies = {name: value.copy() for name, value in inputs.items()}
    model.compute(**inputs, atomic=True)
    for name, value in inputs.items():
        np.testing.assert_array_equal(value, copies[name])


def test_results_are_float64_and_our_own(base):
    model, inputs = base
    first = model.compute(**inputs, atomic=True)
    forces = first.forces.copy()
    second = model.compute(**{**inputs, "coords": inputs["coords"] + 0.01 * np.arange(len(inputs["types"]))[:, None]})
    assert not np.array_equal(second.forces, forces)
    np.testing.assert_array_equal(first.forces, forces)
    for name, shape in dict(forces=(32, 3), virial=(3, 3), atom_energy=(32,), atom_virial=(32, 3, 3)).items():
        value = getattr(first, name)
        assert value.dtype == np.float64 and value.shape == shape and value.flags.owndata
    assert isinstance(first.energy, float) and first.forces_mag is None and second.atom_virial is None


# ---------------------------------------------------------------- what is refused

WRONG = {
    "bool": lambda a: np.ones(a.shape, bool),
    "complex": lambda a: a.astype(complex),
    "object": lambda a: a.astype(object),
    "bytes": lambda a: b"abc",
    "masked": lambda a: np.ma.masked_array(a, mask=np.zeros(a.shape)),
    "0-d": lambda a: np.array(1.0),
    "dict": lambda a: {"a": 1},
    "datetime": lambda a: np.zeros(a.shape, "M8[s]"),
    "structured": lambda a: np.zeros(a.shape, [("x", float)]),
    "ragged": lambda a: [[1.0, 2.0, 3.0], [1.0]],
    "one axis more": lambda a: a[None, None],
    "one too many": lambda a: np.concatenate([a, a[:1]]),
    "one too few": lambda a: a[:-1],
}


@pytest.mark.parametrize("how", WRONG)
@pytest.mark.parametrize("argument", ARGUMENTS)
def test_wrong_arrays_are_refused(request, argument, how):
    if how == "0-d" and argument == "fparam":
        how = "bytes"  # one number may stand for a row of one; the model says that it wants two
    if how in ("one too many", "one too few") and argument == "coords":
        argument = "types"  # it is the types that do not fit the coordinates
    model, inputs = fixture_of(request, argument)
    with pytest.raises(ERRORS, match=argument) as caught:
        model.compute(**{**inputs, argument: WRONG[how](inputs[argument])})
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, dgnn.Error)
    assert "\n" not in str(caught.value)
    same_bits(model.compute(**inputs), model.compute(**inputs))  # the model is still usable


@pytest.mark.parametrize("argument", ["types", "ids"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_floats_are_no_integers(base, argument, dtype):
    model, inputs = base
    with pytest.raises(dgnn.InputError, match=f"{argument}: expected integers, found dtype float"):
        model.compute(**{**inputs, argument: inputs[argument].astype(dtype)})


@pytest.mark.parametrize("bad", [-2, 2, 2**31 - 1, 2**31, 2**32, -(2**31) - 1, 2**63 - 1, -(2**63)])
def test_types_out_of_range(base, bad):
    """2**32 would be type 0 where 64 bits are cut to 32."""
    model, inputs = base
    types = inputs["types"].astype(np.int64)
    types[3] = bad
    with pytest.raises(dgnn.InputError, match="types.*3"):
        model.compute(**{**inputs, "types": types})
    types = types.astype(object)
    types[3] = 2**70
    with pytest.raises(dgnn.InputError, match="types"):
        model.compute(**{**inputs, "types": types.tolist()})


def test_unsigned_types_out_of_range(base):
    model, inputs = base
    types = inputs["types"].astype(np.uint64)
    types[3] = 2**64 - 1
    with pytest.raises(dgnn.InputError, match="types.*element 3"):
        model.compute(**{**inputs, "types": types})


@pytest.mark.parametrize("argument", ["coords", "box"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite(base, argument, bad):
    model, inputs = base
    value = inputs[argument].copy()
    value[1, 2] = bad
    with pytest.raises(dgnn.InputError, match=argument):
        model.compute(**{**inputs, argument: value})


def test_huge_counts_fail_before_they_are_allocated(base):
    model, _ = base
    coords = np.broadcast_to(np.zeros(3), (2**44, 3))
    with pytest.raises(MemoryError):
        model.compute(coords, np.broadcast_to(np.int32(0), (2**44,)))


@pytest.mark.parametrize("box", [np.zeros((3, 3)), np.array([[1, 0, 0], [2, 0, 0], [0, 0, 1]])])
def test_singular_box(base, box):
    model, _ = base
    with pytest.raises(dgnn.InputError, match="box"):
        model.compute(np.zeros((1, 3)), [0], box)


@pytest.mark.parametrize("arguments,message", [
    (dict(pbc=(1, 1)), "pbc: expected True, False or three"),
    (dict(pbc=2), "pbc: expected True, False or three"),
    (dict(pbc="xyz"), "pbc: expected True, False or three"),
    (dict(pbc=True, box=None), "pbc: periodic directions need a box"),
    (dict(grid=(1, 1)), "grid: expected three numbers"),
    (dict(grid=(1, 0, 1)), "grid: expected three numbers"),
    (dict(grid=(2, 1, 1)), "grid: 2 x 1 x 1 ranks need a communicator"),
    (dict(atomic="yes"), "atomic: expected True or False"),
    (dict(replicated=3), "replicated: expected True or False"),
    (dict(types="OHH"), "types: expected one for each atom"),
    (dict(types=["O"] * 31 + ["S"]), "the model knows O, H; found S"),
    (dict(coords=None), "coords: expected an array, found None"),
    (dict(spins=np.zeros((32, 3))), "spins"),
    (dict(fparam=[1.0, 2.0]), "fparam"),
    (dict(aparam=np.zeros((32, 1))), "aparam"),
])
def test_messages(base, arguments, message):
    model, inputs = base
    with pytest.raises(dgnn.InputError, match=message):
        model.compute(**{**inputs, **arguments})


def test_shape_messages(base):
    model, inputs = base
    for value, found in [(np.zeros((4, 2)), r"\(4, 2\)"), (np.zeros(6), r"\(6,\)"), (np.zeros((2, 2, 4, 3)), "found")]:
        with pytest.raises(dgnn.InputError, match=r"coords: expected shape \(natoms, 3\), found " + found.lstrip("found")):
            model.compute(value, [0])
    with pytest.raises(dgnn.InputError, match=r"types: expected shape \(32,\).*found \(31,\)"):
        model.compute(**{**inputs, "types": inputs["types"][:-1]})
    with pytest.raises(dgnn.InputError, match=r"box: expected shape \(3, 3\).*found \(9,\)"):
        model.compute(**{**inputs, "box": inputs["box"].ravel()})


@pytest.mark.parametrize("call,message", [
    (lambda m: m.compute([[0, 0, 0]], [0], boxx=1), "Model.compute.. has no keyword 'boxx'; did you mean 'box'"),
    (lambda m: m.compute([[0, 0, 0]], [0], charge_spins=1), "did you mean 'charge_spin'"),
    (lambda m: m.compute_ghosted([[0, 0, 0]], [0], 1, boarder=1), "did you mean 'border'"),
    (lambda m: dgnn.Model.load(m.path, memmory="fast"), "did you mean 'memory'"),
    (lambda m: m.compute([[0, 0, 0]], [0], qqq=1), "there are coords, types, box"),
])
def test_unknown_keywords(base, call, message):
    with pytest.raises(TypeError, match=message):
        call(base[0])


@pytest.mark.parametrize("options,message", [
    (dict(dtype="float16"), "dtype: found 'float16'"),
    (dict(dtype=np.int32), "dtype: found 'int32'"),
    (dict(dtype=object()), "dtype"),
    (dict(threads=0), "threads: expected 1 to 1024"),
    (dict(threads=4096), "threads: expected 1 to 1024"),
    (dict(threads=1.5), "threads: expected an integer"),
    (dict(skin=-0.1), "skin: expected 0 to 100 Å"),
    (dict(skin=1e300), "skin: expected 0 to 100 Å"),
    (dict(skin=float("nan")), "skin: expected 0 to 100 Å"),
    (dict(skin="thick"), "skin: expected a number"),
    (dict(memory="tiny"), "memory: found 'tiny'"),
    (dict(semantics="sparse"), "semantics: found 'sparse'"),
    (dict(device="tpu"), "device: found 'tpu'; expected 'cpu', 'cuda', 'cuda:N' or 'auto'"),
    (dict(device=0), "device: expected 'cpu', 'cuda', 'cuda:N', 'auto' or None, found 0"),
    (dict(device="cuda\0"), "device: found"),
])
def test_load_options(base_path, options, message):
    with pytest.raises(dgnn.InputError, match=message):
        dgnn.Model.load(base_path, **options)


def test_dtype_objects_are_taken(base_path):
    for dtype in (np.float32, np.dtype("float32"), "float32"):
        assert dgnn.Model.load(base_path, dtype=dtype).dtype == "float32"


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=npst.arrays(dtype=st.one_of(npst.floating_dtypes(), npst.integer_dtypes(), npst.boolean_dtypes(),
                                         npst.complex_number_dtypes(), npst.unicode_string_dtypes(max_len=2)),
                         shape=npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)),
       argument=st.sampled_from(["coords", "types", "box", "spins", "fparam", "aparam", "charge_spin", "ids"]))
def test_any_array_is_taken_or_refused(base, value, argument):
    """Whatever it is: a result of the right shape, or an InputError; the model goes on."""
    model, inputs = base
    arguments = {**{name: inputs[name][:3] for name in ("coords", "types", "ids")}, "box": inputs["box"]}
    try:
        result = model.compute(**{**arguments, argument: value})
    except dgnn.InputError as error:
        assert str(error)
    else:
        assert np.all(np.isfinite(result.forces)) and result.forces.shape[-1] == 3


# ---------------------------------------------------------------- frames


def test_frames(base):
    model, inputs = base
    rng = np.random.default_rng(1)
    coords = inputs["coords"] + 0.05 * rng.standard_normal((3, 32, 3))
    boxes = inputs["box"] * (1 + 0.01 * np.arange(3))[:, None, None]
    for box, box_of in [(inputs["box"], lambda k: inputs["box"]), (boxes, lambda k: boxes[k]), (None, lambda k: None)]:
        result = model.compute(coords, inputs["types"], box, atomic=True)
        assert result.energy.shape == (3,) and result.atom_virial.shape == (3, 32, 3, 3)
        for k in range(3):
            one = model.compute(coords[k], inputs["types"], box_of(k), atomic=True)
            for name in ("energy", "forces", "virial", "atom_energy", "atom_virial"):
                np.testing.assert_array_equal(getattr(result, name)[k], getattr(one, name))
    assert len({*result.energy}) == 3


def test_frames_of_parameters(with_parameters):
    model, inputs = with_parameters
    n = len(inputs["types"])
    coords = np.stack([inputs["coords"]] * 2)
    fparam = np.stack([inputs["fparam"], inputs["fparam"] + 0.5])
    aparam = np.stack([inputs["aparam"], inputs["aparam"] - 0.25])
    result = model.compute(coords, inputs["types"], inputs["box"], fparam=fparam, aparam=aparam)
    for k in range(2):
        one = model.compute(**{**inputs, "fparam": fparam[k], "aparam": aparam[k]})
        np.testing.assert_array_equal(result.forces[k], one.forces)
    shared = model.compute(coords, inputs["types"], inputs["box"], fparam=fparam[0], aparam=aparam[0])
    np.testing.assert_array_equal(shared.forces[0], shared.forces[1])
    assert np.abs(result.energy[0] - result.energy[1]) > 1e-6
    # one number for each atom stands for a column
    same_bits(model.compute(**{**inputs, "aparam": inputs["aparam"].reshape(n)}), model.compute(**inputs))


def test_wrong_number_of_frames(base):
    model, inputs = base
    with pytest.raises(dgnn.InputError, match="box: expected 2 frames as in coords"):
        model.compute(np.stack([inputs["coords"]] * 2), inputs["types"], np.stack([inputs["box"]] * 3))


def test_no_atoms_and_no_frames(base):
    model, inputs = base
    for coords, types in [([], []), (np.zeros((0, 3)), np.zeros(0, int))]:
        result = model.compute(coords, types, inputs["box"])
        assert result.energy == 0 and result.forces.shape == (0, 3) and not result.virial.any()
    empty = model.compute(np.zeros((0, 4, 3)), [0] * 4, inputs["box"], atomic=True)
    assert empty.energy.shape == (0,) and empty.forces.shape == (0, 4, 3) and empty.atom_virial.shape == (0, 4, 3, 3)


def test_symbols_in_an_array_of_objects(base):
    """As pandas keeps them."""
    model, inputs = base
    symbols = np.array([model.type_map[k] for k in inputs["types"]], dtype=object)
    same_bits(model.compute(**{**inputs, "types": symbols}), model.compute(**inputs))
    for wrong in (symbols.tolist()[:-1] + [1], symbols.tolist()[:-1] + [None]):
        with pytest.raises(dgnn.InputError, match="types: "):
            model.compute(**{**inputs, "types": np.array(wrong, dtype=object)})
