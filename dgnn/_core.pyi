from collections.abc import Sequence
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike

version: str

class Error(Exception): ...
class ModelFormatError(Error, ValueError): ...
class UnsupportedModelError(Error, NotImplementedError): ...
class InputError(Error, ValueError): ...
class CommError(Error, RuntimeError): ...
class BusyError(Error, RuntimeError): ...

@final
class Comm:
    def __new__(cls, transport: object, deadline: float = 0.0) -> Comm: ...
    def close(self, /) -> None: ...
    def counts(self, reset: bool = False, /) -> dict[str, int]: ...

@final
class Model:
    def compute(
        self,
        coords: ArrayLike,
        types: ArrayLike,
        box: ArrayLike | None,
        pbc: tuple[int, int, int],
        spins: ArrayLike | None,
        fparam: ArrayLike | None,
        aparam: ArrayLike | None,
        charge_spin: ArrayLike | None,
        ids: ArrayLike | None,
        grid: tuple[int, int, int],
        comm: Comm | None,
        replicated: bool,
        atomic: bool,
    ) -> dict[str, Any]: ...
    def compute_ghosted(
        self,
        coords: ArrayLike,
        types: ArrayLike,
        nlocal: int,
        spins: ArrayLike | None,
        fparam: ArrayLike | None,
        aparam: ArrayLike | None,
        charge_spin: ArrayLike | None,
        border: tuple[Any, ...] | None,
        direct: tuple[Any, ...] | None,
        mapping: ArrayLike | None,
        neighbours: tuple[ArrayLike, ArrayLike] | None,
        add_ghost_forces: bool,
        same_list: bool,
        atomic: bool,
        comm: Comm | None,
    ) -> dict[str, Any]: ...
    def refuse(self, comm: Comm | None, /) -> None: ...
    def describe(self, /) -> str: ...
    def close(self, /) -> None: ...

_Options = tuple[int, int, int, int, float, str]

def load(path: str | bytes, options: _Options, /) -> Model: ...
def load_tree(name: str, json: str, arrays: Sequence[np.ndarray], options: _Options, /) -> Model: ...
def _comm_threads(nrank: int, deadline: float = 0.0, /) -> list[Comm]: ...
def _alloc_count() -> int: ...
def _alloc_live() -> int: ...
def _alloc_fail_at(nth: int, persistent: bool = False, /) -> None: ...
