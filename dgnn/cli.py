"""The command line. Quiet; an error is one line, and exit code 2."""

import argparse
import json
import os
import sys
import warnings

import dgnn
from dgnn.cli_common import (
    Parser,
    UsageError,
    add_command,
    add_load_options,
    add_structure_options,
    check_output,
    complain,
    given_parameters,
    load,
    name_types,
    one_line,
    read_frames,
    set_parameters,
    show_warning,
    type_map,
    warn_of_numbers,
    with_progress,
)

EXAMPLES = """examples:
  dgnn info model.pt2                               what the model is and needs
  dgnn info DPA-3.1-3M.pt                           the tasks that it was trained for
  dgnn eval DPA-3.1-3M.pt --head Omat24 a.cif       by one of them
  dgnn eval model.pt2 water.xyz                     a line for each frame: energy, largest force, pressure
  dgnn eval model.pt2 md.traj -o results.extxyz     energies, forces and stresses, for anything that ASE reads
  dgnn eval model.pt2 md.traj@0:100:10 --json       chosen frames, as JSON
  dgnn test model.pt2 data/                         errors beside labels, as dp test's
  dgnn embed model.pt2 md.traj -o md.npz            descriptors
  dgnn devi a.pt2 b.pt2 md.traj                     how far are several models apart?
  dgnn parity model.pt2 water.xyz                   are several ranks' results those of one?
  dgnn bench model.pt2 water.xyz                    how fast is it here, and where does the time go?
  dgnn ipi model.pt2 water.xyz --unix water         compute for i-PI
  dgnn pack model.pt2 model.dgnn                    the same model in a file that loads fastest
  dgnn check                                        is this installation right?
"""
INFO_EXAMPLES = """examples:
  dgnn info model.pt2
  dgnn info DPA-3.1-3M.pt                 its tasks (heads)
  dgnn info DPA-3.1-3M.pt --head Omat24
  dgnn info model.pt2 --json | python3 -m json.tool
  dgnn info model.pt2 --for big.xyz --memory small      what a call would take: edges, angles, memory, time
  dgnn info model.pt2 --for big.xyz --ranks 8
"""
EVAL_EXAMPLES = """examples:
  dgnn eval model.pt2 POSCAR
  dgnn eval model.pt2 a.cif b.traj md.xyz@-1 -o results.extxyz
  dgnn eval model.pt2 data.water --format lammps-data --type-map 1=O 2=H
  dgnn eval model.pt2 slab.xyz --type-map Pt=NULL D=H          Pt takes no part, D is the model's H; others by name
  dgnn eval model.pt2 data/water                               deepmd-kit's folders (set.*, raw), and HDF5
  dgnn eval model.pt2 ion.xyz --fparam 0.5 1.2 --dtype float32 --threads 4
  dgnn eval dipole.pt2 md.traj --json                         dipoles, and those of atoms

A spin model takes its spins from a column spins of three numbers (extxyz: spins:R:3), else from the initial magnetic
moments: vectors, or numbers along z. -o adds a column magforces, and virial as deepmd-kit has it (-stress * volume).
"""
PACK_EXAMPLES = """examples:
  dgnn pack model.pt2 model.dgnn       dgnn's own archive, which loads fastest
  dgnn pack model.pt2 model.dp         deepmd-kit's data form (HDF5; .yaml too)
  dgnn pack DPA-3.1-3M.pt --head Omat24 omat24.dgnn      one task of several
"""
EV_PER_A3_IN_GPA = 160.21766208
OUTPUTS = {"": "extxyz", ".extxyz": "extxyz", ".xyz": "extxyz", ".traj": "traj"}  # what -o's suffix says, as ASE calls it


def main(arguments=None):
    for stream in (sys.stdout, sys.stderr):  # names of files that are not UTF-8 come out as they came in
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="surrogateescape")
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


