"""A model in threads, processes, pickles and other interpreters, without memory, after its end; what an import brings."""

import gc
import inspect
import os
import pickle
import re
import shutil
import subprocess
import sys
import threading
import time

import dgnn
import numpy as np
import pytest
from api_case import base, same_bits
from dgnn import _core


def test_input_is_a_snapshot(base):
    """Another thread may write to the caller's arrays while the core computes."""
    model, inputs = base
    expected = model.compute(**inputs)
    coords = inputs["coords"].copy()
    stop = threading.Event()

    def scribble():
        while not stop.is_set():
            coords[:] = np.nan
            coords[:] = inputs["coords"]

    results = []
    for _ in range(3):
        mine = inputs["coords"].copy()
        thread = threading.Thread(target=lambda: results.append(model.compute(**{**inputs, "coords": mine})))
        thread.start()
        while thread.is_alive() and not results:
            time.sleep(0.0005)
            if not thread.is_alive():
                break
        thread.join()
    scribbler = threading.Thread(target=scribble)
    scribbler.start()
    stop.set()
    scribbler.join()
    for result in results:
        same_bits(result, expected)


def test_one_model_in_many_threads(base):
    """At the same time, each with a session of its own."""
    model, inputs = base
    expected = model.compute(**inputs)
    outcomes = []

    def work():
        for _ in range(5):
            outcomes.append(np.array_equal(model.compute(**inputs).forces, expected.forces))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [True] * 40


def test_a_call_in_the_arguments_of_another(base):
    """An argument that computes with the same model, in the same thread, doesn't wait for itself."""
    model, inputs = base
    expected = model.compute(**inputs)

    class Coords:
        def __array__(self, *args, **kwargs):
            same_bits(model.compute(**inputs), expected)
            return np.array(inputs["coords"])

    same_bits(model.compute(**{**inputs, "coords": Coords()}), expected)
    model._core.compute(**{**dict.fromkeys(("box", "spins", "fparam", "aparam", "charge_spin", "ids", "comm")), **inputs,
                           "coords": Coords(), "pbc": (1, 1, 1), "grid": (0, 0, 0), "replicated": False, "atomic": False})


@pytest.mark.parametrize("options,advice", [
    ({}, 'memory="small", dtype="float32", more ranks: each needs less'),
    ({"memory": "small"}, 'dtype="float32", more ranks: each needs less'),
    ({"memory": "small", "dtype": "float32"}, "more ranks: each needs less"),
])
def test_out_of_memory_says_what_helps(base_path, options, advice):
    model = dgnn.Model.load(base_path, **options)
    dgnn._core._alloc_fail_at(1, True)
    try:
        with pytest.raises(MemoryError, match=re.escape(f"; {advice}") + "$"):
            model.compute([[0.0, 0, 0], [0, 0, 1.1]], [0, 1])
    finally:
        dgnn._core._alloc_fail_at(0)


def test_sheared_cells(base_path):
    """The same lattice in vectors up to ten million Å long, periodic along all or two of them."""
    model = dgnn.Model.load(base_path, threads=1)
    rng = np.random.default_rng(3)
    coords, types, box = rng.random((20, 3)) * 6, rng.integers(0, 2, 20), np.array([[6.5, 0, 0], [1.25, 6, 0], [-0.5, 1, 7]])
    for pbc in (True, (1, 1, 0)):
        plain = model.compute(coords, types, box, pbc=pbc, atomic=True)
        for shears in ([[1, 0, 0], [10001, 1, 0], [0, 0, 1]], [[1, 0, 0], [10001, 1, 0], [700000, 1234, 1]],
                       [[1, 0, 0], [10**5 + 1, 1, 0], [3, 1000, 1]], [[1, 0, 0], [9999, 1, 0], [9999 * 999, 999, 1]]):
            result = model.compute(coords, types, np.array(shears) @ box, pbc=pbc, atomic=True)
            assert result.energy == pytest.approx(plain.energy, abs=1e-9) and result.nedges == plain.nedges
            np.testing.assert_allclose(result.forces, plain.forces, atol=1e-8)
            np.testing.assert_allclose(result.virial, plain.virial, atol=1e-8)
            np.testing.assert_allclose(result.atom_virial, plain.atom_virial, atol=1e-8)
    with pytest.raises(dgnn.InputError, match="box is singular"):
        model.compute(coords, types, [[1 / 3, 0, 0], [1e5 / 3, 1e-12, 0], [0, 0, 1e4]])


def test_limits_of_options(base_path):
    """The same in Python and the core, which names the option too."""
    for name, good in (("threads", 1024), ("skin", 100)):
        assert dgnn.Model.load(base_path, **{name: good}).info()[name] == good
    for options, message in (((0, 0, 0, 4096, -1.0, "cpu"), "threads: found 4096; expected 0 to 1024"),
                             ((0, 0, 0, 1, 100.5, "cpu"), "skin: found 100.5; expected 0 to 100")):
        with pytest.raises(dgnn.InputError, match=f"^{message}"):
            _core.load(str(base_path), options)


