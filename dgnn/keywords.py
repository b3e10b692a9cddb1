"""Unknown keywords are refused with the nearest right one: a misspelled option must not be ignored."""

import functools
import inspect


def checked_keywords(function):
    names = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD) and name not in ("self", "cls")
    ]
    known = frozenset(names)

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        if not known.issuperset(kwargs):
            unknown = next(name for name in kwargs if name not in known)
            raise TypeError(f"{function.__name__}() has no keyword {unknown!r}{suggestion(unknown, names)}")
        return function(*args, **kwargs)

    return wrapper


def suggestion(word, known):
    """ "; did you mean 'box'?", or what there is to choose from."""
    import difflib  # slow to import, and needed for mistakes only

    near = difflib.get_close_matches(str(word), known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"
