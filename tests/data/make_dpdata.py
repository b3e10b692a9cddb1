"""datasets/dpdata.hdf5 and datasets/raw: the system datasets/parameters (but for those) as dpdata writes it (dpdata 1.1.0 and h5py alone are
needed, in an environment of their own)."""
import pathlib

import dpdata

OUT = pathlib.Path(__file__).resolve().parent / "datasets"
system = dpdata.LabeledSystem(str(OUT / "parameters"), fmt="deepmd/npy")
(OUT / "dpdata.hdf5").unlink(missing_ok=True)
dpdata.MultiSystems(system).to("deepmd/hdf5", str(OUT / "dpdata.hdf5"))
system.to("deepmd/raw", str(OUT / "raw"))
