"""Writes the seeds of compressed models, pair tables and what is not energy for the targets model and checkpoint, from the cases and
from what deepmd-kit saved of them. The other seeds were made by hand. tests/fuzz/test_fuzz.py: each of them is read, not refused.

    python tests/fuzz/make_seeds.py
"""

import io
import json
import pathlib
import pickle
import pickletools
import struct
import sys
import zipfile

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "data"))
import saved_files  # noqa: E402

MODELS = ["compressed_coarse", "compressed_dpa1_attn2", "compressed_dpa2_one_side", "compressed_hybrid", "compressed_se_e2_a",
          "compressed_se_e2_r", "compressed_se_e3", "compressed_se_e3_tebd", "zbl_dpa1", "zbl_dpa3", "linear_dpa1_pairtab",
          "dipole_se_e2_a", "dipole_dpa3", "polar_dpa1", "dos_fparam_aparam", "property_dpa1"]
CHECKPOINTS = [("compressed_se_e2_a", "pt"), ("compressed_se_e2_r", "expt.pt"), ("compressed_dpa1", "pt"), ("compressed_dpa2", "expt.pt"),
               ("zbl_dpa1", "pt"), ("zbl_dpa1", "expt.pt"), ("linear_dpa1_pairtab", "pt"), ("dipole_se_e2_a", "pt"),
               ("polar_dpa1", "expt.pt"), ("dos_dpa1", "pt"), ("property_dpa1", "expt.pt"), ("dpa3_one_layer", "pt"),
               ("dpa2_one_layer", "pt"), ("se_e3_tebd_strip", "pt"), ("spin_dpa1", "pt"), ("compressed_se_e2_r", "pth"), ("zbl_dpa1", "pth")]
GIVEN = ("compress_info", "tab_info")  # a table of which any numbers stand is none
SPLINES = 8  # as in fuzz_checkpoint.c
ROWS = 8  # of a table of compression, which a checkpoint's reader does not count
LETTERS = {"float64": "d", "float32": "f", "int64": "l", "int32": "i", "bool": "?"}


