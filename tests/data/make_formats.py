"""Save the models of cases/ also as deepmd-kit's other files: checkpoints of both its dialects and TorchScript, and as
the data of a .pte. What it wrote goes to saved.tar.xz (saved_files.py says how); what it could not build is listed.

usage: make_formats.py [CASE ...]         needs what make_cases.py needs; with names, the others stay as they are

CASE.pt         a checkpoint of the pt backend                                     the bits of cases/CASE
CASE.pth        the same, frozen (TorchScript; its debug records left out)         the bits of cases/CASE
CASE.expt.pt    a checkpoint of the pt_expt backend; a model that this backend runs as a graph is there as CASE_graph
CASE.pte        the archive of `dp --pt-expt freeze` with a trivial program in the place of the exported one, which takes
                minutes to make and is not read
"""

import contextlib
import copy
import hashlib
import io
import json
import os
import pathlib
import sys
import tarfile
import tempfile
import zipfile

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
import torch
from saved_files import DATA, NOT_SAVED, STORE, arrays_of, cut, joined, members, tree_of

torch.set_num_threads(1)
import deepmd.pt.model.model as pt
import deepmd.pt_expt.model as pt_expt
from deepmd.pt.model.model.spin_model import SpinEnergyModel as PtSpin
from deepmd.pt.train.wrapper import ModelWrapper as PtWrapper
from deepmd.pt_expt.model.get_model import get_model as get_expt_model
from deepmd.pt_expt.model.spin_ener_model import SpinEnergyModel as ExptSpin
from deepmd.pt_expt.train.wrapper import ModelWrapper as ExptWrapper
from deepmd.pt_expt.utils.serialization import _collect_metadata, _json_to_numpy, _numpy_to_json_serializable
from deepmd.utils.argcheck import normalize


DEFAULTS = ("precision", "type_one_side", "smooth_type_embedding", "smooth", "env_protection", "use_tebd_bias",
            "use_econf_tebd", "concat_output_tebd")


class Unlike(Exception):
    """The model that deepmd-kit builds from its input file is not the case's."""


def script_of(case):
    with zipfile.ZipFile(DATA / "cases" / case / "model.pt2") as archive:
        return json.loads(archive.read("model/extra/model_def_script.json"))


def checked(script, tree):
    """The model's part of an input file as deepmd-kit's Trainer checks and stores it: all defaults filled in. Where the
    checked default is another than that of the class, the case has the class's."""
    script = copy.deepcopy(script)
    fill(script, tree)
    if script.get("type") == "linear_ener":
        script.pop("fitting_net", None)
    loss = {"type": "ener_spin" if "spin" in script else "ener"}
    whole = dict(model=script,
                 learning_rate=dict(type="exp", start_lr=1e-3, stop_lr=1e-8), loss=loss,
                 training=dict(training_data=dict(systems=["."]), numb_steps=1))
    return normalize(whole)["model"]


def fill(script, tree):
    """Options, of which the class and the input file have different defaults: as in the tree."""
    if "models" in script:
        for child, data in zip(script["models"], tree["models"]):
            fill(child, data)
    elif "descriptor" in script:
        data = tree["models"][0] if tree["type"] == "zbl" else tree.get("backbone_model", tree)
        fill_part(script["descriptor"], data["descriptor"])
        fill_part(script["fitting_net"], data["fitting"])


def fill_part(options, data):
    if options.get("type") == "hybrid":
        for child, part in zip(options["list"], data["list"]):
            fill_part(child, part)
    for name, value in data.items():
        if name in DEFAULTS:
            options.setdefault(name, value)
    if "use_tebd_bias" in data.get("type_embedding", {}):
        options.setdefault("use_tebd_bias", data["type_embedding"]["use_tebd_bias"])
    for name in ("repflow", "repinit", "repformer"):
        if name in options:
            fill_part(options[name], data[f"{name}_args"])


def same(one, other):
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(np.asarray(one), np.asarray(other), equal_nan=np.asarray(one).dtype.kind == "f")
    return one == other or one in (None, []) and other in (None, [])


