"""dgnn test: a model beside labels, as deepmd-kit's dp test."""

import itertools
import json
import os
import sys

import dgnn
from dgnn.cli_common import UsageError, add_command, add_load_options, check_output, check_plot, load, one_line

EXAMPLES = """examples:
  dgnn test model.pt2 data/                         every system below a folder, then all of them together
  dgnn test model.pt2 a/ b.hdf5 md.extxyz           deepmd-kit's folders, HDF5, and what ASE reads with energies and forces
  dgnn test model.pt2 data/ -n 10 --json            the first ten frames of each system, as JSON
  dgnn test model.pt2 data/ -d detail               detail.e.out, detail.f.out, ...: as dp test -d writes them
  dgnn test dipole.pt2 data/                        dipoles, polarisabilities, densities of states, properties
  dgnn test model.pt2 data/ --plot parity.png       what the model says over what the labels say

Folders are deepmd/npy (set.*, type.raw, type_map.raw; mixed types with real_atom_types.npy), deepmd/raw and HDF5 as
dpdata writes it (FILE#GROUP for one group). Types go by the names in type_map.raw. MAE and RMSE are those of dp test, and
averages over systems are weighted as there.
"""


def add_test(commands):
    command = add_command(commands, "test", run_test, "compare a model with labelled structures", EXAMPLES)
    command.add_argument("data", metavar="DATA", nargs="+", help="folders, HDF5 files, or files that ase.io reads")
    command.add_argument("--format", metavar="FORMAT", help="of files for ASE, where their names don't say")
    command.add_argument("-n", "--frames", type=int, metavar="N", help="of each system, the first N frames")
    command.add_argument("-d", "--detail", metavar="PREFIX", help="write each label beside the model's answer, as dp test does")
    command.add_argument("--plot", metavar="OUT", help="parity plots: .png, .pdf, .svg")
    command.add_argument("--json", action="store_true", help="print the errors as JSON")
    add_load_options(command)


def run_test(options):
    check_frames(options)
    if options.detail:
        check_output("-d", options.detail)
    if options.plot:
        check_plot(options.plot)
    for path in options.data:
        if not os.path.lexists(path) and not os.path.lexists(path.partition("#")[0].partition("@")[0]):
            raise UsageError(f"{path}: no such file or folder")
    model = load(options)
    report = tested(model, options)
    if options.json:
        print(json.dumps(report))


def tested(model, options):
    """The report; printed as it comes, unless it is wanted as JSON."""
    from dgnn import accuracy, datasets

    magnetic, everything, rows = accuracy.magnetic_types(model), accuracy.Errors(), []
    details = accuracy.Details(options.detail) if options.detail else None
    points = accuracy.Points() if options.plot else None
    systems = (system for path in options.data for system in systems_of(datasets, path, model, options))
    for _, parts in itertools.groupby(computed(model, systems), key=lambda part: id(part[0])):
        errors = accuracy.Errors()
        for system, part, results in parts:
            for frame, result in zip(part, results, strict=True):
                errors.add_frame(frame, result, magnetic)
                if points:
                    points.add_frame(frame, result, magnetic)
            if details:
                details.add_system(system.name, part, results, magnetic)
        if not errors.sums:
            raise UsageError(f"{system.name}: has no labels (energy, force, virial, ...); 'dgnn eval' computes without them")
        everything.merge(errors)
        rows.append({"system": system.name, "frames": errors.frames, "errors": errors.figures()})
        if not options.json:
            print_errors(f"{system.name}: {errors.frames} frames", errors)
    if not options.json:
        print_errors(f"all {len(rows)} systems: {everything.frames} frames, weighted as by dp test", everything)
    if options.plot:
        from dgnn import accuracy_plot

        accuracy_plot.plot(points, everything, options.plot)
    return {"model": options.model, "systems": rows, "average": everything.figures(), "frames": everything.frames}


def systems_of(datasets, path, model, options):
    try:
        yield from datasets.read(path, model, options.frames, options.format)
    except (dgnn.InputError, UnicodeDecodeError) as error:
        raise UsageError(one_line(error)) from None


PART = 4096  # frames of a system whose results are held at a time
TOGETHER = 512  # frames of small systems that are computed together: threads wait for each other once


def check_frames(options):
    if options.frames is not None and options.frames < 1:
        raise UsageError(f"-n: expected 1 or more, found {options.frames}")


def computed(model, systems, request=0):
    """(system, frames, results), in order, a system's part by part."""
    from dgnn import many

    show = sys.stderr.isatty() and has_tqdm()
    for batch in batches(systems):
        frames = [frame for _, _, part in batch for frame in part]
        names = [f"{system.name}: frame {begin + k}" for system, begin, part in batch for k in range(len(part))]
        try:
            results = iter(many.compute_many(model, [frame.arguments for frame in frames], progress=show, request=request,
                                             name=names.__getitem__))
        except dgnn.Error as error:
            raise UsageError(one_line(error)) from None
        for system, _, part in batch:
            yield system, part, [*itertools.islice(results, len(part))]


def batches(systems):
    """[(system, its first frame's number, frames), ...]: whole systems, or parts of large ones."""
    batch, held = [], 0
    for system in systems:
        for begin in range(0, max(len(system.frames), 1), PART):
            batch.append((system, begin, system.frames[begin : begin + PART]))
            held += len(batch[-1][-1])
            if held >= TOGETHER:
                yield batch
                batch, held = [], 0
    if batch:
        yield batch


def has_tqdm():
    import importlib.util

    return importlib.util.find_spec("tqdm") is not None


def print_errors(title, errors):
    from dgnn.accuracy import QUANTITIES

    print(title)
    figures = errors.figures()
    for quantity in QUANTITIES:
        if f"mae_{quantity.key}" in figures:
            print(f"  {quantity.title:18} MAE {figures[f'mae_{quantity.key}']:12.6e}   "
                  f"RMSE {figures[f'rmse_{quantity.key}']:12.6e} {quantity.unit}")
