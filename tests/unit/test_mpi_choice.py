"""Which MPI module is taken, and what is said about wrong pairings. No MPI is loaded here."""

import os
import subprocess
import sys
import types

import dgnn
import pytest
from dgnn import mpi


class FakeMPI(types.SimpleNamespace):
    """Stands for mpi4py.MPI."""

    __hash__ = object.__hash__


def make_mpi(vendor="MPICH", version="MPICH Version: 5", size=4, ranks=1):
    return FakeMPI(
        Comm=None, COMM_WORLD=types.SimpleNamespace(Get_size=lambda: ranks), get_vendor=lambda: (vendor, (1, 0, 0)),
        Get_library_version=lambda: version, Is_initialized=lambda: True, _sizeof=lambda kind: size)


def make_module(monkeypatch, name="dgnn._mpi_mpich", version="MPICH Version: 5", size=4, initialised=True):
    module = types.SimpleNamespace(__name__=name, HANDLE_SIZE=size, library=lambda: (initialised, version))
    monkeypatch.setitem(sys.modules, name, module)
    return module


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for name in mpi._LAUNCHED.values():
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("vendor, name", [("MPICH", "dgnn._mpi_mpich"), ("Intel MPI", "dgnn._mpi_mpich"),
                                          ("Open MPI", "dgnn._mpi_openmpi")])
def test_module_follows_vendor(monkeypatch, vendor, name):
    module = make_module(monkeypatch, name)
    assert mpi._module(make_mpi(vendor)) is module


@pytest.mark.parametrize("theirs, ours, said", [
    ({"vendor": "Foo MPI"}, {}, "mpi4py uses Foo MPI"),
    ({"version": "MPICH Version: 4"}, {}, "another MPI than mpi4py: 'MPICH Version: 5' instead of 'MPICH Version: 4'"),
    ({}, {"initialised": False}, "another MPI than mpi4py"),  # a second copy of the same library
    ({"size": 8}, {}, "have 8 bytes, those of dgnn._mpi_mpich"),
])
def test_wrong_pairings(monkeypatch, theirs, ours, said):
    make_module(monkeypatch, **ours)
    with pytest.raises(dgnn.InputError) as caught:
        mpi._module(make_mpi(**theirs))
    assert said in str(caught.value)


def test_missing_module(monkeypatch):
    monkeypatch.setitem(sys.modules, "dgnn._mpi_openmpi", None)
    with pytest.raises(dgnn.InputError, match="Open MPI, for which dgnn needs its module dgnn._mpi_openmpi"):
        mpi._module(make_mpi("Open MPI"))


def test_mpirun_of_the_other(monkeypatch):
    make_module(monkeypatch)
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    with pytest.raises(dgnn.InputError, match="mpirun of openmpi started 4 processes, but mpi4py uses MPICH"):
        mpi._module(make_mpi())
    assert mpi._module(make_mpi(ranks=4))  # several ranks: they found one another
    monkeypatch.setenv("PMI_SIZE", "1")
    assert mpi._module(make_mpi())  # started alone, within a job of the other MPI


def test_nothing_is_loaded_by_import():
    code = "import sys, dgnn; assert not any('mpi4py' in m or '_mpi_' in m for m in sys.modules), sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_library_that_prints(tmp_path):
    """UCX below MPICH says on stdout that there is no /proc; the vendor is the last line."""
    (tmp_path / "mpi4py").mkdir()
    (tmp_path / "mpi4py" / "__init__.py").write_text("class rc: pass")
    (tmp_path / "mpi4py" / "MPI.py").write_text("print('UCX ERROR')\ndef get_vendor(): return 'MPICH', (5, 0, 2)")
    program = "from dgnn import launch; print(launch.loaded())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert done.stdout == "mpich\n", done.stderr
