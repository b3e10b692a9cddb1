"""formats/saved_NAME/: models of cases/ with other fittings, pair tables and tables of compression, as deepmd-kit's own writer saves
them (.dp, .yaml; of a .hlo it writes the same and the exported programs, which are not read), and the case's answers.

usage: make_kind_files.py      (an environment with deepmd-kit)
"""

import json
import lzma
import pathlib
import shutil
import tempfile
import zipfile

import numpy as np
from deepmd.dpmodel.utils.serialization import save_dp_model

DATA = pathlib.Path(__file__).resolve().parent
NAMES = ("dipole_se_e2_a", "polar_dpa1", "dos_dpa1", "property_dpa1", "zbl_dpa1", "compressed_coarse", "compressed_coarse_se_e2_a")


def numbers(value):
    if isinstance(value, dict) and value.get("@class") == "np.ndarray":
        return np.array(value["value"], value["dtype"])
    if isinstance(value, dict):
        return {key: numbers(item) for key, item in value.items()}
    return [numbers(item) for item in value] if isinstance(value, list) else value


def main():
    for name in NAMES:
        with zipfile.ZipFile(DATA / "cases" / name / "model.pt2") as archive:
            tree = json.loads(archive.read("model/extra/model.json"))
        folder = DATA / "formats" / f"saved_{name}"
        folder.mkdir(exist_ok=True)
        shutil.copy(DATA / "cases" / name / "cases.npz", folder)
        with tempfile.TemporaryDirectory() as scratch:
            for form in ("dp", "yaml"):
                path = pathlib.Path(scratch) / f"model.{form}"
                save_dp_model(str(path), {"model": numbers(tree["model"]), "model_def_script": tree["model_def_script"]})
                (folder / f"model.{form}.xz").write_bytes(lzma.compress(path.read_bytes(), preset=9))


if __name__ == "__main__":
    main()
