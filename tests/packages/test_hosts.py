"""The library that `make install` puts under a prefix: the hosts of examples/host against it, by pkg-config and by CMake, to the
bits of Python; its header, names and files."""

import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading

import compile as builder
import dgnn
import install as installer
import numpy as np
import pytest
from conftest import DATA
from dgnn import _core

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HOSTS = ROOT / "examples" / "host"
MODELS = [DATA / "cases" / name / "model.pt2" for name in ("dpa3_base", "dpa3_small_sel")]
SYMBOLS = ("O", "H")
pytestmark = pytest.mark.filterwarnings("ignore::dgnn.TruncationWarning")  # the hosts hear of it, too


def run(command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, f"{command}\n{(done.stdout + done.stderr)[-6000:]}"
    return done


def mpi_named(name):
    """(mpicc, mpicxx, mpirun) of PyPI's MPICH in this environment, or of the system's Open MPI; skips where it is not there."""
    suffix, folder = {"mpich": ("", str(pathlib.Path(sys.prefix) / "bin")), "openmpi": (".openmpi", None)}[name]
    found = [shutil.which(command + suffix, path=folder) for command in ("mpicc", "mpicxx", "mpirun")]
    if not all(found) or subprocess.run([found[1], "--version"], capture_output=True).returncode:
        pytest.skip(f"{name} with a C++ compiler was not found")
    return found


def make_install(prefix, **variables):
    done = run(["make", "install", f"PREFIX={prefix}", f"PYTHON={sys.executable}"], cwd=ROOT, env=os.environ | variables)
    assert "is installed under" in done.stdout
    return prefix


@pytest.fixture(scope="session")
def prefix(tmp_path_factory):
    """dgnn installed, once for all tests but those over MPI."""
    return make_install(tmp_path_factory.mktemp("installed"), MPICC="none")


def environment_of(prefix):
    """As a host's builder has it; MPICH's own libraries are found where its wrapper is."""
    libraries = pathlib.Path(sys.prefix) / "lib"
    return os.environ | {"PKG_CONFIG_PATH": f"{prefix}/lib/pkgconfig", "LD_LIBRARY_PATH": str(libraries),
                         "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_NUM_THREADS": "1"}


def by_pkg_config(prefix, folder, mpi):
    """mpi: of mpi_named, or None: the host without it."""
    shutil.copytree(HOSTS, folder)
    done = run(["make", *(["ranks", f"MPICXX={mpi[1]}"] if mpi else ["threads"])], cwd=folder, env=environment_of(prefix))
    assert "warning" not in done.stderr.replace("-Wcast-function-type", "") or "mpi.h" in done.stderr
    return folder


def by_cmake(prefix, folder, mpi):
    if not shutil.which("cmake"):
        run([sys.executable, "-m", "pip", "install", "--quiet", "cmake"])
    options = [f"-DMPI_C_COMPILER={mpi[0]}", f"-DMPI_CXX_COMPILER={mpi[1]}"] if mpi else []
    run(["cmake", "-S", HOSTS, "-B", folder, f"-DCMAKE_PREFIX_PATH={prefix}", *options], env=environment_of(prefix))
    run(["cmake", "--build", folder], env=environment_of(prefix))
    return folder


@pytest.fixture(scope="session", params=[by_pkg_config, by_cmake], ids=["pkg-config", "cmake"])
def programs(request, prefix, tmp_path_factory):
    return request.param(prefix, tmp_path_factory.mktemp("built") / "host", None)


@pytest.fixture(scope="session", params=["mpich", "openmpi"])
def mpi(request, tmp_path_factory):
    """(its commands, dgnn installed for it)."""
    commands = mpi_named(request.param)
    return commands, make_install(tmp_path_factory.mktemp(request.param), MPICC=commands[0])


@pytest.fixture(scope="session", params=[by_pkg_config, by_cmake], ids=["pkg-config", "cmake"])
def started(request, mpi, tmp_path_factory):
    """(start of the command line, prefix) of the host over an MPI."""
    commands, prefix = mpi
    folder = request.param(prefix, tmp_path_factory.mktemp("built") / "host", commands)
    shown = run([commands[2], "--version"]).stdout
    return lambda ranks: [commands[2], *(["--oversubscribe"] if "Open MPI" in shown else []), "-n", ranks, folder / "ranks"], prefix


# ---------------------------------------------------------------- a system, and Python's numbers


class System:
    """Atoms of a cell that is barely wider than the cutoff, so that a rank holds several images of one atom."""

    def __init__(self, n=40):
        rng = np.random.default_rng(7)
        self.box = np.diag([9.0, 8.0, 7.0])
        self.coords = np.empty((0, 3))
        while len(self.coords) < n:
            place = rng.random(3) * np.diag(self.box)
            away = self.coords - place
            away -= np.round(away / np.diag(self.box)) * np.diag(self.box)
            if not len(away) or np.linalg.norm(away, axis=1).min() > 0.9:
                self.coords = np.vstack([self.coords, place])
        self.types = rng.integers(0, 2, n).astype(np.int32)

    def write(self, path):
        lines = [str(len(self.types)), " ".join(map(repr, self.box.ravel().tolist()))]
        lines += [" ".join([SYMBOLS[t], *map(repr, x.tolist())]) for t, x in zip(self.types, self.coords)]
        path.write_text("\n".join(lines) + "\n")
        return path


@pytest.fixture(scope="module")
def system():
    return System()


def distribute(system, reach, rank, nrank):
    """As host_distribute in slabs.h: (nlocal, atoms, places, owners' ranks and rows)."""
    lengths = np.diag(system.box)
    owner = np.minimum((system.coords[:, 0] / lengths[0] * nrank).astype(int), nrank - 1)
    row = [int((owner[:i] == owner[i]).sum()) for i in range(len(owner))]
    atoms = np.flatnonzero(owner == rank).tolist()
    places, nlocal, of_ghost = [system.coords[i] for i in atoms], len(atoms), []
    low, high = lengths[0] * rank / nrank, lengths[0] * (rank + 1) / nrank
    for i in range(len(owner)):
        for cell in range(27):
            shift = np.array([cell // 9 - 1, cell // 3 % 3 - 1, cell % 3 - 1])
            place = system.coords[i] + shift * lengths
            seen = low - reach <= place[0] < high + reach and all(
                -reach <= place[k] < lengths[k] + reach for k in (1, 2))
            if (owner[i] != rank or cell != 13) and seen:
                atoms.append(i)
                places.append(place)
                of_ghost.append((int(owner[i]), row[i]))
    return nlocal, atoms, np.array(places), of_ghost


def plan_of(rows, rank):
    """What dgnn_direct_from_owners makes, in plain Python: (Direct, mapping) of a rank from the rows of all."""
    def wanted(of):  # {owner's rank: {its row: the ghost that stands for it}}, the first ghost of each atom
        nlocal, found = rows[of][0], {}
        for k, (owner, row) in enumerate(rows[of][3]):
            if owner != of:
                found.setdefault(owner, {}).setdefault(row, nlocal + k)
        return found

    mine = wanted(rank)
    asked = {other: sorted(wanted(other).get(rank, ())) for other in range(len(rows)) if other != rank}
    neighbours = sorted({*mine, *(other for other, names in asked.items() if names)})
    send = [asked[other] for other in neighbours]
    receive = [[ghost for _, ghost in sorted(mine.get(other, {}).items())] for other in neighbours]
    mapping = list(range(rows[rank][0])) + [row if owner == rank else mine[owner][row] for owner, row in rows[rank][3]]

    def csr(lists):
        return (np.cumsum([0, *map(len, lists)]), np.array(sum(lists, []), np.int32))

    (send_first, send_row), (recv_first, recv_row) = csr(send), csr(receive)
    direct = dgnn.Direct(rank=np.array(neighbours, np.int32), send_first=send_first, send_row=send_row,
                         recv_first=recv_first, recv_row=recv_row)
    return direct, np.array(mapping, np.int64)


def over_ghosts(system, path, nrank):
    """(energy, forces) of Python's compute_ghosted on ranks as threads, summed as the hosts do."""
    models = [dgnn.Model.load(path, threads=1) for _ in range(nrank)]
    reach = max(dgnn.Model.load(model, threads=1).cutoff for model in MODELS)
    rows = [distribute(system, reach, rank, nrank) for rank in range(nrank)]
    comms, results = _core._comm_threads(nrank, 60.0), [None] * nrank

    def work(rank):
        nlocal, atoms, places, _ = rows[rank]
        direct, mapping = plan_of(rows, rank)
        results[rank] = models[rank].compute_ghosted(places, system.types[atoms], nlocal, border=direct, mapping=mapping,
                                                     ghost_forces="add", comm=comms[rank])

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(nrank)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    energy, forces = 0.0, np.zeros_like(system.coords)
    for rank, result in enumerate(results):
        energy += result.energy
        forces[rows[rank][1][:rows[rank][0]]] = result.forces[:rows[rank][0]]
    return energy, forces


def by_itself(system, path, nrank):
    """(energy, forces) of Python's compute on ranks as threads, each with every nrank-th atom."""
    models = [dgnn.Model.load(path, threads=1) for _ in range(nrank)]
    comms, results = _core._comm_threads(nrank, 60.0), [None] * nrank

    def work(rank):
        results[rank] = models[rank].compute(system.coords[rank::nrank], system.types[rank::nrank], system.box, pbc=True,
                                             comm=comms[rank])

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(nrank)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    forces = np.zeros_like(system.coords)
    for rank, result in enumerate(results):
        forces[rank::nrank] = result.forces
    return results[0].energy, forces


def check_line(line, energy, forces):
    numbers = np.array(line.split(), float)
    assert np.abs(forces).max() > 1e-3
    np.testing.assert_array_equal(numbers, np.concatenate([[energy], forces.ravel()]))


def check_told(errors, n):
    """What the hosts say on stderr: the models, one notice a rank that hears, and one row for each remote atom."""
    found = re.findall(r"(\d+) atoms, (\d+) images, (\d+) rows of remote atoms", errors)
    assert sum(int(own) for own, _, _ in found) == n
    for own, images, remote in found:
        assert int(remote) <= n - int(own) < int(images)
    assert len(re.findall("more neighbours than the model's sel", errors)) >= 1


@pytest.mark.parametrize("ranks", [1, 3])
def test_threads(ranks, programs, prefix, system, tmp_path):
    path = system.write(tmp_path / "system.txt")
    done = run([programs / "threads", ranks, *MODELS, path], env=environment_of(prefix))
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    for line, model in zip(lines, MODELS):
        check_line(line, *over_ghosts(system, model, ranks))
        whole = dgnn.Model.load(model, threads=1).compute(system.coords, system.types, system.box, pbc=True)
        np.testing.assert_allclose(np.array(line.split(), float)[1:], whole.forces.ravel(), rtol=0, atol=1e-10)
    check_told(done.stderr, len(system.types))
    assert "model 0: cutoff" in done.stderr and "passes messages" in done.stderr


@pytest.mark.parametrize("ranks", [1, 2])
def test_ranks(ranks, started, system, tmp_path):
    path, (start, prefix) = system.write(tmp_path / "system.txt"), started
    done = run([*start(ranks), *MODELS, path], env=environment_of(prefix))
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    for line, model in zip(lines[:2], MODELS):
        check_line(line, *over_ghosts(system, model, ranks))
    check_line(lines[2], *by_itself(system, MODELS[0], ranks))  # the first model's bits are those that it gives alone
    np.testing.assert_allclose(np.array(lines[3].split(), float), np.array(lines[1].split(), float), rtol=0, atol=1e-9)
    check_told(done.stderr, len(system.types))


def test_hosts_refuse(programs, prefix, tmp_path):
    path = tmp_path / "system.txt"
    path.write_text("1\n9 0 0 0 9 0 0 0 9\nXe 1 1 1\n")
    done = subprocess.run([programs / "threads", "2", *MODELS, path], capture_output=True, text=True,
                          env=environment_of(prefix))
    assert done.returncode == 1 and "with the elements of the model" in done.stderr
    done = subprocess.run([programs / "threads", "2", tmp_path / "none.pt2", MODELS[1], path], capture_output=True,
                          text=True, env=environment_of(prefix))
    assert done.returncode == 1 and "DGNN_ERROR_SYSTEM" in done.stderr


# ---------------------------------------------------------------- what is installed


def test_files(prefix):
    version = builder.version()
    library = prefix / "lib" / f"libdgnn.so.{version}"
    assert library.is_file() and (prefix / "lib" / "libdgnn.so").resolve() == library
    assert f"libdgnn.so.{version.split('.')[0]}" in run(["objdump", "-p", library]).stdout
    assert (prefix / "include" / "dgnn.h").read_text() == (ROOT / "csrc" / "include" / "dgnn.h").read_text()
    assert (prefix / "lib" / "libdgnn.a").is_file()


def test_names(prefix):
    """The library defines each function of the header, and no other of dgnn's but four for tests."""
    spec = importlib.util.spec_from_file_location("gen_header", ROOT / "tools" / "gen_header.py")
    headers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(headers)
    shown = run(["nm", "-D", "--defined-only", prefix / "lib" / "libdgnn.so"]).stdout
    names = {line.split()[-1] for line in shown.splitlines()}
    of_mpi = {"dgnn_comm_create_mpi"}
    assert headers.declared() - of_mpi <= names
    assert names - headers.declared() <= {"dgnn_alloc_count", "dgnn_alloc_live", "dgnn_alloc_fail_at", "dgnn_buffer_needed",
                                          "dgnn_falsify"}


def test_names_over_mpi(mpi):
    """The library for one MPI is linked with that one."""
    library = mpi[1] / "lib" / "libdgnn_mpi.so"
    assert "dgnn_comm_create_mpi" in run(["nm", "-D", "--defined-only", library]).stdout
    assert (mpi[1] / "include" / "dgnn_mpi.h").read_text() == (ROOT / "csrc" / "include" / "dgnn_mpi.h").read_text()
    needed = re.findall(r"NEEDED +libmpi\S*", run(["objdump", "-p", library]).stdout)
    assert len(needed) == 1


def test_destdir(tmp_path):
    """A packager's tree: files below DESTDIR, names of the prefix inside."""
    installer.install("/opt/dgnn", str(tmp_path))
    assert (tmp_path / "opt" / "dgnn" / "include" / "dgnn.h").is_file()
    assert "prefix=/opt/dgnn\n" in (tmp_path / "opt" / "dgnn" / "lib" / "pkgconfig" / "dgnn.pc").read_text()


def test_static(prefix, tmp_path):
    """A program of dgnn.h alone against the archive."""
    private = run(["pkg-config", "--static", "--libs", "dgnn"], env=environment_of(prefix)).stdout.split()
    flags = [f"{prefix}/lib/libdgnn.a" if word == "-ldgnn" else word for word in private]
    run(["gcc", "-std=c11", f"-I{prefix}/include", ROOT / "tests" / "c" / "host.c", *flags, "-o", tmp_path / "host"])
    assert "libdgnn" not in run(["ldd", tmp_path / "host"]).stdout
    done = run([tmp_path / "host", MODELS[0]], input="2 0\n\n0 0 0 0\n1 1 0 0\n")
    expected = dgnn.Model.load(MODELS[0], threads=1).compute([[0, 0, 0], [1, 0, 0]], [0, 1])
    assert float(done.stdout.split()[0]) == expected.energy


def test_package_flags(tmp_path):
    """`python -m dgnn --cflags --libs` build a host against the library that the package holds."""
    flags = run([sys.executable, "-m", "dgnn", "--cflags", "--libs"]).stdout.split()
    run(["gcc", "-std=c11", ROOT / "tests" / "c" / "host.c", "-o", tmp_path / "host", *flags])
    done = run([tmp_path / "host", MODELS[0]], input="2 0\n\n0 0 0 0\n1 1 0 0\n")
    expected = dgnn.Model.load(MODELS[0], threads=1).compute([[0, 0, 0], [1, 0, 0]], [0, 1])
    assert float(done.stdout.split()[0]) == expected.energy
