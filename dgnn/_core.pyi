from collections.abc import Callable, Sequence
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
    def agree(self, operation: str, failure: BaseException | None = None, vote: int = 0, /) -> int: ...
    def begin(self, /) -> None: ...
    def place(self, /) -> tuple[int, int]: ...
    def allgather(self, data: bytes, /) -> bytes: ...
    def is_open(self, /) -> bool: ...
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
        request: int = 0,
        derivatives: bool = False,
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
        request: int = 0,
        derivatives: bool = False,
    ) -> dict[str, Any]: ...
    def estimate(
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
        request: int = 0,
        derivatives: bool = False,
    ) -> dict[str, Any]: ...
    def save(self, path: str | bytes, /) -> None: ...
    def tree(self, /) -> tuple[str, list[np.ndarray]]: ...
    def describe(self, /) -> str: ...
    def close(self, /) -> None: ...

@final
class Session:
    def __new__(cls, models: tuple[Model, ...]) -> Session: ...
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
        request: int = 0,
        derivatives: bool = False,
    ) -> list[dict[str, Any]]: ...
    def close(self, /) -> None: ...

class Uninterrupted:
    def __new__(cls, function: Callable[..., Any], attribute: str | None = None, place: int = -1) -> Uninterrupted: ...

def interrupted() -> BaseException | None: ...

_Options = tuple[int, int, int, int, float, str] | tuple[int, int, int, int, float, str, str | None] | tuple[
    int, int, int, int, float, str, str | None, int] | dict[str, Any]

def load(path: str | bytes, options: _Options, /) -> Model: ...
def load_bytes(name: str | bytes, data: bytes, options: _Options, /) -> Model: ...
def load_tree(name: str | bytes, json: str, arrays: Sequence[np.ndarray], options: _Options, /) -> Model: ...
def heads(path: str | bytes, /) -> str: ...
def heads_bytes(name: str | bytes, data: bytes, /) -> str: ...
def _comm_threads(nrank: int, deadline: float = 0.0, /) -> list[Comm]: ...
def _falsify(instruction_set: str, /) -> None: ...
def _alloc_count() -> int: ...
def _alloc_live() -> int: ...
def _alloc_needed() -> int: ...
def _alloc_fail_at(nth: int, persistent: bool = False, /) -> None: ...
