"""What the commands share: arguments, files, warnings and errors of one line. cli.py has the list of commands."""

import argparse
import os
import sys
import time
import warnings

import dgnn
from dgnn import foreign
from dgnn.keywords import suggestion


class UsageError(Exception):
    """Something that one line can say."""


class Parser(argparse.ArgumentParser):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs, allow_abbrev=False)

    def error(self, message):
        raise UsageError(f"{message}; see {self.prog} --help")


def complain(text):
    print(f"dgnn: {text}", file=sys.stderr)
    return 2


def one_line(error):
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename else ""
        return " ".join(f"{name}{error.strerror}".split())
    return " ".join(str(error).split())


_COLOURS = {"red": 31, "green": 32, "yellow": 33}


def painted(text, colour, stream):
    """Coloured on a terminal; plain in pipes and files, and where NO_COLOR says so (no-color.org)."""
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def show_warning(message, category, filename, lineno, file=None, line=None):
    print(f"dgnn: {painted('warning:', 'yellow', sys.stderr)} {' '.join(str(message).split())}", file=sys.stderr)


def add_command(commands, name, run, help, epilog):
    command = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".", epilog=epilog,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    command.set_defaults(run=run)
    command.add_argument("model", metavar="MODEL", help=".pt, .pth, .pt2, .pte, .json, .dgnn, .dp, .hlo or .yaml")
    command.add_argument("--head", metavar="NAME",
                         help="the task, of a model that was trained for several; 'dgnn info' lists them")
    return command


def add_load_options(command):
    command.add_argument("--dtype", choices=["float32", "float64"], help="what the network computes in")
    command.add_argument("--threads", type=int, metavar="N", help="worker threads")
    command.add_argument("--device", metavar="DEVICE", help="cpu, cuda, cuda:N or auto (default: $DGNN_DEVICE, else cpu)")
    command.add_argument("--memory", choices=["fast", "small"], default="fast", help="small: compute more, keep less")
    command.add_argument("--semantics", choices=["dense", "graph"], help="neighbour lists, where the model has both")
    command.add_argument("--radial", choices=["exact", "table"], default="exact",
                         help="of DPA4C: the network of the distance, or a table of it")
    command.add_argument("--compressed", choices=["table", "net", "compare"], default="table",
                         help="of compressed models: the tables, the networks beside them, or tables, and 'dgnn info' compares")


def load(options, comm=None):
    return dgnn.Model.load(options.model, dtype=options.dtype, threads=options.threads, device=options.device,
                           memory=options.memory, semantics=options.semantics, head=options.head, radial=options.radial,
                           compressed=options.compressed, comm=comm)


def add_structure_options(command):
    command.add_argument("--type-map", nargs="+", default=[], metavar="ELEMENT=TYPE",
                         help="the model's type for an element, or for a number that LAMMPS has; NULL: it takes no part")
    command.add_argument("--fparam", nargs="+", type=float, metavar="X", help="frame parameters, for all frames")
    command.add_argument("--charge-spin", nargs=2, type=float, metavar=("CHARGE", "SPIN"), help="for all frames")


def given_parameters(options):
    return [key for key in ("fparam", "charge_spin") if getattr(options, key) is not None]


def set_parameters(options, atoms):
    for key in given_parameters(options):
        atoms.info[key] = getattr(options, key)


def check_output(option, path):
    """Said before anything is computed."""
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise UsageError(f"{option}: {folder}: no such folder")
    if os.path.isdir(path):
        raise UsageError(f"{option}: {path}: expected a file, found a folder")


def check_plot(path):
    check_output("--plot", path)
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError:
        raise UsageError("--plot needs matplotlib: pip install 'dgnn-md[plot]'") from None
    ending, known = os.path.splitext(path)[1], FigureCanvasBase.get_supported_filetypes()
    if ending and ending[1:].lower() not in known:
        raise UsageError(f"--plot: {path}: expected a name that ends with .{', .'.join(known)}")


def save_plot(figure, path):
    """In the resolution of a matplotlibrc, where one names it, else fine enough for print."""
    import matplotlib

    dpi = matplotlib.rcParams["savefig.dpi"]
    figure.savefig(path, dpi=200 if dpi == "figure" else dpi)


