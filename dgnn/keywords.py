"""Unknown keywords are refused with the nearest right one: a misspelled option must not be ignored."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

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


def suggestion(word, known):
    """ "; did you mean 'box'?", or what there is to choose from."""
    import difflib  # slow to import, and needed for mistakes only

    near = difflib.get_close_matches(str(word), known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"