@contextlib.contextmanager
def tables_of(tree, params):
    """In a folder with the files that the pair tables of a tree were made of, by the names of the settings: the rows up to rmax,
    for what lies beyond deepmd-kit adds itself."""
    names = [params.get("use_srtab"), *(model.get("tab_file") for model in params.get("models", []))]
    tables = [model["tab"] for model in tree.get("models", []) if model["type"] == "pairtab"]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for name, table in zip(filter(None, names), tables):
            rows = arrays_of(table["@variables"]["vdata"])[0]
            np.savetxt(name, rows[rows[:, 0] <= table["rmax"]], fmt="%.17g")
        yield


def trained(tree, params, build, kinds):
    """A model as the Trainer makes it from params, with the numbers of tree."""
    kind = kinds[{"spin_ener": 1, "linear": 2}.get(tree["type"], 0)]
    source = kind.deserialize(_json_to_numpy(without_tables(tree)))
    with tables_of(tree, params):
        model = build(copy.deepcopy(params))
    model.load_state_dict(source.state_dict())
    if not same(model.serialize(), source.serialize()):
        raise Unlike("built from its input file, it is another model")
    if not list(compressed(tree)):
        return model.eval()
    if kind is not pt.BaseModel:  # pt_expt keeps the tables in its tree
        return kind.deserialize(_json_to_numpy(copy.deepcopy(tree))).eval()
    descriptors = model.atomic_model.descriptor
    for part, descriptor in zip(tree["descriptor"].get("list", [tree["descriptor"]]), getattr(descriptors, "descrpt_list", [descriptors])):
        put_tables(descriptor, part)
    return model.eval()


def compressed(tree):
    """The objects of a tree that have tables."""
    descriptor = tree.get("descriptor", {})
    for part in descriptor.get("list", [descriptor]):
        for owner in (part, part.get("repinit_variable", {})):
            if owner.get("compress"):
                yield owner


def without_tables(tree):
    tree = copy.deepcopy(tree)
    for owner in compressed(tree):
        del owner["compress"]
    return tree


def put_tables(descriptor, part):
    """What enable_compression of the pt backend leaves in a descriptor, with the numbers of the tree."""
    block = next((getattr(descriptor, name) for name in ("sea", "seat", "se_ttebd", "se_atten", "repinit") if hasattr(descriptor, name)),
                 descriptor)
    compress = part.get("compress") or part["repinit_variable"]["compress"]
    arrays = _json_to_numpy(copy.deepcopy(compress["@variables"]))
    for name in ("compress_data", "compress_info"):
        for number, array in enumerate(arrays.get(name, [])):
            if array.any():
                getattr(block, name)[number] = torch.nn.Parameter(torch.tensor(array), requires_grad=False)
    if "type_embd_data" in arrays:
        if hasattr(block, "type_embd_data"):
            del block.type_embd_data
        block.register_buffer("type_embd_data", torch.tensor(arrays["type_embd_data"]))
    for owner in (descriptor, block):
        for name, value in (("compress", True), ("tebd_compress", True), ("geo_compress", "compress_data" in arrays)):
            if hasattr(owner, name):
                setattr(owner, name, value)


def checkpoint(wrapper):
    optimizer = torch.optim.Adam(wrapper.parameters(), lr=1e-3)
    buffer = io.BytesIO()
    torch.save({"model": wrapper.state_dict(), "optimizer": optimizer.state_dict()}, buffer)
    return buffer.getvalue()


def without_debug_records(data):
    """Stored, and without the records that tell where in Python a line of code came from."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        kept = [(item.filename, archive.read(item)) for item in archive.infolist()
                if not item.filename.endswith(".debug_pkl")]
    buffer = io.BytesIO()
    root = kept[0][0].split("/")[0]
    writer = torch._C.PyTorchFileWriter(buffer)
    for name, content in kept:
        name = name.removeprefix(root + "/")
        if name not in ("version", ".data/serialization_id"):
            writer.write_record(name, content, len(content))
    writer.write_end_of_file()
    return buffer.getvalue()


def torch_script(model):
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(model), buffer, {"data_modifier.pth": ""})
    return without_debug_records(buffer.getvalue())


class Nothing(torch.nn.Module):
    def forward(self, value):
        return value + 1


def exported(case, tree, script, model):
    """What deepmd-kit's _deserialize_to_file_pte writes, but for the program."""
    graph = tree.get("descriptor", {}).get("type") == "dpa4c"  # which has no other form
    metadata = _collect_metadata(model, spin_scheme={"spin_ener": "deepspin", "native_spin": "native"}.get(tree["type"]),
                                 lower_kind="graph" if graph else "nlist")
    data = {"model": tree, "model_def_script": script, "backend": "dpmodel", "software": "deepmd-kit", "version": "3.2.0"}
    extra = {"metadata.json": json.dumps(metadata), "model.json": json.dumps(data, separators=(",", ":")),
             "model_def_script.json": json.dumps(script)}
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(Nothing(), (torch.zeros(2),)), buffer, extra_files=extra)
    return buffer.getvalue()


