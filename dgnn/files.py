"""Reads and writes model files: .dp and .hlo (HDF5) and .yaml here, everything else in C. Nothing in a file is executed."""

import errno
import json
import os
import re
import stat

import numpy as np

from dgnn import _core, foreign
from dgnn._core import Error, InputError, ModelFormatError, UnsupportedModelError

MAX_DEPTH = 64
MAX_VALUES = 50_000_000  # of a tree that is written out in full; YAML's aliases can make a short file a huge tree
MAX_BYTES = 8 << 30
_OF_A_PROGRAM = {"@variables", "constants"}  # of a .hlo: StableHLO, and what its caller must know


def load(path, options):
    """A _core.Model."""
    with foreign.explained(foreign.MODELS, path):
        return _core.load(path, options) if _python_reader(path) is None else _made(_read(path), options)


def read(path):
    """What a file holds, for make on this rank or another: (name, bytes) or (name, JSON text, arrays)."""
    with foreign.explained(foreign.MODELS, path):
        return _read(path)


def make(source, options):
    """A _core.Model from what read found."""
    with foreign.explained(foreign.MODELS, *source[:2]):
        return _made(source, options)


def heads(path):
    """The tasks in a file, as dgnn.heads gives them."""
    with foreign.explained(foreign.MODELS, path):
        if _python_reader(path) is None:
            return json.loads(_core.heads(path))
        _made(_read(path), {})  # of one task; what is wrong with the file is said
        return {}


def _read(path):
    name = os.fsdecode(path)
    reader = _python_reader(path)
    if reader is None:
        return name, _read_bytes(name)
    if not stat.S_ISREG(os.stat(name).st_mode):  # a missing file, or a loop of links, says what it is
        raise InputError(f"{name}: expected a file")
    tree, arrays = reader(name)
    if not isinstance(tree, dict) or not isinstance(tree.get("model"), dict):
        raise ModelFormatError(f"{name}: model: missing; expected an object")
    try:
        return name, json.dumps(tree, allow_nan=False), arrays
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelFormatError(f"{name}: {error}") from None


def _made(source, options):
    return _core.load_bytes(*source, options) if len(source) == 2 else _core.load_tree(*source, options)


_HDF5 = b"\x89HDF\r\n\x1a\n"
_YAML = re.compile(rb"\s*(?:(?:#[^\n]*|---[ \t]*)\n\s*)*[\"']?[@\w]+[\"']?[ \t]*:\s")


def _python_reader(path):
    """Of HDF5 or YAML, else None. A file's beginning tells; its name where that doesn't, as for a damaged one."""
    name = os.fsdecode(path)
    suffix, beginning = os.path.splitext(name)[1].lower(), _beginning(name)
    if beginning.startswith(_HDF5):
        return _read_hdf5
    if beginning.startswith(b"PK"):
        return None
    if suffix in (".yaml", ".yml") or _YAML.match(beginning):
        return _read_yaml
    return _read_hdf5 if suffix in (".dp", ".hlo") and not beginning.startswith(b"{") else None


def _beginning(name):
    """The first bytes, none where there is no such file: its reader says what is wrong."""
    try:
        with open(os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY), "rb") as file:
            return file.read(512) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""
    except OSError:
        return b""