def type_map(pairs, known):
    """For the calculator: element -> name or None; or number of a LAMMPS type -> name or None. None: nothing was said."""
    mapping = {}
    for pair in pairs:
        element, equals, name = pair.partition("=")
        if not (element and equals and name):
            raise UsageError(f"--type-map: expected ELEMENT=TYPE, found {pair!r}")
        if name != "NULL" and name not in known:
            raise UsageError(f"--type-map: {pair!r}: no such type{suggestion(name, [*known, 'NULL'])}")
        mapping[int(element) if element.isdecimal() else element] = None if name == "NULL" else name
    if len({type(key) for key in mapping}) > 1:
        raise UsageError("--type-map: expected elements, or numbers of types, found both")
    return mapping or None


def name_types(atoms, mapping):
    """Where numbers of types have names, those that are elements replace what ASE took the numbers for."""
    from ase.data import atomic_numbers

    for number, name in mapping.items():
        atoms.numbers[atoms.arrays["type"] == number] = atomic_numbers.get(name, 0)


def warn_of_numbers(name, atoms):
    """ASE takes type 1 of LAMMPS for hydrogen and 2 for helium, where a file has no masses or labels."""
    types = atoms.arrays.get("type")
    if types is None or not len(atoms) or atoms.has("masses") or not (types == atoms.numbers).all():
        return
    symbols = dict(zip(types.tolist(), atoms.get_chemical_symbols(), strict=True))
    taken = ", ".join(f"{number} for {symbols[number]}" for number in sorted(symbols))
    pairs = " ".join(f"{number}=NAME" for number in sorted(symbols))
    warnings.warn(f"{name}: has numbers of types, not elements; ASE takes {taken}. Say what they are: --type-map {pairs}",
                  stacklevel=2)


def read_frames(names, format=None):
    """(name, number of the frame, atoms) of all structures. format: ASE's name of it, where the files' names don't say."""
    try:
        import ase.io
    except ImportError:
        raise UsageError("reading structures needs ASE: pip install 'dgnn-md[ase]'") from None
    for name in names:
        path = name if os.path.lexists(name) else name.partition("@")[0]
        try:
            os.stat(path)
        except OSError as error:  # a loop of links is not missing
            missing = isinstance(error, FileNotFoundError)
            raise UsageError(f"{path}: {'no such file' if missing else error.strerror}") from None
        try:
            frames = ase.io.read(name, index=None if path != name else ":", format=format)
        except StopIteration:
            raise UsageError(f"{name}: {path} has fewer frames") from None
        except Exception as error:  # ASE's readers raise whatever their formats run into
            known = foreign.recognise(foreign.ANYTHING if format else foreign.STRUCTURES, foreign.File(path))
            raise known or UsageError(f"{name}: ASE cannot read it ({type(error).__name__}: {error})") from None
        frames = frames if isinstance(frames, list) else [frames]
        if not frames:
            raise UsageError(f"{name}: ASE finds no frames in it")
        for number, atoms in enumerate(frames):
            yield name, number, atoms


def read_last(name, format=None):
    """The last frame; there is nothing to compare or measure without atoms."""
    name, _, atoms = list(read_frames([name], format))[-1]
    if not len(atoms):
        raise UsageError(f"{name}: has no atoms")
    return name, atoms


LONG_S = 10.0  # a log hears of what took longer


def with_progress(frames):
    """A bar on a terminal, where tqdm is installed and there is something to wait for. Elsewhere one line at the end of what
    took long."""
    if len(frames) < 2:
        return frames
    if not sys.stderr.isatty():
        return _told_at_the_end(frames)
    try:
        from tqdm import tqdm
    except ImportError:
        return _counted(frames)
    return tqdm(frames, unit="frame", file=sys.stderr, leave=False)


def _told_at_the_end(frames):
    start = time.monotonic()
    yield from frames
    seconds = time.monotonic() - start
    if seconds >= LONG_S:
        print(f"dgnn: {len(frames)} frames in {seconds:.0f} s", file=sys.stderr)


def _counted(frames):
    """Without tqdm: a line that is written over."""
    for number, frame in enumerate(frames):
        print(f"\r\x1b[Kframe {number + 1} of {len(frames)}", end="", file=sys.stderr, flush=True)
        yield frame
    print("\r\x1b[K", end="", file=sys.stderr, flush=True)
