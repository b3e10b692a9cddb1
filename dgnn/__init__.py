"""deepmd-kit's message-passing potentials on one rank or many, without torch.

    import dgnn
    model = dgnn.Model.load("model.pt2")
    result = model.compute(coords, types, box)
    result.energy, result.forces, result.virial
"""

import importlib

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

_SUBMODULES = ("calculator", "communicators", "deepmd", "testing")  # reached as attributes of dgnn; imported when they are


def __getattr__(name):
    if name == "Committee":
        return importlib.import_module("dgnn.committee").Committee
    if name in _SUBMODULES:
        return importlib.import_module(f"dgnn.{name}")
    raise AttributeError(f"module 'dgnn' has no attribute {name!r}")
