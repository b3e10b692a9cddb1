"""Makes dgnn/cases, what `dgnn check` compares with: models and answers of tests/data/cases, of one system each.

    python tools/gen_check.py           write them
    python tools/gen_check.py --check   fail if they are not those of tests/data/cases
"""

import io
import json
import pathlib
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from dgnn import check

SOURCE = ROOT / "tests" / "data" / "cases"
TARGET = ROOT / "dgnn" / "cases"
NAMES = ("dpa3_base", "dpa3_f32", "dpa2_base", "dpa1_attn2", "dpa4c_base", "se_e2_a", "se_e2_r", "se_e3", "se_e3_tebd",
         "hybrid_local", "spin_dpa3")
SYSTEM = "triclinic"
KEYS = {"in": ("coord", "type", "box", "spin"), "out": tuple(check.QUANTITIES.values()), "out64": tuple(check.QUANTITIES.values())}


def answers():
    found = {}
    for name in NAMES:
        with np.load(SOURCE / name / "cases.npz") as file:
            for kind, keys in KEYS.items():
                for key in keys:
                    if f"{SYSTEM}/{kind}/{key}" in file:
                        found[f"{name}/{kind}/{key}"] = file[f"{SYSTEM}/{kind}/{key}"]
    return found


def sums(numbers):
    """Checksums of all weights and numbers."""
    found = {}
    for name in NAMES:
        tree, arrays = check.tree_of(SOURCE / name / "model.pt2")
        own = {key.partition("/")[2]: check.crc(value) for key, value in numbers.items() if key.startswith(f"{name}/")}
        found[name] = {"weights": {path: check.crc(arrays[index]) for index, path in check.paths_of(tree).items()}, "numbers": own}
    return found


def files():
    """name in dgnn/cases -> bytes."""
    numbers, packed = answers(), io.BytesIO()
    np.savez_compressed(packed, **numbers)
    return {"answers.npz": packed.getvalue(), "weights.json": (json.dumps(sums(numbers), indent=0) + "\n").encode(),
            **{f"{name}.pt2": (SOURCE / name / "model.pt2").read_bytes() for name in NAMES}}


def is_current(wanted):
    """Another zlib packs the same numbers into other bytes."""
    if sorted(path.name for path in TARGET.iterdir()) != sorted(wanted):
        return False
    with np.load(TARGET / "answers.npz") as file, np.load(io.BytesIO(wanted["answers.npz"])) as other:
        if sorted(file) != sorted(other) or any((file[key] != other[key]).any() for key in file):
            return False
    return all((TARGET / name).read_bytes() == data for name, data in wanted.items() if name != "answers.npz")


def main():
    wanted = files()
    if "--check" in sys.argv[1:]:
        if not TARGET.is_dir() or not is_current(wanted):
            sys.exit("dgnn/cases is not current; run python tools/gen_check.py")
        return
    TARGET.mkdir(exist_ok=True)
    for path in TARGET.iterdir():
        path.unlink()
    for name, data in wanted.items():
        (TARGET / name).write_bytes(data)


if __name__ == "__main__":
    main()