def test_submodules_need_no_import():
    """As docs/ranks.md writes it."""
    code = ("import dgnn, sys\nassert 'dgnn.communicators' not in sys.modules and not hasattr(dgnn, 'nothing')\n"
            "dgnn.communicators.DEADLINE = 7.0\nfrom dgnn import communicators\nprint(communicators.DEADLINE, dgnn.testing.run_mpi)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("7.0 <function run_mpi"), done.stderr


def test_a_checkout_without_a_build(tmp_path):
    shutil.copytree(os.path.dirname(dgnn.__file__), tmp_path / "dgnn", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    done = subprocess.run([sys.executable, "-S", "-c", "import dgnn"], cwd=tmp_path, capture_output=True, text=True, timeout=60,
                          env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"})
    assert done.returncode == 1 and "dgnn's C core is not built for this Python" in done.stderr and "make build" in done.stderr


def test_the_interpreter_goes_on(base_path):
    """Another thread of Python runs while the core computes."""
    model = dgnn.Model.load(base_path, threads=1, skin=0)
    rng = np.random.default_rng(0)
    n = 600
    coords, types = rng.random((n, 3)) * 20, rng.integers(0, 2, n)
    counter, stop = [0], threading.Event()

    def count():
        while not stop.is_set():
            counter[0] += 1

    thread = threading.Thread(target=count)
    thread.start()
    time.sleep(0.05)
    before, start = counter[0], time.perf_counter()
    for _ in range(3):
        model.compute(coords, types, np.eye(3) * 20)
    during, spent = counter[0] - before, time.perf_counter() - start
    stop.set()
    thread.join()
    assert spent > 0.002, "too short to say anything"
    assert during / spent > 1e5  # a loop of Python counts millions a second, and some hundreds behind a held lock


def test_fork(base_path):
    """A child of fork computes with a model that its parent loaded and used, with one thread."""
    code = (
        "import dgnn, numpy, os, sys\n"
        f"model = dgnn.Model.load({str(base_path)!r}, threads=1)\n"
        "call = lambda: model.compute([[0.0, 0, 0], [0, 0, 1.1]], [0, 1]).energy\n"
        "energy = call()\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    os._exit(0 if call() == energy else 1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_models_and_errors_can_be_pickled(base):
    model, inputs = base
    copy = pickle.loads(pickle.dumps(model))
    same_bits(copy.compute(**inputs), model.compute(**inputs))
    for kind in (dgnn.Error, dgnn.InputError, dgnn.ModelFormatError, dgnn.UnsupportedModelError, dgnn.CommError,
                 dgnn.BusyError):
        again = pickle.loads(pickle.dumps(kind("what")))
        assert type(again) is kind and str(again) == "what"


def test_a_pickle_of_another_model_is_refused(data, tmp_path, monkeypatch):
    """It holds the file's place and the model's digest."""
    monkeypatch.chdir(tmp_path)
    names = ["dpa3_base", "dpa3_f32"]
    models = [(data / "cases" / name / "model.pt2").read_bytes() for name in names]
    (tmp_path / "model.pt2").write_bytes(models[0])
    pickled = pickle.dumps(dgnn.Model.load("model.pt2", dtype="float32"))
    monkeypatch.chdir("/")
    assert pickle.loads(pickled).dtype == "float32"
    (tmp_path / "model.pt2").write_bytes(models[1])
    with pytest.raises(dgnn.InputError, match="model.pt2: holds another model than when this one was pickled"):
        pickle.loads(pickled)


def test_errors_are_their_builtins_too():
    for kind, builtin in [(dgnn.InputError, ValueError), (dgnn.ModelFormatError, ValueError),
                          (dgnn.UnsupportedModelError, NotImplementedError), (dgnn.CommError, RuntimeError),
                          (dgnn.BusyError, RuntimeError)]:
        assert issubclass(kind, builtin) and issubclass(kind, dgnn.Error) and kind.__module__ == "dgnn"


def test_nothing_leaks(base):
    model, inputs = base

    def good():
        model.compute(**inputs, atomic=True)

    def bad(**wrong):
        with pytest.raises((dgnn.Error, TypeError)):
            model.compute(**{**inputs, **wrong})

    def work(count):
        for _ in range(count):
            good()
            bad(coords=np.zeros((3, 2)))
            bad(types=inputs["types"][:-1])
            bad(types=np.full(32, 9))
            bad(box=np.zeros((3, 3)))
            bad(boxx=1)
            with pytest.raises(OSError):
                dgnn.Model.load("absent.pt2")

    work(5)
    time.sleep(1.1)  # sessions that earlier tests' threads used go in a call, once none has used them for a second
    work(1)
    gc.collect()
    blocks, live = sys.getallocatedblocks(), _core._alloc_live()
    work(40)
    gc.collect()
    assert _core._alloc_live() == live
    assert abs(sys.getallocatedblocks() - blocks) < 200


@pytest.mark.parametrize("skin", [0, None])
def test_second_call_allocates_nothing(base, skin):
    inputs = base[1]
    model = dgnn.Model.load(base[0].path, threads=1, skin=skin)
    model.compute(**inputs)
    before = _core._alloc_count()
    model.compute(**inputs)
    assert _core._alloc_count() == before


@pytest.mark.parametrize("persistent", [False, True])
def test_every_allocation_of_loading_may_fail(base_path, persistent, no_collection):
    """Each in turn: MemoryError, and nothing leaked."""
    live = _core._alloc_live()
    for nth in range(1, 100_000):
        _core._alloc_fail_at(nth, persistent)
        try:
            model = dgnn.Model.load(base_path, threads=1)
        except MemoryError as error:
            assert str(error)
        else:
            break
        finally:
            _core._alloc_fail_at(0)
        assert _core._alloc_live() == live, f"allocation {nth}"
    assert nth > 1
    model.close()
    assert _core._alloc_live() == live


@pytest.mark.parametrize("persistent", [False, True])
def test_every_allocation_of_a_call_may_fail(base, persistent):
    model, inputs = base
    expected = model.compute(**inputs)
    fresh = pickle.loads(pickle.dumps(model))
    for nth in range(1, 10_000):
        _core._alloc_fail_at(nth, persistent)
        try:
            result = fresh.compute(**inputs)
        except MemoryError:
            continue
        finally:
            _core._alloc_fail_at(0)
        break
    assert nth > 1
    same_bits(result, expected)


def test_closed_model(base_path):
    model = dgnn.Model.load(base_path)
    model.close()
    model.close()
    with pytest.raises(dgnn.InputError, match="closed"):
        model.compute([[0.0, 0, 0]], [0])
    with pytest.raises(dgnn.InputError, match="closed"):
        model.info()


def test_a_model_in_a_with_block(base):
    model, inputs = base
    with dgnn.Model.load(**{"path": model.path, **model._options}) as again:
        same_bits(again.compute(**inputs), model.compute(**inputs))
    with pytest.raises(dgnn.InputError, match="closed"):
        again.compute(**inputs)


def test_made_by_load_only(base_path):
    with pytest.raises(TypeError, match="a model is made by Model.load"):
        dgnn.Model(base_path)


def test_results_are_compared_as_objects(base):
    model, inputs = base
    one, other = model.compute(**inputs), model.compute(**inputs)
    assert one == one and one != other and len({one, other}) == 2


# ---------------------------------------------------------------- the module


def test_import_is_quick_and_alone():
    """No optional package is imported, and no MPI."""
    code = ("import sys, dgnn\n"
            "print([name for name in ('ase', 'mpi4py', 'h5py', 'yaml', 'tqdm', 'matplotlib', 'scipy', 'torch', "
            "'argparse') if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    own = []
    for _ in range(3):  # the machine may be busy
        timing = subprocess.run([sys.executable, "-X", "importtime", "-c", "import numpy, dgnn"], capture_output=True,
                                text=True, check=True).stderr
        own += [int(line.split("|")[1]) for line in timing.splitlines() if line.split("|")[-1].strip() == "dgnn"]
    assert len(own) == 3 and min(own) < 100_000  # microseconds, numpy aside


def test_info(base_path):
    model = dgnn.Model.load(base_path)
    info = model.info()
    assert {"type_map", "cutoff", "dtype", "semantics", "has_message_passing", "has_message_passing_across_ranks",
            "is_spin", "dim_fparam", "dim_aparam", "dim_charge_spin", "has_default_fparam", "has_default_charge_spin",
            "parameters", "instruction_set", "threads", "memory", "descriptor", "archive", "notes"} <= set(info)
    assert model.type_map == info["type_map"] == ["O", "H"]
    assert model.cutoff == 5.0 and model.dtype == "float64"
    assert model.has_message_passing is True and model.is_spin is False
    assert info["descriptor"]["type"] == "dpa3"
    assert "O H" in repr(model)


def test_public_names():
    assert set(dgnn.__all__) == {"Border", "BusyError", "CommError", "Committee", "Direct", "Error", "InputError", "Model",
                                 "ModelFormatError", "Result", "SmallSpinWarning", "TruncationWarning",
                                 "UnsupportedModelError", "UntrainedElementWarning", "__version__", "heads", "heat_flux"}
    assert list(inspect.signature(dgnn.Model.load).parameters) == [
        "path", "dtype", "threads", "device", "memory", "semantics", "skin", "comm", "head", "radial", "compressed"]
    assert list(inspect.signature(dgnn.Model.save).parameters)[1:] == ["path", "comm"]
    assert list(inspect.signature(dgnn.Model.compute).parameters)[1:] == [
        "coords", "types", "box", "pbc", "spins", "fparam", "aparam", "charge_spin", "atomic", "comm", "ids", "grid",
        "replicated", "derivatives"]
    assert list(inspect.signature(dgnn.Model.compute_ghosted).parameters)[1:] == [
        "coords", "types", "nlocal", "border", "mapping", "neighbours", "spins", "fparam", "aparam", "charge_spin",
        "ghost_forces", "atomic", "same_list", "features", "comm", "derivatives"]
    assert dgnn.__version__ == _core.version
