"""Many structures: one thread for each small one, all threads for a large one."""

from __future__ import annotations

import sys

import numpy as np

from dgnn._core import InputError
from dgnn.arguments import thread_count
from dgnn.model import ALONE
from dgnn.workers import side_by_side

LARGE = 1000  # atoms, from which on the threads work on one structure together: memory, and its own parts are enough
_ARGUMENTS = frozenset({"coords", "types", "box", "pbc", "spins", "fparam", "aparam", "charge_spin", "atomic", "ids",
                        "derivatives"})


def compute_many(model, structures, threads=None, progress=False, errors="raise", request=0, first=0):
    """As Model.compute_many; request: bits for Model._evaluate; first: what errors call the first structure."""
    if errors not in ("raise", "return"):
        raise InputError(f"errors: expected 'raise' or 'return', found {errors!r}")
    structures = list(structures)
    reader = Reader(model)

    def one(k, alone):
        try:
            return model._evaluate(request | (ALONE if alone else 0), **reader.arguments(structures[k]))
        except Exception as error:
            if errors == "return":
                return error
            raise named(error, f"structure {first + k}") from error

    found = run(one, [size(structure) for structure in structures], thread_count(threads) or model._info["threads"], progress)
    for structure, result in zip(structures, found, strict=True):
        if not isinstance(result, Exception):
            warn(model, reader, structure, result)
    return found


def warn(model, reader, structure, result):
    """compute's warnings, once each, in the thread that asked."""
    model._warn_of_truncation(result)
    if model._untrained or model.is_spin:
        arguments = reader.arguments(structure)
        model._warn_of_untrained(arguments["types"])
        model._warn_of_small_spins(arguments["types"], arguments.get("spins"))


def named(error, what):
    """The error again, with a word on whose it is."""
    try:
        return type(error)(f"{what}: {error}")
    except Exception:  # a class with other arguments
        return error


def size(structure):
    """Its atoms, as far as that is easily seen."""
    if isinstance(structure, dict):
        shape = np.shape(structure.get("types"))
        return shape[-1] if shape else 0
    return len(structure) if hasattr(structure, "__len__") else 0


def run(one, sizes, threads, progress=False):
    """[one(k, alone)] for each k, in order. Large ones come first, with all threads (alone is 0); then the small ones, so
    many at a time as there are threads, each with one. An error ends it, and is that of the lowest k known to fail."""
    found = [None] * len(sizes)
    bar = Bar(len(sizes), progress)
    together = [k for k, n in enumerate(sizes) if n >= LARGE or len(sizes) < threads]
    alone = [k for k, n in enumerate(sizes) if n < LARGE and len(sizes) >= threads]
    with bar:
        for k in together:
            found[k] = one(k, threads == 1)
            bar.step()
        if threads == 1:
            for k in alone:
                found[k] = one(k, True)
                bar.step()
        else:
            results = side_by_side(lambda k: one(k, True), alone, threads, bar.step)
            for k, result in zip(alone, results, strict=True):
                found[k] = result
    return found


class Bar:
    """Progress on stderr, where it was asked for; it needs tqdm."""

    def __init__(self, total, wanted, unit="structure"):
        self.bar = None
        if wanted:
            try:
                from tqdm import tqdm
            except ImportError:
                raise InputError("progress needs tqdm: pip install 'dgnn-md[progress]'") from None
            self.bar = tqdm(total=total, unit=unit, file=sys.stderr, leave=False)

    def step(self):
        if self.bar is not None:
            self.bar.update()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.bar is not None:
            self.bar.close()


class Reader:
    """From a structure to compute's arguments."""

    def __init__(self, model):
        self.model, self.calculator = model, None

    def arguments(self, structure):
        if isinstance(structure, dict):
            unknown = [name for name in structure if name not in _ARGUMENTS]
            if unknown:
                raise InputError(f"a structure has {unknown[0]!r}; expected arguments of Model.compute: "
                                 f"{', '.join(sorted(_ARGUMENTS))}")
            for name in ("coords", "types"):
                if name not in structure:
                    raise InputError(f"a structure has no {name!r}")
            return structure
        if not hasattr(structure, "get_chemical_symbols"):
            raise InputError(f"expected ASE's Atoms or a dict of arguments of Model.compute, found {type(structure).__name__}")
        if self.calculator is None:
            from dgnn.calculator import DGNNCalculator

            self.calculator = DGNNCalculator(self.model)
        return self.calculator._inputs(structure)
