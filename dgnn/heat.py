"""The heat flux of a system whose atoms' energies and virials are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dgnn._core import InputError
from dgnn.keywords import collective

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from dgnn.model import Result


@collective
def heat_flux(r: Result, velocities: ArrayLike, masses: ArrayLike, comm: Any = None,
              parts: bool = False) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """The heat flux J = sum_i (E_i + K_i) v_i + sum_j W_j^T v_j, shape (3,), eV times velocity, not over the volume.

    r: of a call with atomic=True, whose atom_virial W holds dE_i/dr_j of all pairs of atoms. velocities: (n, 3), masses:
    (n,), both in ASE's units (atoms.get_velocities(), atoms.get_masses()), so that a kinetic energy K is in eV. For a cluster J
    is the time derivative of sum_i r_i (E_i + K_i). Where r has frames, so have velocities and J; masses may have.

    comm: r, velocities and masses are of the atoms that this rank passed, and J is the total, on all ranks. Without it
    J is of the atoms given: the total of compute(replicated=True) and of one rank. After compute_ghosted: with the results of
    ghost_forces="add", or with all rows and their owners' velocities, of which ghosts have no mass.
    parts: (the first sum, the second one): convective and virial.

    Errors: InputError, with a communicator on all ranks.
    """
    if comm is None:
        found = _parts(r, velocities, masses)
    else:
        from dgnn import communicators

        found = communicators.total(comm, "heat_flux", lambda: _parts(r, velocities, masses))
    return (found[0], found[1]) if parts else found[0] + found[1]


def _parts(r, velocities, masses):
    """(convective, virial) of this rank's atoms."""
    if getattr(r, "atom_virial", None) is None:
        raise InputError("heat_flux: the result has no atom_virial; compute it with atomic=True")
    virial, energy = r.atom_virial, r.atom_energy
    shape = virial.shape[:-1]
    velocities, masses = _numbers("velocities", velocities), _numbers("masses", masses)
    if velocities.shape != shape:
        raise InputError(f"velocities: expected shape {shape}, as the result's atoms, found {velocities.shape}")
    if masses.shape not in (shape[:-1], shape[-2:-1]):
        raise InputError(f"masses: expected shape {shape[-2:-1]}, one for each atom, found {masses.shape}")
    if not (masses >= 0).all():
        raise InputError(f"masses: expected none below 0, found {masses.min():g}")
    kinetic = 0.5 * masses * np.einsum("...ia,...ia->...i", velocities, velocities)
    if energy.shape != kinetic.shape:  # of compute_ghosted: owned atoms are the first rows
        whole = np.zeros(kinetic.shape)
        whole[..., : energy.shape[-1]] = energy
        energy = whole
    return np.stack((np.einsum("...i,...ia->...a", energy + kinetic, velocities),
                     np.einsum("...iab,...ia->...b", virial, velocities)))


def _numbers(name, value):
    try:
        array = np.asarray(value, float)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: expected an array of numbers, found {type(value).__name__}") from error
    if not np.isfinite(array).all():
        raise InputError(f"{name}: a number is not finite")
    return array
