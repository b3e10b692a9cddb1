"""compute_many: the numbers of compute, in order, whatever the mixture; errors; threads."""

import subprocess
import sys

import numpy as np
import pytest

import dgnn
from dgnn import many

pytestmark = pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning")


def water(n, seed, length=9.0):
    rng = np.random.default_rng(seed)
    return dict(coords=rng.random((n, 3)) * length, types=rng.integers(0, 2, n), box=np.diag([length, length + 1, length + 2]))


def mixture():
    from ase.build import molecule

    cluster = {key: value for key, value in water(7, 1, 5.0).items() if key != "box"}
    empty = dict(coords=np.zeros((0, 3)), types=np.zeros(0, int))
    return [water(12, 2), cluster, molecule("H2O"), water(30, 3), {**water(8, 4), "atomic": True}, empty, water(12, 5),
            {**water(9, 6), "types": np.array([-1, 0, 1] * 3)}, {**water(5, 7), "types": ["O", "H", "H", "O", "H"]}]


def same(one, other):
    return one.energy == other.energy and (one.forces == other.forces).all() and (one.virial == other.virial).all()


@pytest.mark.parametrize("threads", [None, 1, 2, 5])
@pytest.mark.parametrize("large", [1000, 20])
def test_the_bits_of_compute(base_path, threads, large, monkeypatch):
    monkeypatch.setattr(many, "LARGE", large)
    model = dgnn.Model.load(base_path, threads=3, skin=0.0)
    structures = mixture()
    found = model.compute_many(structures, threads=threads)
    reader = many.Reader(model)
    for structure, result in zip(structures, found, strict=True):
        assert same(result, model.compute(**reader.arguments(structure)))
    assert found[4].atom_virial.shape == (8, 3, 3) and found[0].atom_virial is None


def test_no_structures(base_path):
    assert dgnn.Model.load(base_path).compute_many([]) == []


@pytest.mark.parametrize("threads", [1, 2])
def test_errors_are_raised_or_returned(base_path, threads):
    model = dgnn.Model.load(base_path)
    structures = [water(5, k) for k in range(12)]
    structures[7] = {**structures[7], "coords": np.full((5, 3), np.nan)}
    structures[9] = {**structures[9], "types": [0, 1, 2, 0, 1]}
    with pytest.raises(dgnn.InputError, match=r"structure [79]: (coords|types)"):
        model.compute_many(structures, threads=threads)
    found = model.compute_many(structures, threads=threads, errors="return")
    assert isinstance(found[7], dgnn.InputError) and isinstance(found[9], dgnn.InputError)
    assert all(same(found[k], model.compute(**structures[k])) for k in (0, 6, 8, 11))


def test_mistakes_are_named(base_path):
    model = dgnn.Model.load(base_path)
    with pytest.raises(dgnn.InputError, match="errors: expected 'raise' or 'return'"):
        model.compute_many([], errors="ignore")
    with pytest.raises(dgnn.InputError, match="threads: expected 1 to 1024"):
        model.compute_many([], threads=0)
    with pytest.raises(dgnn.InputError, match="structure 0: a structure has 'comm'"):
        model.compute_many([{**water(3, 0), "comm": None}])
    with pytest.raises(dgnn.InputError, match="structure 0: a structure has no 'types'"):
        model.compute_many([{"coords": np.zeros((1, 3))}])
    with pytest.raises(dgnn.InputError, match="structure 0: expected ASE's Atoms or a dict"):
        model.compute_many([42])
    with pytest.raises(TypeError, match="has no keyword 'thread'"):
        model.compute_many([], thread=2)


def test_warnings_come_once_from_the_thread_that_asked(data):
    model = dgnn.Model.load(data / "cases" / "dpa3_small_sel" / "model.pt2")
    with pytest.warns(dgnn.TruncationWarning) as caught:
        model.compute_many([water(40, k, 6.0) for k in range(6)], threads=2)
    assert len({str(w.message).split("more")[1] for w in caught}) == len(caught) <= 2  # of sel and of a_sel
    assert caught[0].filename == __file__


def test_progress_is_a_bar(base_path, capsys):
    dgnn.Model.load(base_path).compute_many([water(4, k) for k in range(3)], progress=True)
    assert "3" in capsys.readouterr().err


INTERRUPTED = """
import _thread, faulthandler, random, signal, sys, time, warnings
import numpy as np
import dgnn

warnings.simplefilter("ignore")
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
faulthandler.dump_traceback_later(60 + int(sys.argv[2]), exit=True)
model = dgnn.Model.load(sys.argv[1], threads=1)
rng = np.random.default_rng(1)
structures = [dict(coords=rng.random((40, 3)) * 9, types=[0, 1] * 20, box=np.eye(3) * 9) for _ in range(1500)]
for trial in range(int(sys.argv[2])):
    seconds = random.Random(trial).uniform(0.0, 0.2)
    try:
        _thread.start_new_thread(lambda: (time.sleep(seconds), _thread.interrupt_main()), ())
        model.compute_many(structures, threads=2)
    except KeyboardInterrupt:
        continue
    sys.exit("not interrupted")
assert np.isfinite(model.compute(**structures[0]).energy)
"""


@pytest.mark.parametrize("trials", [40, pytest.param(1000, marks=pytest.mark.long)])
def test_ctrl_c_ends_it(base_path, trials):
    """At any moment: between the taking of a lock and its `with`, say. In a process of its own, as others in which tests run
    call Python in garbage collection, where an interrupt is lost. The model goes on."""
    found = subprocess.run([sys.executable, "-c", INTERRUPTED, str(base_path), str(trials)], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_spins(data):
    model = dgnn.Model.load(data / "cases" / "spin_dpa3" / "model.pt2")
    rng = np.random.default_rng(1)
    structures = [{**water(n, n), "spins": rng.normal(size=(n, 3))} for n in (3, 9, 5)]
    for structure, result in zip(structures, model.compute_many(structures, threads=2), strict=True):
        assert (result.forces_mag == model.compute(**structure).forces_mag).all()


def test_derivatives_of_dipoles(data):
    model = dgnn.Model.load(data / "cases" / "dipole_se_e2_a" / "model.pt2")
    structure = {**water(12, 2), "derivatives": True}
    (found,) = model.compute_many([structure])
    np.testing.assert_array_equal(found.dipole_force, model.compute(**structure).dipole_force)
