from collections.abc import Sequence
from typing import Any, TypedDict, final

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
    def agree(self, operation: str, failure: BaseException | None = None, /) -> None: ...
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
        profile: bool = False,
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
    def save(self, path: str | bytes, /) -> None: ...
    def tree(self, /) -> tuple[str, list[np.ndarray]]: ...
    def describe(self, /) -> str: ...
    def close(self, /) -> None: ...

class _OptionDict(TypedDict, total=False):
    dtype: int
    memory: int
    semantics: int
    threads: int
    skin: float
    device: str | None
    head: str | None

_Options = tuple[int, int, int, int, float, str] | tuple[int, int, int, int, float, str, str | None] | _OptionDict

def load(path: str | bytes, options: _Options, /) -> Model: ...
def load_bytes(name: str | bytes, data: bytes, options: _Options, /) -> Model: ...
def load_tree(name: str | bytes, json: str, arrays: Sequence[np.ndarray], options: _Options, /) -> Model: ...
def heads(path: str | bytes, /) -> str: ...
def heads_bytes(name: str | bytes, data: bytes, /) -> str: ...
def _comm_threads(nrank: int, deadline: float = 0.0, /) -> list[Comm]: ...
def _alloc_count() -> int: ...
def _alloc_live() -> int: ...
def _alloc_fail_at(nth: int, persistent: bool = False, /) -> None: ...
