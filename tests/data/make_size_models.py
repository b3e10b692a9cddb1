"""perf/NAME.pt2: the sizes of deepmd-kit's examples/water, for speed and memory, not for numbers.

usage: make_size_models.py DEEPMD_KIT OUTDIR      (a checkout of deepmd-kit; environment as for make_cases.py)

The weights are a short sequence over and over, so that an archive of a million of them is small."""
import copy
import itertools
import json
import pathlib
import sys
import zipfile

import numpy as np

INPUTS = {
    "dpa2_small": "dpa2/input_torch_small.json",
    "dpa2_medium": "dpa2/input_torch_medium.json",
    "se_atten": "se_atten/input_torch.json",
    "se_e2_a": "se_e2_a/input_torch.json",
}
STEPS = 0.001 * np.random.default_rng(7).integers(-99, 100, 97)


def without_comments(tree):
    if isinstance(tree, dict):
        return {key: without_comments(value) for key, value in tree.items() if "comment" not in key}
    return tree


def replace(tree, key=""):
    """All weights, in place; statistics, norms and time steps keep their values."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            if isinstance(value, np.ndarray) and value.size > 1 and name in ("w", "b", "bias", "matrix"):
                size = value.size
                tree[name] = np.fromiter(itertools.islice(itertools.cycle(STEPS), size), float, size).reshape(value.shape)
            else:
                replace(value, name)
    elif isinstance(tree, list):
        for value in tree:
            replace(value, key)


def main(deepmd_kit, outdir):
    import make_cases

    for name, place in INPUTS.items():
        text = (pathlib.Path(deepmd_kit) / "examples" / "water" / place).read_text()
        config = without_comments(json.loads(text)["model"])
        model = make_cases.get_model(copy.deepcopy(config)).serialize()
        replace(model)
        with zipfile.ZipFile(pathlib.Path(outdir) / f"{name}.pt2", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            archive.writestr("model/extra/model_def_script.json", json.dumps(config))
            archive.writestr("model/extra/model.json", json.dumps({
                "model": make_cases._numpy_to_json_serializable(model), "model_def_script": config,
                "backend": "dpmodel", "software": "deepmd-kit", "version": "3.2.0"}))


if __name__ == "__main__":
    main(*sys.argv[1:])
