"""The command line. Quiet; an error is one line, and exit code 2."""

import argparse
import json
import os
import sys
import warnings

import dgnn
from dgnn.keywords import suggestion

EXAMPLES = """examples:
  dgnn info model.pt2                               what the model is and needs
  dgnn eval model.pt2 water.xyz                     a line for each frame: energy, largest force, pressure
  dgnn eval model.pt2 md.traj -o results.extxyz     energies, forces and stresses, for anything that ASE reads
  dgnn eval model.pt2 md.traj@0:100:10 --json       chosen frames, as JSON
  dgnn parity model.pt2 water.xyz                   are several ranks' results those of one?
  dgnn bench model.pt2 water.xyz                    how fast is it here, and where does the time go?
  dgnn pack model.pt2 model.dgnn                    the same model in a file that loads fastest
"""
INFO_EXAMPLES = """examples:
  dgnn info model.pt2
  dgnn info model.pt2 --json | python3 -m json.tool
"""
EVAL_EXAMPLES = """examples:
  dgnn eval model.pt2 POSCAR
  dgnn eval model.pt2 a.cif b.traj md.xyz@-1 -o results.extxyz
  dgnn eval model.pt2 data.water --format lammps-data
  dgnn eval model.pt2 slab.xyz --type-map Pt=NULL D=H          Pt takes no part, D is the model's H
  dgnn eval model.pt2 ion.xyz --fparam 0.5 1.2 --dtype float32 --threads 4

A spin model takes its spins from a column spins of three numbers (extxyz: spins:R:3), else from the initial magnetic
moments: vectors, or numbers along z. -o adds a column magforces.
"""
PACK_EXAMPLES = """examples:
  dgnn pack model.pt2 model.dgnn       dgnn's own archive, which loads fastest
  dgnn pack model.pt2 model.dp         deepmd-kit's data form (HDF5; .yaml too)
"""
EV_PER_A3_IN_GPA = 160.21766208


class UsageError(Exception):
    """Something that one line can say."""


class Parser(argparse.ArgumentParser):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs, allow_abbrev=False)

    def error(self, message):
        raise UsageError(f"{message}; see {self.prog} --help")


def main(arguments=None):
    try:
        options = parser().parse_args(arguments)
        with warnings.catch_warnings():
            warnings.showwarning = show_warning
            code = options.run(options)
        sys.stdout.flush()
        return code or 0
    except BrokenPipeError:  # dgnn ... | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except MemoryError as error:
        return complain(str(error) or "out of memory")
    except (UsageError, dgnn.Error, OSError, ImportError) as error:
        return complain(one_line(error))


def complain(text):
    print(f"dgnn: {text}", file=sys.stderr)
    return 2


def one_line(error):
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename else ""
        return " ".join(f"{name}{error.strerror}".split())
    return " ".join(str(error).split())


def show_warning(message, category, filename, lineno, file=None, line=None):
    print(f"dgnn: warning: {' '.join(str(message).split())}", file=sys.stderr)