def _read_bytes(name):
    with open(os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(22, "not a regular file", name)
        return file.read()


class _Tree:
    """Copies a tree and takes its arrays out."""

    def __init__(self, name, is_array, read_array):
        self.name, self.is_array, self.read_array = name, is_array, read_array
        self.arrays = []
        self.nvalues = 0

    def copy(self, value, path="", depth=0, variable=False):
        self.nvalues += 1
        if depth > MAX_DEPTH or self.nvalues > MAX_VALUES:
            raise ModelFormatError(f"{self.name}: {path}: nested too deeply, or too large")
        if self.is_array(value, variable):
            self.arrays.append(self.read_array(value, path))
            return {"@class": "np.ndarray", "@index": len(self.arrays) - 1}
        if isinstance(value, dict):
            return {self.key(key, path): self.copy(item, f"{path}.{key}" if path else str(key), depth + 1,
                                                   variable or key == "@variables") for key, item in value.items()}
        if isinstance(value, list):
            return [self.copy(item, f"{path}[{k}]", depth + 1, variable) for k, item in enumerate(value)]
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        raise ModelFormatError(f"{self.name}: {path}: found a {type(value).__name__}, which a model does not hold")

    def key(self, key, path):
        if not isinstance(key, str):
            raise ModelFormatError(f"{self.name}: {path}: expected names as keys, found {key!r}")
        return key


def _read_hdf5(name):
    """.dp, and JAX's .hlo: the same tree, beside the program that JAX made of it."""
    try:
        import h5py
    except ImportError:
        raise ImportError("reading a .dp or .hlo file needs h5py: pip install 'dgnn-md[dp]'") from None
    try:
        file = h5py.File(name, "r")
    except OSError as error:
        if error.errno:
            raise OSError(error.errno, os.strerror(error.errno), name) from None
        raise ModelFormatError(f"{name}: not an HDF5 file, or damaged ({error})") from None
    with file:
        text = file.attrs.get("json")
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        if not isinstance(text, str):
            raise ModelFormatError(f"{name}: expected an attribute 'json' with the model's tree, found none")
        try:
            tree = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelFormatError(f"{name}: attribute json: {error}") from None

        if isinstance(tree, dict):
            for member in _OF_A_PROGRAM.intersection(tree):
                del tree[member]

        def is_array(value, variable):
            return variable and isinstance(value, str)

        copier = _Tree(name, is_array, lambda value, path: _read_dataset(h5py, file, name, value, path))
        return copier.copy(tree), copier.arrays


def _read_dataset(h5py, file, name, key, path):
    """One array. Only data of this very file: HDF5 can also point into other files."""
    try:
        link = file.get(key, getlink=True)
        found = file[key] if isinstance(link, h5py.HardLink) else None
        if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
            raise ModelFormatError(f"{name}: {path}: expected a dataset {key!r} in this file, found none")
        if found.dtype.kind not in "fib" or found.dtype.itemsize * found.size > MAX_BYTES:
            raise UnsupportedModelError(f"{name}: {path}: dtype {found.dtype} with shape {found.shape} is not read")
        return np.ascontiguousarray(found[()]).reshape(found.shape)
    except (KeyError, OSError, ValueError, TypeError, RuntimeError) as error:
        if isinstance(error, (ModelFormatError, UnsupportedModelError)):
            raise
        raise ModelFormatError(f"{name}: {path}: dataset {key!r}: {error}") from None


def _read_yaml(name):
    try:
        import yaml
    except ImportError:
        raise ImportError("reading a .yaml file needs PyYAML: pip install 'dgnn-md[yaml]'") from None
    with open(name, "rb") as file:
        try:
            tree = yaml.load(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise ModelFormatError(f"{name}: {' '.join(str(error).split())}") from None

    def is_array(value, variable):
        return isinstance(value, dict) and value.get("@class") == "np.ndarray"

    def read_array(value, path):
        dtype = value.get("dtype")
        if dtype not in ("float32", "float64", "int32", "int64", "bool"):
            raise UnsupportedModelError(f"{name}: {path}.dtype: {dtype!r} is not read")
        try:
            return np.array(value["value"], dtype=dtype)
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise ModelFormatError(f"{name}: {path}: not an array of {dtype} ({error})") from None

    copier = _Tree(name, is_array, read_array)
    return copier.copy(tree), copier.arrays


# ---------------------------------------------------------------- writing


def save(core, path):
    """Writes a _core.Model as its name says. Whatever happens, path is then the old file or the new one, whole."""
    name = os.fsdecode(path)
    suffix = os.path.splitext(name)[1].lower()
    writer = {".dp": _dp_bytes, ".yaml": _yaml_bytes, ".yml": _yaml_bytes}.get(suffix)
    if suffix == ".dgnn":
        core.save(path)
    elif writer is None:
        raise InputError(f"{name}: expected a name that ends with .dgnn (dgnn's own), .dp or .yaml (deepmd-kit's)")
    else:
        text, arrays = core.tree()
        _replace(name, writer(json.loads(text), arrays))


def _replace(name, data):
    """Through a file beside it, which is synced and read back. Links stay, and permissions; as csrc/io/writer.c does it."""
    name = followed(name)
    mode = old_mode(name)
    temporary = f"{name}.tmp.{os.getpid()}.{os.urandom(8).hex()}"
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        if _read_bytes(temporary) != data:
            raise Error(f"{temporary}: reads back as another file")
        os.replace(temporary, name)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
    folder = os.open(os.path.dirname(name) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def followed(name):
    """What symbolic links lead to."""
    start = name
    for _ in range(40):
        if not os.path.islink(name):
            return name
        name = os.path.join(os.path.dirname(name), os.readlink(name))
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), start)


def old_mode(name):
    """The permissions of the file that is replaced, or None."""
    try:
        mode = os.stat(name).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(number, f"not a regular file ({os.strerror(number)})", name)
    return stat.S_IMODE(mode)


def _is_array(value):
    return isinstance(value, dict) and "@index" in value


def _with_arrays(value, write_array):
    """A copy of the tree with something else where arrays are."""
    if _is_array(value):
        return write_array(value["@index"])
    if isinstance(value, dict):
        return {key: _with_arrays(item, write_array) for key, item in value.items()}
    return [_with_arrays(item, write_array) for item in value] if isinstance(value, list) else value


def _dp_bytes(tree, arrays):
    """Made in memory: HDF5 ends the process where a disk is full."""
    try:
        import h5py
    except ImportError:
        raise ImportError("writing a .dp file needs h5py: pip install 'dgnn-md[dp]'") from None
    with h5py.File("model", "w", driver="core", backing_store=False) as file:
        def write_array(index):
            return file.create_dataset(f"variable_{index:04d}", data=arrays[index]).name

        file.attrs["json"] = json.dumps(_with_arrays(tree, write_array), separators=(",", ":"))
        file.flush()
        return file.id.get_file_image()


def _yaml_bytes(tree, arrays):
    """PyYAML writes all but the numbers, for which it would take half a minute where there are a million."""
    try:
        import yaml
    except ImportError:
        raise ImportError("writing a .yaml file needs PyYAML: pip install 'dgnn-md[yaml]'") from None
    mark = f"numbers_{os.urandom(8).hex()}_"

    def write_array(index):
        return {"@class": "np.ndarray", "@is_variable": True, "@version": 1, "dtype": arrays[index].dtype.name,
                "value": f"{mark}{index}_"}

    marked = _with_arrays(tree, write_array)
    text = yaml.dump(marked, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), default_flow_style=None,
                     sort_keys=False, allow_unicode=True)
    if yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) != marked:
        raise Error("PyYAML reads another model than it wrote")
    return re.sub(mark + r"(\d+)_", lambda found: _yaml_numbers(arrays[int(found[1])]), text).encode()


def _yaml_numbers(array):
    """YAML 1.1 takes 1e-05 for a word: it wants a point."""
    return re.sub(r"(?<![\d.])(\d+)e", r"\1.0e", json.dumps(array.tolist(), allow_nan=False))
