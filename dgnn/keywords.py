"""Unknown keywords are refused with the nearest right one: a misspelled option must not be ignored."""

import functools
import inspect
from typing import Any, Callable, TypeVar, cast

Checked = TypeVar("Checked", bound=Callable[..., Any])


def checked_keywords(function: Checked) -> Checked:
    names = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD) and name not in ("self", "cls")
    ]
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