def without_arrays(value, arrays, name=""):
    """The tree, with numbers of arrays in their places."""
    if isinstance(value, list):
        return [without_arrays(item, arrays, name) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("@class") != "np.ndarray":
        return {key: without_arrays(item, arrays, key) for key, item in value.items()}
    array = np.array(value["value"], value["dtype"])
    numbers = "=" + ",".join(f"{number:.17g}" for number in array.ravel()) if name in GIVEN else ""
    arrays.append(LETTERS[value["dtype"]] + ",".join(map(str, array.shape)) + numbers)
    return {"@class": "np.ndarray", "@index": len(arrays) - 1}


def model_seed(case):
    arrays = []
    tree = without_arrays({"model": saved_files.tree_of(case)}, arrays)
    return b"T" + ";".join(arrays).encode() + b"\xff" + json.dumps(tree, separators=(",", ":")).encode()


def tables_of(value):
    """What slims the tables of a tree: integers of shapes, strides and storages -> theirs when they are short."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return {}
    found = {}
    if value.get("@class") == "PairTab":
        for times in (1, 4, 4 * value["ntypes"], 4 * value["ntypes"] ** 2):
            found[value["nspline"] * times] = SPLINES * times
    for table in value.get("compress_data", ()):
        rows, width = np.array(table["value"]).shape
        found |= {rows: ROWS, rows * width: ROWS * width}
    for item in value.values():
        found |= tables_of(item)
    return found


def integer(value):
    return b"K%c" % value if value < 256 else b"M" + struct.pack("<H", value) if value < 65536 else b"J" + struct.pack("<i", value)


def with_integers(pickle, changed):
    """A pickle with other integers, for nothing in one depends on places."""
    parts, end = [], 0
    operations = [(place, operation.name, argument) for operation, argument, place in pickletools.genops(pickle)]
    for (place, name, argument), (after, _, _) in zip(operations, operations[1:], strict=False):
        if name in ("BININT", "BININT1", "BININT2") and argument in changed:
            parts += [pickle[end:place], integer(changed[argument])]
            end = after
    return b"".join([*parts, pickle[end:]])


def pickle_of(case, kind):
    """With short tables."""
    with zipfile.ZipFile(io.BytesIO(saved_files.saved_file(case, kind))) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        return with_integers(archive.read(name), tables_of(saved_files.tree_of(case)))


class Dict(dict):
    """One with attributes, as OrderedDict has."""


class Tensor:
    def __init__(self, storage, _offset, shape, *_):
        self.kind, self.shape = storage[1], shape


class Reader(pickle.Unpickler):
    """Of the files in this repository."""

    def find_class(self, module, name):
        known = {"OrderedDict": Dict, "_rebuild_tensor_v2": Tensor, "_rebuild_parameter": lambda tensor, *_: tensor}
        return known.get(name, name)

    def persistent_load(self, pid):
        return pid


class Writer:
    """A short pickle of a model's states: tensors of one kind are views of one storage, and what is there again is a number of
    the memo. What a pair table is described by has a storage of its own (fuzz_checkpoint.c)."""

    def __init__(self, states):
        self.memo, self.length = {}, {}
        for name, value in states.items():
            if isinstance(value, Tensor):
                self.length[self.storage(name, value)] = max(int(np.prod(value.shape)), self.length.get(self.storage(name, value), 1))
        self.states = states

    def storage(self, name, tensor):
        return "i" if name.endswith("tab_info") else tensor.kind[0], tensor.kind

    def pickle(self):
        states = b"".join(self.text(name) + (self.tensor(name, value) if isinstance(value, Tensor) else self.value(value))
                          for name, value in self.states.items())
        return b"\x80\x02}" + self.text("model") + b"}(" + states + b"us."

    def again(self, key, make):
        if key in self.memo:
            return b"h%c" % self.memo[key]
        made = make()
        self.memo[key] = len(self.memo)
        return made + b"q%c" % self.memo[key]

    def text(self, text):
        return b"X" + struct.pack("<I", len(text.encode())) + text.encode()

    def value(self, value):
        if isinstance(value, dict):
            items = b"".join(self.value(key) + self.value(item) for key, item in value.items())
            return b"}(" + items + b"u" if items else b"}"
        if isinstance(value, (list, tuple)):
            items = b"".join(map(self.value, value))
            return (b"](" + items + b"e" if items else b"]") if isinstance(value, list) else b"(" + items + b"t"
        if isinstance(value, float):
            return b"G" + struct.pack(">d", value)
        if isinstance(value, str):
            return self.text(value)
        return {None: b"N", True: b"\x88", False: b"\x89"}[value] if value is None or isinstance(value, bool) else integer(value)

    def tensor(self, name, tensor):
        storage = self.storage(name, tensor)

        def make_storage():
            return (b"(" + self.text("storage") + b"ctorch\n" + tensor.kind.encode() + b"\n" + self.text(storage[0]) +
                    self.text("cpu") + integer(self.length[storage]) + b"tQ")

        def make():
            strides = tuple(int(np.prod(tensor.shape[axis + 1:])) for axis in range(len(tensor.shape)))
            return (self.again("rebuild", lambda: b"ctorch._utils\n_rebuild_tensor_v2\n") + b"(" + self.again(storage, make_storage) +
                    b"K\x00" + self.value(tuple(tensor.shape)) + self.value(strides) + b"\x89" +
                    self.again("hooks", lambda: b"ccollections\nOrderedDict\n)R") + b"tR")

        return self.again((*storage, tuple(tensor.shape)), make)


def short_seed(case, kind):
    """Of a checkpoint's pickle; of a module, which is short, its own."""
    whole = Reader(io.BytesIO(pickle_of(case, kind))).load()
    return Writer(whole.get("model", whole)).pickle()


def main():
    for case in MODELS:
        (HERE / "model" / "corpus" / case).write_bytes(model_seed(case))
    for case, kind in CHECKPOINTS:
        seed = pickle_of(case, kind) if kind == "pth" else short_seed(case, kind)
        (HERE / "checkpoint" / "corpus" / f"{kind.removesuffix('.pt')}_{case}").write_bytes(seed)


if __name__ == "__main__":
    main()
