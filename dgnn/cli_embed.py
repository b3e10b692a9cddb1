"""dgnn embed: descriptors and last hidden layers to a file."""

import json
import os

import numpy as np

from dgnn.cli_common import UsageError, add_command, add_load_options, check_output, load
from dgnn.cli_test import check_frames, computed, systems_of
from dgnn.model import DESCRIPTOR, LAST_LAYER, NO_FORCES

EXAMPLES = """examples:
  dgnn embed model.pt2 water.xyz -o water.npz            descriptor, last_layer, types, first: atoms of all frames, one under
                                                         the other; frame k has the rows first[k] to first[k + 1]
  dgnn embed model.pt2 data/ -o data.hdf5                deepmd-kit's layout (dp embed): a group for each system with
                                                         descriptor, atomic_feature, structural_feature and atom_types
  dgnn embed model.pt2 md.traj -o md.npz --only descriptor
"""
WHAT = {"descriptor": DESCRIPTOR, "last_layer": LAST_LAYER, "both": DESCRIPTOR | LAST_LAYER}


def add_embed(commands):
    command = add_command(commands, "embed", run_embed, "write descriptors and last hidden layers", EXAMPLES)
    command.add_argument("data", metavar="DATA", nargs="+", help="folders, HDF5 files, or files that ase.io reads")
    command.add_argument("-o", "--output", metavar="OUT", required=True, help=".npz, or .hdf5 (.h5)")
    command.add_argument("--only", choices=["descriptor", "last_layer"], help="one of the two")
    command.add_argument("--precision", choices=["float32", "float64"], default="float64", help="of what is written")
    command.add_argument("--format", metavar="FORMAT", help="of files for ASE, where their names don't say")
    command.add_argument("-n", "--frames", type=int, metavar="N", help="of each system, the first N frames")
    command.add_argument("--json", action="store_true", help="print what was written as JSON")
    add_load_options(command)


def run_embed(options):
    check_frames(options)
    check_output("-o", options.output)
    ending = os.path.splitext(options.output)[1].lower()
    if ending not in (".npz", ".hdf5", ".h5"):
        raise UsageError(f"-o: {options.output}: expected a name that ends with .npz, .hdf5 or .h5")
    model = load(options)
    from dgnn import datasets

    systems = [system for path in options.data for system in systems_of(datasets, path, model, options)]
    request = WHAT[options.only or "both"]
    if not options.only and not model.info()["dim_last_layer"]:
        request = WHAT["descriptor"]
    writer = write_npz if ending == ".npz" else write_hdf5
    writer(options.output, model, systems, request, np.dtype(options.precision))
    if options.json:
        written = [name for name, bit in WHAT.items() if name != "both" and request & bit]
        print(json.dumps({"output": options.output, "written": written, "precision": options.precision,
                          "systems": [{"system": system.name, "frames": len(system.frames)} for system in systems]}))


def features(model, system, request, dtype):
    """Of each frame: {"descriptor": (n, dim), "last_layer": (n, dim)}."""
    for _, _, results in computed(model, [system], request | NO_FORCES):
        for result in results:
            yield {name: value.astype(dtype) for name, value in (("descriptor", result.descriptor),
                                                                  ("last_layer", result.last_layer)) if value is not None}


def write_npz(path, model, systems, request, dtype):
    rows = [row for system in systems for row in features(model, system, request, dtype)]
    frames = [frame for system in systems for frame in system.frames]
    arrays = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    counts = [frame.natoms for frame in frames]
    np.savez_compressed(path, **arrays, types=np.concatenate([frame.arguments["types"] for frame in frames]),
                        first=np.concatenate([[0], np.cumsum(counts)]), type_map=np.array(model.type_map),
                        frames_of=np.array([len(system.frames) for system in systems]),
                        system=np.array([system.name for system in systems]))


def write_hdf5(path, model, systems, request, dtype):
    """As dp embed: systems whose frames have one number of atoms."""
    try:
        import h5py
    except ImportError:
        raise UsageError("writing HDF5 needs h5py: pip install 'dgnn-md[dp]'") from None
    for system in systems:
        if len({frame.natoms for frame in system.frames}) > 1:
            raise UsageError(f"{system.name}: frames of different sizes do not fit into one array; write .npz")
    with h5py.File(path, "w") as file:
        file.attrs["type_map"] = np.array(model.type_map, dtype=h5py.string_dtype())
        for system in systems:
            rows = list(features(model, system, request, dtype))
            group = file.create_group(group_name(system.name, file))
            group.attrs.update(system=system.name, nframes=len(rows))
            data = {"descriptor": [row["descriptor"] for row in rows if "descriptor" in row],
                    "atomic_feature": [row["last_layer"] for row in rows if "last_layer" in row]}
            if data["atomic_feature"]:
                data["structural_feature"] = [row.sum(axis=0) for row in data["atomic_feature"]]
            data["atom_types"] = [np.asarray(frame.arguments["types"], np.int32) for frame in system.frames]
            for name, values in data.items():
                if values:
                    group.create_dataset(name, data=np.stack(values), compression="gzip", shuffle=True)


def group_name(system, file):
    base = name = os.path.basename(system.rstrip("/")).replace("#", "_") or "system"
    number = 0
    while name in file:
        number += 1
        name = f"{base}_{number}"
    return name
