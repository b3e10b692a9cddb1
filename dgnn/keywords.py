"""Unknown keywords are refused with the nearest right one: a misspelled option must not be ignored."""

import functools
import os
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar, cast

from dgnn import _core

_HOME = os.path.dirname(__file__) + os.sep
Checked = TypeVar("Checked", bound=Callable[..., Any])


def checked_keywords(function: Checked) -> Checked:
    code = function.__code__  # inspect.signature would take a tenth of dgnn's import
    names = [name for name in code.co_varnames[code.co_posonlyargcount : code.co_argcount + code.co_kwonlyargcount]
             if name not in ("self", "cls")]
    known = frozenset(names)
    shown = function.__qualname__.removesuffix(".__init__")

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        if not known.issuperset(kwargs):
            unknown = next(name for name in kwargs if name not in known)
            raise TypeError(f"{shown}() has no keyword {unknown!r}{suggestion(unknown, names)}")
        return function(*args, **kwargs)

    return cast(Checked, wrapper)


def collective(function: Checked) -> Checked:
    """A method whose argument comm, where given, makes it a call of all ranks together. Keywords are checked.

    From before its first line to its end no handler of a signal runs (Ctrl-C is heard when the call is over): a rank that
    left in between would be out of step. Whatever it raises before the ranks agreed is raised on all of them.
    """
    code = function.__code__
    names = code.co_varnames[: code.co_argcount]
    place = names.index("comm") if "comm" in names else -1
    checked = checked_keywords(function)

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        comm = kwargs["comm"] if "comm" in kwargs else args[place] if 0 <= place < len(args) else None
        if comm is None:
            comm = _misplaced(kwargs)
        if comm is None:
            return checked(*args, **kwargs)
        from dgnn import communicators

        return communicators.together(comm, function.__name__, lambda: checked(*args, **kwargs))

    return cast(Checked, functools.update_wrapper(cast(Any, _core.Uninterrupted(wrapper, place=place)), function))


def _misplaced(kwargs):
    """A communicator under a name that is none: the other ranks wait for this one's error."""
    if not kwargs or "comm" in kwargs:
        return None
    MPI = sys.modules.get("mpi4py.MPI")
    kinds = (_core.Comm, MPI.Comm) if MPI else (_core.Comm,)
    return next((value for value in kwargs.values() if isinstance(value, kinds)), None)


def outside() -> int:
    """The stacklevel at which a warning of the caller's points out of dgnn, however it was called."""
    frame: FrameType | None = sys._getframe(1)
    level = 1
    while frame is not None and frame.f_code.co_filename.startswith(_HOME):
        frame, level = frame.f_back, level + 1
    return level


def suggestion(word, known):
    """ "; did you mean 'box'?", or what there is to choose from."""
    import difflib  # slow to import, and needed for mistakes only

    near = difflib.get_close_matches(str(word), known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"
