"""deepmd-kit's message-passing potentials on one rank or many, without torch.

    import dgnn
    model = dgnn.Model.load("model.pt2")
    result = model.compute(coords, types, box)
    result.energy, result.forces, result.virial
"""

import importlib
from typing import TYPE_CHECKING

try:
    import dgnn._core  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "dgnn._core":
        raise
    raise ImportError(
        f"dgnn's C core is not built for this Python in {__path__[0]}: run 'make build' there if it is a checkout of the "
        "sources, or start Python elsewhere to get an installed dgnn"
    ) from None

from dgnn import _core
from dgnn._core import (
    BusyError,
    CommError,
    Error,
    InputError,
    ModelFormatError,
    UnsupportedModelError,
)

if TYPE_CHECKING:
    from dgnn.committee import Committee
    from dgnn.heat import heat_flux
    from dgnn.model import (
        Border,
        Direct,
        Model,
        Result,
        SmallSpinWarning,
        TruncationWarning,
        UntrainedElementWarning,
        heads,
    )

__version__ = _core.version

__all__ = [
    "Border",
    "BusyError",
    "CommError",
    "Committee",
    "Direct",
    "Error",
    "InputError",
    "Model",
    "ModelFormatError",
    "Result",
    "SmallSpinWarning",
    "TruncationWarning",
    "UnsupportedModelError",
    "UntrainedElementWarning",
    "__version__",
    "heads",
    "heat_flux",
]

# What is imported when it is asked for, so that who imports dgnn and computes nothing waits for the core alone.
_HOMES = {
    "Committee": "committee",
    "heat_flux": "heat",
    **dict.fromkeys(("Border", "Direct", "Model", "Result", "SmallSpinWarning", "TruncationWarning", "UntrainedElementWarning",
                     "heads"), "model"),
}
_SUBMODULES = ("calculator", "communicators", "deepmd", "heat", "model", "testing")  # reached as attributes of dgnn


def __getattr__(name):
    if name in _HOMES:
        value = globals()[name] = getattr(importlib.import_module(f"dgnn.{_HOMES[name]}"), name)
        return value
    if name in _SUBMODULES:
        return importlib.import_module(f"dgnn.{name}")
    raise AttributeError(f"module 'dgnn' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
