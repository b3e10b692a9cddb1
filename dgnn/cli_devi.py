"""dgnn devi: how far several models are apart, as deepmd-kit's dp model-devi."""

import json

import numpy as np

import dgnn
from dgnn.cli_common import Parser, UsageError, add_load_options, check_output, one_line, with_progress
from dgnn.cli_test import systems_of

EXAMPLES = """examples:
  dgnn devi a.pt2 b.pt2 c.pt2 d.pt2 md.traj -o model_devi.out
  dgnn devi a.pt2 b.pt2 data/ --atomic                      a column for each atom; folders of deepmd-kit too
  dgnn devi a.pt2 b.pt2 data/ --real-error                  from the labels rather than from the mean
  dgnn devi a.pt2 b.pt2 md.traj --relative 1.0              forces' deviations over |F| + 1 eV/A

Columns are those of dp model-devi: step, max, min and average deviation of virials (eV per atom) and of forces (eV/A), and
that of the energy per atom. Types of atoms go by name, and models may differ in family, cutoff and order of types.
"""


def add_devi(commands):
    import argparse

    help = "how far several models are apart"
    command: Parser = commands.add_parser("devi", help=help, description=help[0].upper() + help[1:] + ".", epilog=EXAMPLES,
                                          formatter_class=argparse.RawDescriptionHelpFormatter)
    command.set_defaults(run=run_devi)
    command.add_argument("models", metavar="MODEL", nargs="+", help="two models or more, then one structure file or folder")
    command.add_argument("--head", metavar="NAME", help="the task, of models that were trained for several")
    command.add_argument("--format", metavar="FORMAT", help="of a file for ASE, where its name doesn't say")
    command.add_argument("-o", "--output", metavar="OUT", default="model_devi.out", help="default: model_devi.out")
    command.add_argument("-f", "--frequency", type=int, default=1, metavar="N", help="steps from frame to frame, for the first "
                         "column")
    command.add_argument("--atomic", action="store_true", help="also each atom's deviation of forces")
    command.add_argument("--relative", type=float, metavar="LEVEL", help="eV/A: deviations of forces over |F| + LEVEL")
    command.add_argument("--relative-v", type=float, metavar="LEVEL", help="eV: of virials over |V| + LEVEL")
    command.add_argument("--real-error", action="store_true", help="from labels (energy, force, virial) instead of the mean")
    command.add_argument("--json", action="store_true", help="print a line of JSON for each system, with all its rows")
    add_load_options(command)


def run_devi(options):
    *paths, structure = options.models
    if len(paths) < 2:
        raise UsageError(f"expected two models or more and a structure, found {' '.join(options.models)}; see dgnn devi --help")
    check_output("-o", options.output)
    committee = dgnn.Committee(paths, dtype=options.dtype, threads=options.threads, device=options.device,
                               memory=options.memory, semantics=options.semantics, head=options.head, radial=options.radial,
                               compressed=options.compressed)
    from dgnn import datasets

    options.frames = None
    written = False
    for system in systems_of(datasets, structure, committee.models[0], options):
        if options.atomic and len({frame.natoms for frame in system.frames}) > 1:
            raise UsageError(f"{system.name}: --atomic: frames of different sizes have different numbers of columns")
        named = [(frame, f"{system.name}, frame {k}") for k, frame in enumerate(system.frames)]
        rows = np.array([row(committee, frame, options, where) for frame, where in with_progress(named)])
        rows[:, 0] = np.arange(len(rows)) * options.frequency
        write(options.output, rows, system.name, options.atomic, append=written)
        written = True
        if options.json:
            print(json.dumps({"system": system.name, "output": options.output, "columns": columns(rows), "rows": rows.tolist()}))
        elif rows.size:
            print(f"{system.name}: {len(rows)} frames, max_devi_f {rows[:, 4].max():.6e} eV/A (largest), "
                  f"{rows[:, 4].mean():.6e} (mean)")


def columns(rows):
    """Names of the columns, as dp model-devi has them."""
    atoms = rows.shape[1] - 8 if rows.ndim == 2 else 0
    return ["step", "max_devi_v", "min_devi_v", "avg_devi_v", "max_devi_f", "min_devi_f", "avg_devi_f",
            "devi_e", *(f"atm_devi_f({k})" for k in range(atoms))]


def row(committee, frame, options, where):
    """step, of v: max, min, avg, of f: max, min, avg, of e; then each atom's of f."""
    from dgnn import deepmd

    levels = dict(relative=options.relative, relative_v=options.relative_v)
    try:
        result = committee.compute(**frame.arguments, **levels)
    except dgnn.Error as error:
        raise UsageError(f"{where}: {one_line(error)}") from None
    real = None
    if options.real_error:
        missing = [name for name in ("energy", "force", "virial") if name not in frame.labels]
        if missing:
            raise UsageError(f"{where}: --real-error needs labels; there is no {missing[0]}")
        n = max(1, frame.natoms)
        real = {"energy": np.array([[frame.labels["energy"] / n]]), "force": np.asarray(frame.labels["force"])[None],
                "virial": np.reshape(frame.labels["virial"], (1, 9)) / n}
    return deepmd.deviation_row(result, frame.natoms, real, options.atomic, **levels)


def write(path, rows, name, atomic, append):
    from dgnn import deepmd

    if not append:
        open(path, "w").close()
    deepmd.write_model_devi_out(rows, path, header=name, atomic=atomic)