def parser():
    top = Parser(prog="dgnn", description="deepmd-kit's models, without torch.", epilog=EXAMPLES,
                 formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--version", action="version", version=f"dgnn {dgnn.__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    add_info(commands)
    add_eval(commands)
    from dgnn import cli_bench, cli_check, cli_completion, cli_devi, cli_embed, cli_ipi, cli_parity, cli_test

    cli_test.add_test(commands)
    cli_embed.add_embed(commands)
    cli_devi.add_devi(commands)
    cli_parity.add_parity(commands)
    cli_bench.add_bench(commands)
    cli_ipi.add_ipi(commands)
    add_pack(commands)
    cli_check.add_check(commands)
    cli_completion.add_completion(commands)
    return top


# ---------------------------------------------------------------- info


def add_info(commands):
    command = add_command(commands, "info", run_info, "show what a model is and needs", INFO_EXAMPLES)
    add_load_options(command)
    command.add_argument("--json", action="store_true", help="everything, as JSON")
    command.add_argument("--for", dest="structure", metavar="STRUCTURE",
                         help="what a call for it would take: edges, angles, memory and time; any file that ase.io reads")
    command.add_argument("--ranks", type=int, metavar="N", help="with --for: on so many ranks")
    command.add_argument("--type-map", nargs="+", default=[], metavar="ELEMENT=TYPE",
                         help="with --for: the model's type for an element")


def run_info(options):
    if options.structure is None and (options.ranks is not None or options.type_map):
        raise UsageError("--ranks and --type-map belong to --for STRUCTURE")
    if options.structure is not None:
        return run_estimate(options)
    try:
        information = load(options).info()
    except dgnn.InputError:
        tasks = {} if options.head else dgnn.heads(options.model)
        if not tasks:
            raise
        print_heads(options.model, tasks, options.json)
        return
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


def run_estimate(options):
    from dgnn.calculator import DGNNCalculator
    from dgnn.cli_common import read_last

    model = load(options)
    name, atoms = read_last(options.structure)
    calculator = DGNNCalculator(model, type_map=type_map(options.type_map, model.type_map))
    try:
        told = model.estimate(calculator._inputs(atoms), ranks=1 if options.ranks is None else options.ranks)
    except dgnn.Error as error:
        raise UsageError(f"{name}: {one_line(error)}") from None
    if options.json:
        print(json.dumps(told))
        return
    n = max(told["natoms"], 1)
    rows = {"atoms": f"{told['natoms']:,}", "ranks": f"{told['ranks']:,}",
            "edges": f"{told['nedges']:,} ({told['nedges'] / n:.1f} an atom)",
            "angles": f"{told['nangles']:,} ({told['nangles'] / n:.1f} an atom)" if told["nangles"] else "-",
            "ghosts of a rank": f"{told['nghosts']:,}" if told["ranks"] > 1 else "-",
            "memory of a rank": f"{told['bytes'] / 1e6:,.1f} MB ({told['total_bytes'] / 1e6 / n:.3f} MB an atom)",
            "time of a call": f"{told['seconds']:.3g} s ({told['ms_per_atom']:.3g} ms an atom)"}
    for key, value in rows.items():
        print(f"{key:34} {value}")


def print_heads(model, tasks, as_json):
    if as_json:
        print(json.dumps({"heads": tasks}))
        return
    width = max(map(len, tasks))
    for name, task in tasks.items():
        seen = task["elements"]
        told = f"another name of {task['alias_of']}" if task["alias_of"] else " ".join(
            element for element in task["type_map"] if seen is None or element in seen) or "no element"
        print(f"{name:{width}}  {told}")
    print(f"note: trained for {len([1 for task in tasks.values() if not task['alias_of']])} tasks; say which: dgnn info {model} "
          f"--head {next(iter(tasks))}, dgnn.Model.load(..., head={next(iter(tasks))!r}). After a name: the elements of its "
          "training data")


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
                         help="any file that ase.io reads, all its frames, FILE@SLICE for some; or deepmd-kit's folders and HDF5")
    command.add_argument("--format", metavar="FORMAT", help="of the structures, as ASE calls it, where their names don't say")
    command.add_argument("-o", "--output", metavar="OUT", help="write the frames with their results: .extxyz, .xyz or .traj")
    command.add_argument("--json", action="store_true", help="print the results as JSON, one line for each frame")
    add_structure_options(command)
    add_load_options(command)


def output_format(path):
    """As ASE calls it. Said before anything is computed."""
    check_output("-o", path)
    format = OUTPUTS.get(os.path.splitext(path)[1].lower())
    if not format:
        raise UsageError(f"-o: {path}: expected a name that ends with .extxyz, .xyz or .traj, which hold results")
    return format


def run_eval(options):
    output = output_format(options.output) if options.output else None
    model = load(options)
    if output == "traj" and model.is_spin:
        raise UsageError(f"-o: {options.output}: ASE's .traj holds no magnetic forces; expected .extxyz or .xyz")
    mapping = type_map(options.type_map, model.type_map)
    by_number = mapping is not None and all(isinstance(key, int) for key in mapping)
    frames = list(read_structures(options, model))
    from dgnn.calculator import DGNNCalculator

    own = DGNNCalculator(model, type_map=mapping)
    named = {k + 1: name for k, name in enumerate(model.type_map)} | {len(model.type_map) + 1: None}
    of_folders = DGNNCalculator(model, type_map=named)
    width = max(30, *(len(name) for name, *_ in frames))
    done, looked_at = [], set()
    for name, number, atoms, in_folder in with_progress(frames):
        calculator = of_folders if in_folder else own
        if not by_number and not in_folder and name not in looked_at:
            looked_at.add(name)
            warn_of_numbers(name, atoms)
        set_parameters(options, atoms)
        atoms.calc = calculator
        try:
            calculator.get_property(calculator.implemented_properties[0], atoms)
        except dgnn.Error as error:
            raise UsageError(f"{name}, frame {number}: {one_line(error)}") from None
        results = calculator.results
        if options.json:
            print_json(name, number, results)
        elif not options.output:
            print_row(f"{name:{width}}", number, atoms, results, first=not done)
        if in_folder:
            del atoms.arrays["type"]
        elif by_number:
            name_types(atoms, mapping)
        done.append(with_results(atoms, results))
    if output:
        write(options.output, done, output)


def read_structures(options, model):
    """(name, number of the frame, atoms, is it of a folder of deepmd-kit's, whose types are numbers of the model's?)"""
    from dgnn import datasets

    for path in options.structures:
        if not datasets.is_folder(path):
            yield from ((*frame, False) for frame in read_frames([path], options.format))
            continue
        if options.type_map:
            raise UsageError(f"{path}: a folder's types go by the names in its type_map.raw; --type-map is for other files")
        try:
            systems = list(datasets.read(path, model, given=given_parameters(options)))
        except dgnn.InputError as error:
            raise UsageError(one_line(error)) from None
        for system in systems:
            for number, frame in enumerate(system.frames):
                yield system.name, number, datasets.as_atoms(frame, model.type_map), True


def with_results(atoms, results):
    """The frame with these results, and with nothing under their names that it came with."""
    from ase.calculators.singlepoint import SinglePointCalculator

    from dgnn.calculator import DGNNCalculator

    others = [name for name in results if name not in DGNNCalculator.implemented_properties and name != "magforces"]
    for name in (*DGNNCalculator.implemented_properties, "magforces", *others):
        atoms.info.pop(name, None)
        atoms.arrays.pop(name, None)
    if "energy" not in results:
        whole, each = others  # "dipole" and "atom_dipole", ...
        atoms.info[whole] = results[whole]
        atoms.arrays[each] = results[each].reshape(len(atoms), -1)
        atoms.calc = None
        return atoms
    kept = {key: results[key] for key in ("energy", "free_energy", "energies", "forces", "stress") if key in results}
    atoms.calc = SinglePointCalculator(atoms, **kept)
    atoms.info["virial"] = results["virial"]
    if "magforces" in results:
        atoms.arrays["magforces"] = results["magforces"]
    return atoms


def write(path, frames, format):
    """To a file beside it first: what is there is whole. Links stay, and permissions."""
    import ase.io

    from dgnn import files

    path = files.followed(path)
    mode = files.old_mode(path)
    partial = f"{path}.part{os.getpid()}"
    try:
        ase.io.write(partial, frames, format=format)
        if mode is not None:
            os.chmod(partial, mode)
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.unlink(partial)


def print_json(name, number, results):
    plain = {key: value.tolist() if hasattr(value, "tolist") else value for key, value in results.items()}
    print(json.dumps({"structure": name, "frame": number, **plain}))


def print_row(name, number, atoms, results, first):
    """Pressure is that of the potential; a magnetic force is in eV over the unit of the spins."""
    cells = [(f"{'structure':{len(name)}}", name), (f"{'frame':>6}", f"{number:6d}"), (f"{'atoms':>7}", f"{len(atoms):7d}")]
    if "energy" not in results:
        whole, numbers = next(iter(results)), next(iter(results.values())).ravel()
        shown = " ".join(f"{number:12.6g}" for number in numbers[:9]) + " ..." * (len(numbers) > 9)
        cells.append((f"{whole:>12}", shown))
    else:
        cells += energy_cells(results)
    for row in range(0 if first else 1, 2):
        print(" ".join(cell[row] for cell in cells))


def energy_cells(results):
    stress = results.get("stress")
    pressure = f"{-sum(stress[:3]) / 3 * EV_PER_A3_IN_GPA:.4f}" if stress is not None else "-"
    cells = [(f"{'energy/eV':>18}", f"{results['energy']:18.8f}"),
             (f"{'max force/eV/A':>15}", f"{longest(results['forces']):15.6f}")]
    if "magforces" in results:
        cells.append((f"{'max magnetic/eV':>16}", f"{longest(results['magforces']):16.6f}"))
    return [*cells, (f"{'pressure/GPa':>13}", f"{pressure:>13}")]


def longest(vectors):
    return max((sum(component**2 for component in vector) ** 0.5 for vector in vectors), default=0.0)


# ---------------------------------------------------------------- pack


def add_pack(commands):
    command = add_command(commands, "pack", run_pack, "write a model to another kind of file", PACK_EXAMPLES)
    command.add_argument("output", metavar="OUT", help=".dgnn, or .dp or .yaml, which deepmd-kit reads")
    command.add_argument("--json", action="store_true", help="print what was written as JSON")


def run_pack(options):
    model = dgnn.Model.load(options.model, head=options.head)
    model.save(options.output)
    if options.json:
        print(json.dumps({"model": options.model, "output": options.output, "bytes": os.path.getsize(options.output),
                          "digest": model.digest}))
