"""Table C of trust, beyond tests/unit/test_api.py: shapes, layouts of a host's arguments, huge counts, processes and
interpreters."""

import ctypes
import itertools
import pathlib
import subprocess
import sys
import threading
import time

import dgnn
import numpy as np
import pytest
from conftest import DATA
from dgnn import _core

pytestmark = pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning", "ignore::dgnn.SmallSpinWarning")
N = 6


def load(name):
    return dgnn.Model.load(DATA / "cases" / name / "model.pt2", threads=1, skin=0)


@pytest.fixture(scope="module")
def plain():
    """A model, and a host's arguments: a cell's images, brought by one swap for each, and whole lists."""
    model, rng = load("dpa3_fparam_aparam"), np.random.default_rng(2)
    coords = np.array(list(itertools.product(range(3), range(2), [0])), float) * 2 + rng.uniform(0, 0.3, (N, 3))
    shifts = [s for s in itertools.product((-1, 0, 1), repeat=3) if any(s)]
    rows = np.concatenate([coords] + [coords + 11.0 * np.array(s) for s in shifts]).astype(np.float32).astype(float)
    n = len(rows)
    arguments = dict(coords=rows, types=np.tile(np.arange(N) % 2, len(shifts) + 1).astype(np.int32), nlocal=N,
                     mapping=np.tile(np.arange(N), len(shifts) + 1), fparam=np.ones(2), aparam=np.ones((N, 1)),
                     first=(n - 1) * np.arange(N + 1), rows=np.array([j for i in range(N) for j in range(n) if j != i]))
    return model, arguments


@pytest.fixture(scope="module")
def magnetic():
    rng = np.random.default_rng(2)
    return load("spin_dpa3"), dict(coords=rng.random((N, 3)) * 3, types=np.arange(N) % 2,
                                   spins=rng.random((N, 3)).astype(np.float32).astype(float))


def ghosted(model, first, rows, **arguments):
    return model.compute_ghosted(**arguments, neighbours=(first, rows))


def off_by(distance):
    def change(array):
        raw = np.empty(array.nbytes + 16, np.uint8)
        start = distance + (-raw.ctypes.data) % 16
        view = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
        view[...] = array
        return view

    return change


