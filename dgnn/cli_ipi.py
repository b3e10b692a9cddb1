"""dgnn ipi: answers i-PI's questions for energies, forces and virials, through ASE's SocketClient."""

import sys
import time

import dgnn
from dgnn import cli_common, communicators, kinds, launch
from dgnn.cli_common import UsageError

EXAMPLES = """examples:
  dgnn ipi model.pt2 water.xyz --unix water                a socket of this machine: <ffsocket mode="unix"> <address>water
  dgnn ipi model.pt2 water.xyz --port 31415 --host node7   a socket of the network: <ffsocket mode="inet">
  mpirun -n 4 dgnn ipi model.pt2 water.xyz --unix water    one client on four ranks
  dgnn ipi model.pt2 molecule.xyz --unix mol --log talk.txt

STRUCTURE has i-PI's atoms, in i-PI's order; places and cell come from i-PI. Several clients may be started; i-PI shares
its beads or replicas out among them. Where the structure is not periodic in all directions, the virial sent is zero.
"""
WAIT_S = 30.0


def add_ipi(commands):
    command = cli_common.add_command(commands, "ipi", run_ipi, "compute for i-PI, as its client", EXAMPLES)
    add = command.add_argument
    add("structure", metavar="STRUCTURE", help="any file that ase.io reads: which atoms, and which directions are periodic")
    add("--format", metavar="FORMAT", help="of the structure, as ASE calls it, where its name doesn't say")
    where = command.add_mutually_exclusive_group(required=True)
    where.add_argument("--unix", metavar="NAME", help="i-PI's address in mode unix: the socket is /tmp/ipi_NAME")
    where.add_argument("--port", type=int, metavar="N", help="i-PI's port in mode inet")
    add("--host", metavar="HOST", help="where i-PI runs, with --port (localhost)")
    add("--wait", type=float, default=WAIT_S, metavar="S", help=f"seconds in which i-PI may come up ({WAIT_S:g})")
    add("--log", metavar="FILE", help="write what is said on the socket; - for the terminal")
    cli_common.add_structure_options(command)
    cli_common.add_load_options(command)


def run_ipi(options):
    check(options)
    comm = world()
    try:
        name, atoms, client = prepared(options, comm)
    except Exception:
        return on_all(comm)
    try:
        client.run(atoms, use_stress=bool(atoms.pbc.all()))
    except dgnn.Error:
        return on_all(comm)
    except (AssertionError, KeyError, ValueError) as error:  # ASE's, of what it was sent
        return alone(comm, UsageError(f"i-PI sent what does not fit {name}, of {len(atoms)} atoms "
                                      f"({type(error).__name__}: {error})"))
    except OSError as error:
        return alone(comm, UsageError(f"the connection to i-PI broke ({error or type(error).__name__})"))


def on_all(comm):
    """All ranks have the error that is being raised; rank 0 says it."""
    if comm is not None and comm.Get_rank():
        return 2
    raise


def alone(comm, error):
    """The others wait for this rank."""
    if comm is None:
        raise error from None
    cli_common.complain(str(error))
    sys.stderr.flush()
    comm.Abort(2)


def check(options):
    if options.host is not None and options.port is None:
        raise UsageError("--host: belongs to --port")
    if options.port is not None and not 0 < options.port < 65536:
        raise UsageError(f"--port: expected 1 to 65535, found {options.port}")
    if not 0 <= options.wait < float("inf"):
        raise UsageError(f"--wait: expected 0 or more, found {options.wait}")
    if options.unix is not None and (not options.unix or "/" in options.unix):
        raise UsageError(f"--unix: expected i-PI's address, a name without slashes, found {options.unix!r}")
    if options.log and options.log != "-":
        cli_common.check_output("--log", options.log)


def world():
    """The ranks that mpirun started; None for one."""
    if not launch.under_mpirun():
        return None
    from mpi4py import MPI

    return MPI.COMM_WORLD if MPI.COMM_WORLD.Get_size() > 1 else None


def together(comm, work):
    """What work gives on each rank; where it fails on one, all fail."""
    return work() if comm is None else communicators._together(comm, work)


def prepared(options, comm):
    """(name of the structure, its atoms with a calculator, ASE's client); what fails on one rank fails on all."""
    name, atoms = together(comm, lambda: cli_common.read_last(options.structure, options.format))
    atoms.calc = make_calculator(options, comm)
    cli_common.set_parameters(options, atoms)
    return name, atoms, together(comm, lambda: connected(options, comm))


def make_calculator(options, comm):
    from dgnn.calculator import DGNNCalculator

    model = cli_common.load(options, comm)
    kinds.needs_energy(model, "dgnn ipi")
    return together(comm, lambda: DGNNCalculator(
        model, comm=comm, type_map=cli_common.type_map(options.type_map, model.type_map)))


def connected(options, comm):
    """ASE's client; its rank 0 has the socket and the log, and waits for i-PI to be there."""
    from ase import parallel
    from ase.calculators.socketio import SocketClient

    ranks = parallel.DummyMPI() if comm is None else parallel.MPI4PY(comm)
    log = None
    if options.log and ranks.rank == 0:
        log = sys.stdout if options.log == "-" else open(options.log, "w")  # noqa: SIM115
    end = time.monotonic() + options.wait
    while True:
        try:
            return SocketClient(host=options.host or "localhost", port=options.port, unixsocket=options.unix, log=log, comm=ranks)
        except OSError as error:
            if time.monotonic() >= end:
                place = f"/tmp/ipi_{options.unix}" if options.unix else f"{options.host or 'localhost'}:{options.port}"
                raise UsageError(f"no i-PI at {place} after {options.wait:g} s ({error.strerror or error})") from None
            time.sleep(0.1)
