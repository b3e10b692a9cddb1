"""What a file is that dgnn could not read: one table, looked at after a reader refused, so that a sound file costs nothing
and is never taken for something else. A format that dgnn learns to read leaves the table."""

import contextlib
import errno
import functools
import io
import json
import os
import re
import stat
from collections.abc import Callable
from typing import NamedTuple

from dgnn._core import Error, InputError, ModelFormatError, UnsupportedModelError

HEAD = 1 << 16  # bytes that are looked at; a text of at most so many is looked at as a tree too


class File:
    """What there is to look at: a name, and the bytes or the folder behind it."""

    def __init__(self, name, data=None):
        self.name = os.fsdecode(name)
        self._data = data

    @property
    def suffix(self):
        return os.path.splitext(self.name)[1].lower()

    @functools.cached_property
    def members(self):
        """Names in a folder; empty for a file."""
        with contextlib.suppress(OSError):
            return frozenset(os.listdir(self.name) if self._data is None else ())
        return frozenset()

    @functools.cached_property
    def head(self):
        """The first bytes of a regular file; empty for anything else."""
        if self._data is not None:
            start = self._data[: HEAD + 1]
            return start.encode("utf-8", "replace") if isinstance(start, str) else bytes(start)
        with contextlib.suppress(OSError), open(os.open(self.name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return file.read(HEAD + 1)
        return b""

    @functools.cached_property
    def tree(self):
        """A short JSON or YAML text as what it says; None for anything else."""
        if not self.head or len(self.head) > HEAD or b"\0" in self.head:
            return None
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(self.head)
        if self.suffix in (".yaml", ".yml") or re.search(rb"^model\s*:", self.head, re.MULTILINE):
            with contextlib.suppress(Exception):  # PyYAML's, of many classes, or there is none
                import yaml

                return yaml.safe_load(self.head)
        return None


    @functools.cached_property
    def archived(self):
        """Names in a ZIP archive; empty for anything else."""
        if not self.head.startswith(b"PK"):
            return frozenset()
        import zipfile

        source = self.name if self._data is None else io.BytesIO(self._data)
        with contextlib.suppress(Exception), zipfile.ZipFile(source) as archive:  # of many classes, where it is damaged
            return frozenset(archive.namelist())
        return frozenset()

    @property
    def is_empty(self):
        if self._data is not None:
            return len(self._data) == 0
        with contextlib.suppress(OSError):
            found = os.stat(self.name)
            return stat.S_ISREG(found.st_mode) and found.st_size == 0
        return False


class Kind(NamedTuple):
    error: type  # what is raised
    is_it: Callable[[File], bool]
    what: str  # it is, and what to do


def is_pointer(file):
    return file.head.startswith(b"version https://git-lfs.github.com/spec/")


def is_page(file):
    return re.match(rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?<(!doctype\s+)?html\b", file.head, re.IGNORECASE) is not None


def is_training_input(file):
    return isinstance(file.tree, dict) and "model" in file.tree and bool({"training", "learning_rate", "loss"} & set(file.tree))


def is_training_data(file):
    """A system of deepmd-kit's, or a folder of such."""
    def is_system(members):
        return "type.raw" in members or any(re.fullmatch(r"set\.[^.]*", name) for name in members)

    if is_system(file.members):
        return True
    for name in sorted(file.members)[:100]:
        with contextlib.suppress(OSError):
            if "type.raw" in os.listdir(os.path.join(file.name, name)):
                return True
    return False


def is_tensorflow(file):
    """A frozen graph: a GraphDef in the bytes of protocol buffers, whose first field is a node (0x0a) with a name (0x0a)."""
    return file.suffix == ".pb" or re.match(rb"\n[\x02-\x7f\x80-\xff]{1,3}\n[\x01-\x7f][\x20-\x7e]+\x12", file.head) is not None


def is_tensorflow_text(file):
    return file.suffix == ".pbtxt" or re.match(rb"\s*node\s*\{", file.head) is not None


def is_saved_model(file):
    return "saved_model.pb" in file.members or "saved_model.pbtxt" in file.members


def is_jax_saved_model(file):
    return file.suffix == ".savedmodel" and is_saved_model(file)


def is_jax_folder(file):
    return file.suffix == ".jax" and bool(file.members)


def is_paddle_checkpoint(file):
    return file.suffix in (".pd", ".pdparams", ".pdopt") and file.head[:1] == b"\x80"


def is_paddle_program(file):
    """.json of Paddle's intermediate representation, and the weights beside it."""
    return file.suffix in (".pdiparams", ".pdmodel") or re.match(rb'\s*\{\s*"base_code"\s*:\s*\{', file.head) is not None


def is_onnx(file):
    """A ModelProto: field 1 is a small version of the format, field 2 the producer's name or field 8 the sets of operators."""
    return file.suffix == ".onnx" or re.match(rb"\x08[\x01-\x20](\x12[\x01-\x40][\x20-\x7e]|\x42[\x01-\x40]\n)", file.head) is not None


def is_without_tree(file):
    """What deepmd-kit's pt backend freezes a DPA4 model to: compiled code, its metadata and the input file."""
    names = {name.partition("extra/")[2] for name in file.archived}
    return {"metadata.json", "model_def_script.json"} <= names and "model.json" not in names


def is_lammps_data(file):
    """Its header's lines, after the title."""
    lines = file.head.decode("latin-1").splitlines()[1:60]
    return (any(re.match(r"\s*\d+\s+atoms\b", line) for line in lines)
            and any(re.search(r"\b(xlo\s+xhi|atom\s+types|avec)\b", line) for line in lines))


CONVERT = "convert it where deepmd-kit has TensorFlow: 'dp convert-backend {base} {stem}.dp', and load the .dp"
ANYTHING = [
    Kind(ModelFormatError, lambda file: file.is_empty, "an empty file: copy or download it anew"),
    Kind(ModelFormatError, is_pointer, "a git-LFS pointer, which stands for the file: fetch that with 'git lfs pull'"),
    Kind(ModelFormatError, is_page, "an HTML page, not the file that was meant: download it anew, by the link to its raw form"),
]
FROM_PADDLE = ("deepmd-kit converts no file of Paddle's; where both are installed, write the model's tree "
               "(deepmd.dpmodel.utils.serialization.save_dp_model('{stem}.dp', {{'model': model.serialize()}})), and load the .dp")
MODELS = [  # in this order
    *ANYTHING,
    Kind(ModelFormatError, is_training_input, "an input for training, not a model: train with it ('dp --pt train {base}'), freeze what "
         "comes out ('dp --pt-expt freeze -o model.pt2'), and load that"),
    Kind(UnsupportedModelError, is_jax_saved_model, "a compiled model of JAX (SavedModel), which holds no tree of weights: load the "
         "file that it was made of (.dp, .hlo, .pt, ...)"),
    Kind(UnsupportedModelError, is_jax_folder, "a folder of JAX's checkpoint: 'dp convert-backend {base} {stem}.dp' where deepmd-kit has "
         "JAX, and load the .dp"),
    Kind(UnsupportedModelError, is_paddle_checkpoint, f"a checkpoint of Paddle: {FROM_PADDLE}"),
    Kind(UnsupportedModelError, is_paddle_program, f"a part of a model that Paddle compiled (.json and .pdiparams): {FROM_PADDLE}"),
    Kind(UnsupportedModelError, is_onnx, "an ONNX graph, which holds no tree of weights: load the file that it was made of (.pt, .dp, ...)"),
    Kind(UnsupportedModelError, is_without_tree, "an archive of compiled code without a tree of weights, as deepmd-kit freezes DPA4: "
         "load the checkpoint (.pt) that it was frozen from"),
    Kind(InputError, is_saved_model, f"a folder with a model of TensorFlow (SavedModel): {CONVERT}"),
    Kind(InputError, is_training_data, "a folder of training data (type.raw, set.000), not a model"),
    Kind(UnsupportedModelError, is_tensorflow, f"a frozen graph of TensorFlow: {CONVERT}"),
    Kind(UnsupportedModelError, is_tensorflow_text, "a graph of TensorFlow as text: make the .pb of it ('dp freeze'); "
         f"{CONVERT.replace('{base}', '{stem}.pb')}"),
]
STRUCTURES = [
    *ANYTHING,
    Kind(InputError, is_training_data, "a folder of deepmd-kit's training data (type.raw, set.000), which ASE does not read: "
         "write its frames to extxyz, with dpdata say (dpdata.LabeledSystem('{base}', fmt='deepmd/npy').to('ase/structure'))"),
    Kind(InputError, is_lammps_data, "a LAMMPS data file: say --format lammps-data (and, where it has types without masses or "
         "labels, --type-map 1=NAME 2=NAME)"),
]


def recognise(kinds, file):
    """The error for what the file is, or None where nobody knows it."""
    for kind in kinds:
        if kind.is_it(file):
            base = os.path.basename(os.path.normpath(file.name))
            return kind.error(f"{file.name}: {kind.what.format(base=base, stem=os.path.splitext(base)[0])}")
    return None


@contextlib.contextmanager
def explained(kinds, name, data=None):
    """Around a reader: what it refuses is said to be what it is. data: its bytes, where they are at hand."""
    try:
        yield
    except (Error, OSError) as error:
        known = None if isinstance(error, OSError) and error.errno not in (None, errno.EISDIR) else recognise(kinds, File(name, data))
        if known is None:
            raise
        raise known from None