def files_of(case):
    """(kind, bytes) of all that this case can be; raises at the end what went wrong."""
    tree, failures = tree_of(case), []

    def attempt(kind, make):
        try:
            return kind, make()
        except Exception as error:
            failures.append(f"{case}.{kind}: {type(error).__name__}: {' '.join(str(error).split(' File ')[0].split())[:160]}")
            return kind, None

    graph = (DATA / "cases" / f"{case}_graph").exists()
    _, params = attempt("input", lambda: checked(script_of(case), tree))
    if params is None:
        yield "failures", failures
        return
    _, model = attempt("pt", lambda: trained(tree, params, pt.get_model, (pt.BaseModel, PtSpin, pt.LinearEnergyModel)))
    if model is not None:
        yield attempt("pt", lambda: checkpoint(PtWrapper(model, model_params=copy.deepcopy(params))))
        model.model_def_script = json.dumps(params)
        yield attempt("pth", lambda: torch_script(model))
    _, other = attempt("expt.pt", lambda: trained(tree, params, get_expt_model, (pt_expt.BaseModel, ExptSpin, pt_expt.BaseModel)))
    if other is not None:
        yield attempt("graph.expt.pt" if graph else "expt.pt",
                      lambda: checkpoint(ExptWrapper(other, model_params=copy.deepcopy(params))))
        yield attempt("pte", lambda: exported(case, tree, params, other))
    yield "failures", failures


def add(store, name, data):
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    store.addfile(entry, io.BytesIO(data))


def others(cases):
    """What is kept and what is not, of other cases than these."""
    kept = [(name.removesuffix(".json"), members()[name.removesuffix(".json")], data) for name, data in members().items()
            if name.endswith(".json") and json.loads(data)["weights"] not in cases]
    return kept, [line for line in NOT_SAVED.read_text().splitlines() if line.split(".")[0] not in cases]


def run(names):
    cases = names or sorted(path.name for path in (DATA / "cases").iterdir() if not path.name.endswith("_graph"))
    kept, failures = others(cases) if names else ([], [])
    for case in cases:
        arrays = arrays_of(tree_of(case))
        for kind, data in files_of(case):
            if kind == "failures":
                failures += data
            elif data is not None:
                left, places = cut(data, arrays)
                assert joined(left, places, arrays) == data
                shown = f"{case}_graph.{kind.removeprefix('graph.')}" if kind.startswith("graph.") else f"{case}.{kind}"
                recipe = {"sha256": hashlib.sha256(data).hexdigest(), "weights": case, "places": places}
                kept.append((shown, left, json.dumps(recipe).encode()))
                print(f"{shown:40} {len(data):8d} bytes, {len(left):8d} left", flush=True)
    # Files of one kind lie beside one another, as they are alike.
    with tempfile.NamedTemporaryFile(dir=DATA, delete=False) as file:
        with tarfile.open(fileobj=file, mode="w:xz", preset=9) as store:
            for shown, left, recipe in sorted(kept, key=lambda item: (item[0].split(".", 1)[1], item[0])):
                add(store, shown, left)
                add(store, f"{shown}.json", recipe)
    os.chmod(file.name, 0o644)
    os.replace(file.name, STORE)
    print(f"{len(kept)} files, {STORE.stat().st_size} bytes")
    NOT_SAVED.write_text("".join(f"{line}\n" for line in sorted(failures)))


if __name__ == "__main__":
    run(sys.argv[1:])