LAYOUTS = {
    "list": lambda a: a.tolist(),
    "fortran": np.asfortranarray,
    "spaced": lambda a: np.repeat(a, 2, axis=0)[::2],
    "columns": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "reversed": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "narrow": lambda a: a.astype(np.float32 if a.dtype.kind == "f" else np.int16),
    "memoryview": lambda a: memoryview(np.ascontiguousarray(a)),
    **{f"off by {k}": off_by(k) for k in range(1, 8)},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(plain, magnetic, layout):
    """The same bits, whatever an argument looks like in memory."""
    model, arguments = plain
    expected = ghosted(model, **arguments)
    assert np.abs(expected.forces).max() > 1e-4
    for name in ("coords", "types", "mapping", "fparam", "aparam", "first", "rows"):
        result = ghosted(model, **{**arguments, name: LAYOUTS[layout](arguments[name])})
        np.testing.assert_array_equal(result.forces, expected.forces)
        assert result.energy == expected.energy
    model, arguments = magnetic
    expected = model.compute(**arguments)
    result = model.compute(**{**arguments, "spins": LAYOUTS[layout](arguments["spins"])})
    np.testing.assert_array_equal(result.forces_mag, expected.forces_mag)


REFUSED = {
    "floats": lambda a: a.astype(float) if a.dtype.kind == "i" else a.astype(complex),
    "truths": lambda a: a.astype(bool),
    "objects": lambda a: a.astype(object),
    "text": lambda a: a.astype(str),
    "masked": lambda a: np.ma.masked_array(a),
    "times": lambda a: np.zeros(a.shape, "m8[s]"),
}


@pytest.mark.parametrize("how", REFUSED)
def test_what_is_refused(plain, magnetic, how):
    model, arguments = plain
    for name in ("coords", "types", "mapping", "fparam", "aparam", "first", "rows"):
        with pytest.raises(dgnn.InputError):
            ghosted(model, **{**arguments, name: REFUSED[how](arguments[name])})
    model, arguments = magnetic
    with pytest.raises(dgnn.InputError, match="spins"):
        model.compute(**{**arguments, "spins": REFUSED[how](arguments["spins"])})


def other_shapes(array):
    """One more and one less on each axis, one axis more and less, nothing."""
    for axis in range(array.ndim):
        yield np.concatenate([array, array.take([0], axis)], axis)
        yield array.take(range(array.shape[axis] - 1), axis)
    yield array[None]
    yield array[..., None]
    yield array.ravel()[0]
    yield array[:0]


def test_shapes(plain, magnetic):
    model, arguments = plain
    expected = ghosted(model, **arguments).energy
    for name in ("types", "mapping", "fparam", "aparam", "first"):
        for value in other_shapes(arguments[name]):
            with pytest.raises(dgnn.InputError):
                ghosted(model, **{**arguments, name: value})
    for value in other_shapes(arguments["coords"]):
        with pytest.raises(dgnn.InputError):
            ghosted(model, **{**arguments, "coords": value})
    assert ghosted(model, **arguments).energy == expected
    model, arguments = magnetic
    for name in arguments:
        for value in other_shapes(arguments[name]):
            if name == "coords" and value.ndim == 3 and value.shape[0] == 1:
                continue  # that is one frame
            with pytest.raises(dgnn.InputError):
                model.compute(**{**arguments, name: value})


# ---------------------------------------------------------------- counts, processes, interpreters


def python(code, *arguments):
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("count", ["2**31 - 1", "2**31", "2**32", "2**32 + 1", "2**58"])
def test_huge_counts(base_path, count):
    """Arrays that say they are huge; the process may have 4 GiB."""
    done = python(
        "import dgnn, numpy as np, resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, -1))\n"
        "model = dgnn.Model.load(sys.argv[1], threads=1)\n"
        f"n = {count}\n"
        "many = lambda value, *shape: np.broadcast_to(value, (n, *shape))\n"
        "for call in (lambda: model.compute(many(0.0, 3), many(np.int32(0))),\n"
        "             lambda: model.compute(many(0.0, 3), [0]), lambda: model.compute([[0, 0, 0]], many(np.int32(0))),\n"
        "             lambda: model.compute_ghosted(many(0.0, 3), many(np.int32(0)), 1),\n"
        "             lambda: model.compute_ghosted([[0, 0, 0]], [0], 1, mapping=many(0)),\n"
        "             lambda: model.compute_ghosted([[0, 0, 0]], [0], 1, neighbours=([0, n], many(0)))):\n"
        "    try:\n        call(); print('taken')\n"
        "    except (dgnn.InputError, MemoryError) as error:\n        print('refused')\n"
        "print(model.compute([[0, 0, 0]], [0]).energy != 0)\n", base_path)
    assert done.stdout.split() == ["refused"] * 6 + ["True"], done.stdout + done.stderr


def test_processes(base_path):
    """Models, results and errors travel, also to processes that are started anew; errors keep their class and errno."""
    done = python(
        "import dgnn, errno, multiprocessing, sys\n"
        "if __name__ == '__main__':\n"
        "    system = [[0, 0, 0], [0, 0, 1.1]], [0, 1]\n"
        "    model = dgnn.Model.load(sys.argv[1], threads=1)\n"
        "    energy = model.compute(*system).energy\n"
        "    for how in ('fork', 'spawn', 'forkserver'):\n"
        "        with multiprocessing.get_context(how).Pool(1) as pool:\n"
        "            assert pool.apply(dgnn.Model.compute, (model, *system)).energy == energy\n"
        "            for arguments, kind, number in ((('none.pt2',), FileNotFoundError, errno.ENOENT),\n"
        "                                            (('.',), OSError, errno.EISDIR),\n"
        "                                            (('/dev/null',), OSError, errno.EINVAL),\n"
        "                                            ((sys.argv[1], 'float16'), dgnn.InputError, None)):\n"
        "                try:\n                    pool.apply(dgnn.Model.load, arguments)\n"
        "                    raise SystemExit('no error')\n"
        "                except kind as error:\n"
        "                    assert getattr(error, 'errno', None) == number, error\n"
        "    print('good')\n", base_path)
    assert done.stdout.strip() == "good", done.stdout + done.stderr


def test_other_interpreters(base_path):
    """An interpreter inside of this one may load dgnn or be refused; neither is harmed, in any order of their ends."""
    for after in ("interpreters.destroy(other)", "pass"):
        done = python(
            "import dgnn, sys\n"
            "try:\n    import _interpreters as interpreters\n"
            "except ImportError:\n    import _xxsubinterpreters as interpreters\n"
            "model = dgnn.Model.load(sys.argv[1], threads=1)\n"
            "energy = lambda: model.compute([[0, 0, 0], [0, 0, 1.1]], [0, 1]).energy\n"
            "before, other = energy(), interpreters.create()\n"
            "try:\n    interpreters.run_string(other, 'import dgnn')\n"
            "except Exception as error:\n    print('refused', file=sys.stderr)\n"
            f"{after}\n"
            "print(energy() == before)\n", base_path)
        assert done.returncode == 0 and done.stdout.strip() == "True", (done.returncode, done.stdout, done.stderr)


# ---------------------------------------------------------------- the interpreter's lock


def counted(call):
    """Processor time of a thread that counts in Python while call() runs, over what call() itself takes: 1 where both go on,
    also on a busy machine, which gives each the same; 0 where the counter waits for the lock."""
    over, began, counter = threading.Event(), threading.Event(), [0.0]

    def count():
        began.set()
        begin = time.thread_time()
        while not over.is_set():
            pass
        counter[0] = time.thread_time() - begin

    thread = threading.Thread(target=count)
    thread.start()
    began.wait()
    begin = time.thread_time()
    call()
    mine = time.thread_time() - begin
    over.set()
    thread.join()
    return counter[0] / mine


def test_others_go_on():
    """Python code of another thread has 90 % of what it would have alone while a model computes: in one of ten tries, as the
    scheduler may prefer either; one that keeps the lock is found."""
    rng = np.random.default_rng(0)
    model, coords, types, box = load("dpa3_base"), rng.random((900, 3)) * 21, rng.integers(0, 2, 900), np.eye(3) * 21
    model.compute(coords, types, box)
    shares = []
    while len(shares) < 10 and max(shares, default=0) < 0.9:
        shares.append(counted(lambda: [model.compute(coords, types, box) for _ in range(3)]))
    assert shares[-1] >= 0.9, shares
    assert min(counted(lambda: sum(range(10_000_000))) for _ in range(3)) < 0.5


def slots(module):
    """Numbers of the slots that a module's definition declares."""
    class Slot(ctypes.Structure):
        _fields_ = [("number", ctypes.c_int), ("value", ctypes.c_void_p)]

    get = ctypes.pythonapi.PyModule_GetDef
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object]
    place = get(module) + object.__basicsize__ + 7 * ctypes.sizeof(ctypes.c_void_p)  # m_slots
    slot = ctypes.cast(ctypes.c_void_p.from_address(place).value, ctypes.POINTER(Slot))
    return [slot[k].number for k in itertools.takewhile(lambda k: slot[k].number, itertools.count())]


def test_free_threaded_interpreters():
    """No module says that it needs no lock (slot 4, Py_mod_gil): a free-threaded interpreter turns its own on."""
    assert slots(_core)[0] == 2  # Py_mod_exec
    assert 4 not in slots(_core)
    for source in (pathlib.Path(__file__).resolve().parents[2] / "csrc" / "bind").rglob("*.c"):
        assert "Py_mod_gil" not in source.read_text() and "PyUnstable_Module_SetGIL" not in source.read_text()
    assert getattr(sys, "_is_gil_enabled", lambda: True)()
