"""deepmd-kit's message-passing potentials on one rank or many, without torch.

    import dgnn
    model = dgnn.Model.load("model.pt2")
    result = model.compute(coords, types, box)
    result.energy, result.forces, result.virial
"""

from dgnn import _core
from dgnn._core import (
    BusyError,
    CommError,
    Error,
    InputError,
    ModelFormatError,
    UnsupportedModelError,
)
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
]
