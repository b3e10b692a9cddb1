"""Any object for any argument: a result, or an error of a documented class with a message; the model goes on."""

import fractions
import io
import os

import dgnn
import numpy as np
import pytest
from conftest import DATA
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

# Every error of a value is an InputError, which is a dgnn.Error; MemoryError: a count that is a number, but too large. Of
# paths also what Python itself says of files, of things that are no path, and of zero bytes.
DOCUMENTED = (dgnn.Error, MemoryError)
OF_PATHS = (*DOCUMENTED, OSError, TypeError, ValueError)

LIMITS = settings(max_examples=150, deadline=None,
                  suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


class Stubborn:
    """Says it is a number, an array, a sequence and a truth value, and refuses."""

    def refuse(self, *_, **__):
        raise TypeError("no")

    __array__ = __index__ = __int__ = __float__ = __len__ = __iter__ = __getitem__ = __bool__ = __eq__ = refuse
    __hash__ = object.__hash__

    def __repr__(self):
        return "Stubborn()"


class Liar:
    """A sequence whose length is not that of its items."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        if index > 1:
            raise IndexError
        return index


class Text:
    """A path that is none."""

    def __fspath__(self):
        return 3


def odd():
    return st.sampled_from([
        object(), object, len, Stubborn(), Liar(), Text(), {1, 2}, {"a": 1}, {}, range(3), b"O", bytearray(8),
        memoryview(b"12345678"), io.BytesIO(), fractions.Fraction(1, 3), 1j, 2**31, 2**63, 2**64, -(2**63), 10**400, 1e308,
        float("nan"), float("inf"), -0.0, "", "O", "float32", "cpu", "fast", "add", "\0", "é" * 300, np.float16(1),
        np.int8(-1), np.bool_(True), np.datetime64("2020-01-01"), np.ma.masked, np.ma.array([1.0], mask=[1]),
        np.zeros(3, [("x", float)]), np.array([None, object()], object), np.array(["O", "H", "H"]),
        np.broadcast_to(0.0, (3, 3)), np.zeros((0, 3)), np.zeros((3, 0)),
        Ellipsis, NotImplemented, slice(3), dgnn.Border([], [], [], [], []), dgnn.Direct([], [0], [], [0], []),
        dgnn.Border([[0]], [0], [0], [1], [1]), dgnn.Border(3 * [Stubborn()], "x", None, {}, object()),
        dgnn.Direct([0], [0, 1], [0], [0, 1], [3]), dgnn.Direct(None, Stubborn(), 2**70, [[1]], "abc")])


def anything():
    numbers = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), odd())
    arrays = npst.arrays(st.one_of(npst.floating_dtypes(), npst.integer_dtypes(), npst.unsigned_integer_dtypes(),
                                   npst.boolean_dtypes(), npst.complex_number_dtypes(), npst.datetime64_dtypes(),
                                   npst.byte_string_dtypes(max_len=3), npst.unicode_string_dtypes(max_len=3)),
                         npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    lists = st.recursive(numbers, lambda inner: st.one_of(st.lists(inner, max_size=4), st.tuples(inner, inner)),
                         max_leaves=6)
    return st.one_of(numbers, arrays, lists)


def some_of(*names):
    """One to three of the arguments, each any object."""
    return st.dictionaries(st.sampled_from(names), anything(), min_size=1, max_size=3)


@pytest.fixture(scope="module", params=["dpa3_fparam_aparam", "spin_dpa3"])
def good(request):
    """A model, sound arguments and their result."""
    model = dgnn.Model.load(DATA / "cases" / request.param / "model.pt2", threads=1, skin=0)
    coords, types = np.array([[0.0, 0, 0], [0, 0, 1.1], [1, 0, 0.3]]), np.array([0, 1, 1])
    info = model.info()
    given = dict(fparam=np.ones(info["dim_fparam"]), aparam=np.ones((3, info["dim_aparam"])))
    arguments = dict(coords=coords, types=types, spins=np.ones((3, 3))) if model.is_spin else dict(
        coords=coords, types=types, **given)
    return model, arguments, model.compute(**arguments)


def check(good, call, classes=DOCUMENTED):
    """The call, and then the sound one, which must not have changed."""
    model, arguments, expected = good
    try:
        call()
    except classes as error:
        assert str(error)
    result = model.compute(**arguments)
    assert result.energy == expected.energy
    np.testing.assert_array_equal(result.forces, expected.forces)


@LIMITS
@given(changes=some_of("coords", "types", "box", "pbc", "spins", "fparam", "aparam", "charge_spin", "atomic", "comm", "ids",
                       "grid", "replicated"))
def test_compute(good, changes):
    check(good, lambda: good[0].compute(**{**good[1], **changes}))


@LIMITS
@given(changes=some_of("coords", "types", "nlocal", "border", "mapping", "neighbours", "spins", "fparam", "aparam",
                       "charge_spin", "ghost_forces", "atomic", "same_list", "comm"))
@example(changes=dict(nlocal=2**63))
def test_compute_ghosted(good, changes):
    check(good, lambda: good[0].compute_ghosted(**{**good[1], "nlocal": 3, **changes}))


@LIMITS
@given(fields=st.dictionaries(st.sampled_from(["sendlists", "sendproc", "recvproc", "sendnum", "recvnum", "firstrecv"]),
                              anything(), max_size=4))
def test_borders(good, fields):
    """Three owned rows and their images: sound, but for what is put into it."""
    border = dict(sendlists=[[0, 1, 2]], sendproc=[0], recvproc=[0], sendnum=[3], recvnum=[3], firstrecv=[3])
    model, given_ones, _ = good
    rows = {name: np.concatenate([value, value + 20.0 if name == "coords" else value])
            for name, value in given_ones.items() if name in ("coords", "types", "spins")}
    check(good, lambda: model.compute_ghosted(**{**given_ones, **rows}, nlocal=3,
                                              border=dgnn.Border(**{**border, **fields})), (*DOCUMENTED, TypeError))


@LIMITS
@given(changes=some_of("dtype", "threads", "device", "memory", "semantics", "skin", "comm"))
def test_load(base_path, changes):
    try:
        dgnn.Model.load(base_path, **changes).close()
    except DOCUMENTED as error:
        assert str(error)


@LIMITS
@given(path=anything())
@example(path=b"a\0b")
@example(path=os.devnull)
@example(path=".")
@example(path="")
def test_paths(good, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OF_PATHS):
        dgnn.Model.load(path)
    check(good, lambda: good[0].save(path), OF_PATHS)
    for name in os.listdir(tmp_path):
        os.unlink(tmp_path / name)
