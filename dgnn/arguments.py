"""What callers pass: options of a load, arrays and frames of a call. Here is their kind; the core checks numbers and shapes."""

from __future__ import annotations

import operator

import numpy as np

from dgnn._core import InputError
from dgnn.keywords import suggestion

_DTYPES = {None: 0, "float32": 1, "float64": 2}
_MEMORY = {"fast": 0, "small": 1}
_RADIAL = {"exact": 0, "table": 1}
_COMPRESSED = {"table": 0, "net": 1, "compare": 2}
_SEMANTICS = {None: 0, "dense": 1, "graph": 2}
_MOST_THREADS, _MOST_SKIN = 1024, 100.0  # as in csrc/model/model.c


def load_options(dtype, threads, device, memory, semantics, skin, head, radial="exact", compressed="table"):
    """What _core.load takes."""
    if dtype is not None and not isinstance(dtype, str):
        try:
            dtype = np.dtype(dtype).name
        except Exception:  # NumPy's, of many classes
            raise InputError(f"dtype: expected float32, float64 or None, found {dtype!r}") from None
    threads = thread_count(threads)
    if skin is not None and not 0 <= _number("skin", skin) <= _MOST_SKIN:
        raise InputError(f"skin: expected 0 to {_MOST_SKIN:g} Å or None, found {skin!r}")
    if head is not None and not (isinstance(head, str) and head):
        raise InputError(f"head: expected a name or None, found {head!r}")
    return {
        "dtype": choice("dtype", dtype, _DTYPES),
        "memory": choice("memory", memory, _MEMORY),
        "semantics": choice("semantics", semantics, _SEMANTICS),
        "threads": 0 if threads is None else threads,
        "skin": -1.0 if skin is None else float(skin),
        "device": _device(device),
        "head": head,
        "radial": choice("radial", radial, _RADIAL),
        "compressed": choice("compressed", compressed, _COMPRESSED),
    }


def thread_count(threads):
    """The number that was given, or None."""
    if threads is None:
        return None
    count = integer("threads", threads)
    if not 1 <= count <= _MOST_THREADS:
        raise InputError(f"threads: expected 1 to {_MOST_THREADS} or None, found {threads!r}")
    return count


def _device(device):
    """The core knows the names; here is what is no text."""
    if device is not None and not isinstance(device, str):
        raise InputError(f"device: expected 'cpu', 'cuda', 'cuda:N', 'auto' or None, found {device!r}")
    if device is not None and "\0" in device:
        raise InputError(f"device: found {device!r}")
    return device


def choice(name, value, choices):
    try:
        return choices[value]
    except (KeyError, TypeError):
        known = [str(choice) for choice in choices]
        raise InputError(f"{name}: found {value!r}{suggestion(value, known)}") from None


def integer(name, value):
    try:
        number = operator.index(value)
    except TypeError:
        raise InputError(f"{name}: expected an integer, found {value!r}") from None
    if not -(2**63) <= number < 2**63:
        raise InputError(f"{name}: found a number of more than 64 bits")
    return number


def _number(name, value):
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name}: expected a number, found {value!r}") from None


def _is_flag(value):
    return isinstance(value, (int, np.integer, np.bool_)) and value in (0, 1)


def flag(name, value):
    if _is_flag(value):
        return bool(value)
    raise InputError(f"{name}: expected True or False, found {value!r}")


# ---------------------------------------------------------------- arrays and frames


def as_array(name, value):
    """NumPy's view of it, for looking at its axes; the core checks the rest."""
    if value is None:
        raise InputError(f"{name}: expected an array, found None")
    if type(value) is np.ndarray:
        return value
    if isinstance(value, np.ma.MaskedArray):
        raise InputError(f"{name}: a masked array has no numbers in its masked places; pass a plain array")
    try:
        return np.asarray(value)
    except MemoryError:
        raise
    except Exception as error:  # NumPy's and the object's own, of any class
        raise InputError(f"{name}: not an array ({error})") from None


def as_list(name, value):
    try:
        return list(value)
    except TypeError:
        raise InputError(f"{name}: expected a sequence, found {value!r}") from None


def as_row(value):
    """A single number stands for a row of one."""
    if value is None:
        return None
    array = as_array("fparam", value)
    return array.reshape(1) if array.ndim == 0 else array


def as_column(value):
    """One number for each atom stands for a column."""
    if value is None:
        return None
    array = as_array("aparam", value)
    return array[:, None] if array.ndim == 1 else array


def periodic_axes(pbc, box):
    if pbc is None:
        return (0, 0, 0) if box is None else (1, 1, 1)
    values = [pbc] * 3 if _is_flag(pbc) else list(pbc) if np.iterable(pbc) else []
    if len(values) != 3 or not all(map(_is_flag, values)):
        raise InputError(f"pbc: expected True, False or three of them, found {pbc!r}")
    if box is None and any(values):
        raise InputError("pbc: periodic directions need a box")
    return tuple(int(value) for value in values)


def rank_grid(grid, comm):
    if grid is None:
        return (0, 0, 0)
    try:
        values = tuple(operator.index(value) for value in grid)
    except TypeError:
        values = ()
    if len(values) != 3 or any(not 1 <= value <= 2**31 - 1 for value in values):
        raise InputError(f"grid: expected three numbers of ranks, each 1 or more, found {grid!r}")
    if comm is None and values != (1, 1, 1):
        raise InputError(f"grid: {' x '.join(map(str, values))} ranks need a communicator")
    return values


def split_frames(coords, **others):
    """(arguments of each frame, number of frames or None). others: name -> (value, number of axes in one frame)."""
    values = {name: value for name, (value, _) in others.items()}
    values["fparam"] = as_row(values["fparam"])
    if coords.ndim != 3:
        if coords.ndim == 2 or coords.size == 0:
            values["aparam"] = as_column(values["aparam"])
        return [dict(coords=coords, **values)], None
    nframes = coords.shape[0]
    by_frame = {}
    for name, (_, ndim) in others.items():
        value = values[name]
        if value is None:
            by_frame[name] = [None] * nframes
            continue
        array = as_array(name, value)
        if array.ndim != ndim + 1:
            by_frame[name] = [array] * nframes  # the same for all frames
        elif array.shape[0] == nframes:
            by_frame[name] = list(array)
        else:
            raise InputError(f"{name}: expected {nframes} frames as in coords, found shape {array.shape}")
    return [{"coords": coords[k], **{name: rows[k] for name, rows in by_frame.items()}} for k in range(nframes)], nframes


def csr_neighbours(neighbours):
    """(first, rows) of CSR arrays."""
    if neighbours is None:
        return None
    if isinstance(neighbours, tuple):
        if len(neighbours) != 2:
            raise InputError(f"neighbours: expected (first, rows), found a tuple of {len(neighbours)}")
        return neighbours
    lists = [as_array("neighbours", rows) for rows in as_list("neighbours", neighbours)]
    if any(rows.ndim != 1 or (rows.dtype.kind not in "iu" and rows.size) for rows in lists):
        raise InputError("neighbours: expected a list of rows for each owned row, or a tuple (first, rows)")
    first = np.concatenate([[0], np.cumsum([len(rows) for rows in lists], dtype=np.int64)])
    return first, np.concatenate([*lists, np.zeros(0, np.int32)]) if first[-1] else np.zeros(0, np.int32)