def parser():
    top = Parser(prog="dgnn", description="deepmd-kit's models, without torch.", epilog=EXAMPLES,
                 formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--version", action="version", version=f"dgnn {dgnn.__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    add_info(commands)
    add_eval(commands)
    from dgnn import cli_bench, cli_parity

    cli_parity.add_parity(commands)
    cli_bench.add_bench(commands)
    add_pack(commands)
    return top


def add_command(commands, name, run, help, epilog):
    command = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".", epilog=epilog,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    command.set_defaults(run=run)
    command.add_argument("model", metavar="MODEL", help=".pt2, .json, .dgnn, .dp or .yaml")
    return command


def add_load_options(command):
    command.add_argument("--dtype", choices=["float32", "float64"], help="what the network computes in")
    command.add_argument("--threads", type=int, metavar="N", help="worker threads")
    command.add_argument("--memory", choices=["fast", "small"], default="fast", help="small: compute more, keep less")
    command.add_argument("--semantics", choices=["dense", "graph"], help="neighbour lists, where the model has both")
    command.add_argument("--radial", choices=["exact", "table"], default="exact",
                         help="of DPA4C: the network of the distance, or a table of it")


def load(options):
    return dgnn.Model.load(options.model, dtype=options.dtype, threads=options.threads, memory=options.memory,
                           semantics=options.semantics, radial=options.radial)


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
        raise UsageError("--plot needs matplotlib: pip install 'dgnn[plot]'") from None
    ending, known = os.path.splitext(path)[1], FigureCanvasBase.get_supported_filetypes()
    if ending and ending[1:].lower() not in known:
        raise UsageError(f"--plot: {path}: expected a name that ends with .{', .'.join(known)}")


# ---------------------------------------------------------------- info


def add_info(commands):
    command = add_command(commands, "info", run_info, "show what a model is and needs", INFO_EXAMPLES)
    add_load_options(command)
    command.add_argument("--json", action="store_true", help="everything, as JSON")


def run_info(options):
    information = load(options).info()
    if options.json:
        print(json.dumps(information))
        return
    for key, value in information.items():
        if isinstance(value, dict):
            print(f"{key}:")
            for name, item in value.items():
                print(f"  {name:32} {describe(item)}")
        elif key == "notes":
            for note in value:
                print(f"note: {note}")
        else:
            print(f"{key:34} {describe(value)}")


def describe(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "-"
    if isinstance(value, list) and not any(isinstance(item, (list, dict)) for item in value):
        return " ".join(map(str, value)) or "-"
    return json.dumps(value) if isinstance(value, (list, dict)) else str(value)


# ---------------------------------------------------------------- eval


def add_eval(commands):
    command = add_command(commands, "eval", run_eval, "evaluate structures", EVAL_EXAMPLES)
    command.add_argument("structures", metavar="STRUCTURE", nargs="+",
                         help="any file that ase.io reads, all its frames; FILE@SLICE for some")
    command.add_argument("--format", metavar="FORMAT", help="of the structures, as ASE calls it, where their names don't say")
    command.add_argument("-o", "--output", metavar="OUT.extxyz", help="write the frames with their results")
    command.add_argument("--json", action="store_true", help="print the results as JSON, one line for each frame")
    command.add_argument("--type-map", nargs="+", default=[], metavar="ELEMENT=TYPE",
                         help="the model's type for an element; NULL: it takes no part")
    command.add_argument("--fparam", nargs="+", type=float, metavar="X", help="frame parameters, for all frames")
    command.add_argument("--charge-spin", nargs=2, type=float, metavar=("CHARGE", "SPIN"), help="for all frames")
    add_load_options(command)


def type_map(pairs, known):
    mapping = {}
    for pair in pairs:
        element, equals, name = pair.partition("=")
        if not (element and equals and name):
            raise UsageError(f"--type-map: expected ELEMENT=TYPE, found {pair!r}")
        if name != "NULL" and name not in known:
            raise UsageError(f"--type-map: {pair!r}: no such type{suggestion(name, [*known, 'NULL'])}")
        mapping[element] = None if name == "NULL" else name
    return mapping or None


def read_frames(names, format=None):
    """(name, number of the frame, atoms) of all structures. format: ASE's name of it, where the files' names don't say."""
    try:
        import ase.io
    except ImportError:
        raise UsageError("reading structures needs ASE: pip install 'dgnn[ase]'") from None
    for name in names:
        path = name if os.path.exists(name) else name.partition("@")[0]
        if not os.path.exists(path):
            raise UsageError(f"{path}: no such file")
        try:
            frames = ase.io.read(name, index=None if path != name else ":", format=format)
        except StopIteration:
            raise UsageError(f"{name}: {path} has fewer frames") from None
        except Exception as error:  # ASE's readers raise whatever their formats run into
            raise UsageError(f"{name}: ASE cannot read it ({type(error).__name__}: {error})") from None
        frames = frames if isinstance(frames, list) else [frames]
        if not frames:
            raise UsageError(f"{name}: ASE finds no frames in it")
        for number, atoms in enumerate(frames):
            yield name, number, atoms


def read_last(name):
    """The last frame; there is nothing to compare or measure without atoms."""
    name, _, atoms = list(read_frames([name]))[-1]
    if not len(atoms):
        raise UsageError(f"{name}: has no atoms")
    return name, atoms


def with_progress(frames):
    """A bar on a terminal, where tqdm is installed and there is something to wait for."""
    if len(frames) < 2 or not sys.stderr.isatty():
        return frames
    try:
        from tqdm import tqdm
    except ImportError:
        return frames
    return tqdm(frames, unit="frame", file=sys.stderr, leave=False)


def run_eval(options):
    if options.output:
        check_output("-o", options.output)
    model = load(options)
    frames = list(read_frames(options.structures, options.format))
    from dgnn.calculator import DGNNCalculator

    calculator = DGNNCalculator(model, type_map=type_map(options.type_map, model.type_map))
    width = max(30, *(len(name) for name, _, _ in frames))
    done = []
    for name, number, atoms in with_progress(frames):
        for key in ("fparam", "charge_spin"):
            if getattr(options, key) is not None:
                atoms.info[key] = getattr(options, key)
        atoms.calc = calculator
        try:
            atoms.get_potential_energy()
        except dgnn.Error as error:
            raise UsageError(f"{name}, frame {number}: {one_line(error)}") from None
        results = calculator.results
        if options.json:
            print_json(name, number, results)
        elif not options.output:
            print_row(f"{name:{width}}", number, atoms, results, first=not done)
        done.append(with_results(atoms, results))
    if options.output:
        write(options.output, done)


def with_results(atoms, results):
    from ase.calculators.singlepoint import SinglePointCalculator

    kept = {key: results[key] for key in ("energy", "free_energy", "energies", "forces", "stress") if key in results}
    atoms.calc = SinglePointCalculator(atoms, **kept)
    if "magforces" in results:
        atoms.arrays["magforces"] = results["magforces"]
    return atoms


def write(path, frames):
    """To a file beside it first: what is there is whole."""
    import ase.io

    partial = f"{path}.part{os.getpid()}"
    try:
        ase.io.write(partial, frames, format="extxyz")
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.unlink(partial)


def print_json(name, number, results):
    plain = {key: value.tolist() if hasattr(value, "tolist") else value for key, value in results.items()}
    print(json.dumps({"structure": name, "frame": number, **plain}))


def print_row(name, number, atoms, results, first):
    """Pressure is that of the potential; a magnetic force is in eV over the unit of the spins."""
    stress = results.get("stress")
    pressure = f"{-sum(stress[:3]) / 3 * EV_PER_A3_IN_GPA:.4f}" if stress is not None else "-"
    cells = [(f"{'structure':{len(name)}}", name), (f"{'frame':>6}", f"{number:6d}"), (f"{'atoms':>7}", f"{len(atoms):7d}"),
             (f"{'energy/eV':>18}", f"{results['energy']:18.8f}"),
             (f"{'max force/eV/A':>15}", f"{longest(results['forces']):15.6f}")]
    if "magforces" in results:
        cells.append((f"{'max magnetic/eV':>16}", f"{longest(results['magforces']):16.6f}"))
    cells.append((f"{'pressure/GPa':>13}", f"{pressure:>13}"))
    for row in range(0 if first else 1, 2):
        print(" ".join(cell[row] for cell in cells))


def longest(vectors):
    return max((sum(component**2 for component in vector) ** 0.5 for vector in vectors), default=0.0)


# ---------------------------------------------------------------- pack


def add_pack(commands):
    command = add_command(commands, "pack", run_pack, "write a model to another kind of file", PACK_EXAMPLES)
    command.add_argument("output", metavar="OUT", help=".dgnn, or .dp or .yaml, which deepmd-kit reads")


def run_pack(options):
    dgnn.Model.load(options.model).save(options.output)
