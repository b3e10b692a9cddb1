"""Writes dipole.json: a model of the dipoles of water molecules, as deepmd-kit's se_e2_a with a dipole fitting.

usage: make_dipole.py [OUT]

Not trained on quantum mechanics: the dipole of a molecule is that of charges, -2q on O and q on each H at its place, which is
exact for any q, so that the spectrum's lines can be checked by hand. Of an O the network of H neighbours gives g(s) with
s g(s) / nnei = q r inside 1.35 Å, and nothing beyond 1.6 Å; it is fitted here to a hundredth of that. H gives nothing
(atom_exclude_types). q = 0.4 e, about what makes the dipole of liquid water's molecules, 2.5 D.
"""
import json
import pathlib
import sys

import numpy as np

CUTOFF, SMOOTH, SEL, HIDDEN, CHARGE = 3.0, 2.5, (12, 24), 60, 0.4
SMALL = 1e-5  # every layer of an embedding has the activation: tanh(SMALL g) / SMALL is g to 1e-7
HERE = pathlib.Path(__file__).resolve().parent


def array(values):
    values = np.asarray(values, float)
    return {"@class": "np.ndarray", "@is_variable": True, "dtype": "float64", "value": values.tolist()}


def layer(w, b, activation, nin):
    return {"@class": "Layer", "@version": 2, "bias": b is not None, "use_timestep": False, "activation_function": activation,
            "resnet": activation != "none", "precision": "float64", "trainable": True,
            "@variables": {"w": array(w), "b": None if b is None else array(b), "idt": None}}


def network(layers, kind, nin, neuron, nout=None):
    tree = {"@class": kind, "@version": 2 if nout is None else 1, "in_dim": nin, "neuron": neuron, "activation_function": "tanh",
            "resnet_dt": False, "precision": "float64", "layers": layers}
    return tree if nout is None else {**tree, "out_dim": nout, "bias_out": True}


def radial():
    """Weights of a network with one hidden layer for g(s), s = 1/r: least squares in its last layer."""
    r = np.concatenate([np.linspace(0.75, 1.8, 2000), np.linspace(1.8, CUTOFF, 400)])
    s = 1 / r
    x = np.clip((r - 1.35) / 0.25, 0, 1)
    inside = 1 - x**3 * (10 - 15 * x + 6 * x**2)
    wanted = CHARGE * sum(SEL) * r * r * inside  # s r_hat g / nnei = q r_vec
    centres = np.linspace(0.0, 1.4, HIDDEN)
    w, b = np.full((1, HIDDEN), 14.0), -14.0 * centres
    hidden = np.tanh(s[:, None] * w + b)
    columns = np.hstack([hidden, np.ones((len(s), 1))])
    solution, *_ = np.linalg.lstsq(np.vstack([columns, 1e-3 * np.eye(HIDDEN + 1)]),
                                   np.concatenate([wanted, np.zeros(HIDDEN + 1)]), rcond=None)
    error = np.abs(columns @ solution - wanted).max() / wanted.max()
    return w, b, SMALL * solution[:-1, None], SMALL * solution[-1:], error


def tree():
    w, b, last, bias, error = radial()
    nothing = [layer(np.zeros((1, HIDDEN)), np.zeros(HIDDEN), "tanh", 1), layer(np.zeros((HIDDEN, 1)), np.zeros(1), "tanh", HIDDEN)]
    hydrogen = [layer(w, b, "tanh", 1), layer(last, bias, "tanh", HIDDEN)]
    ones = np.tile([1.0, 1.0, 1.0, 1.0], (2, sum(SEL), 1))
    descriptor = {
        "@class": "Descriptor", "type": "se_e2_a", "@version": 2, "rcut": CUTOFF, "rcut_smth": SMOOTH, "sel": list(SEL),
        "neuron": [HIDDEN, 1], "axis_neuron": 1, "resnet_dt": False, "set_davg_zero": True, "activation_function": "tanh",
        "precision": "float64",
        "embeddings": {"@class": "NetworkCollection", "@version": 1, "ndim": 1, "ntypes": 2, "network_type": "embedding_network",
                       "networks": [network(nothing, "EmbeddingNetwork", 1, [HIDDEN, 1]),
                                    network(hydrogen, "EmbeddingNetwork", 1, [HIDDEN, 1])]},
        "env_mat": {"rcut": CUTOFF, "rcut_smth": SMOOTH, "protection": 0.0, "use_exp_switch": False},
        "exclude_types": [], "env_protection": 0.0, "@variables": {"davg": array(0 * ones), "dstd": array(ones)},
        "type_map": ["O", "H"], "trainable": True, "type_one_side": True, "spin": None}
    fit = [layer(np.zeros((1, 1)), np.zeros(1), "tanh", 1), layer(np.zeros((1, 1)), np.zeros(1), "none", 1)]
    fitting = {
        "@class": "Fitting", "@version": 4, "var_name": "dipole", "ntypes": 2, "dim_descrpt": 1, "neuron": [1], "resnet_dt": False,
        "numb_fparam": 0, "numb_aparam": 0, "dim_case_embd": 0, "default_fparam": None, "rcond": None, "activation_function": "tanh",
        "precision": "float64", "mixed_types": True, "exclude_types": [1],
        "nets": {"@class": "NetworkCollection", "@version": 1, "ndim": 0, "ntypes": 2, "network_type": "fitting_network",
                 "networks": [network(fit, "FittingNetwork", 1, [1], 1)]},
        "@variables": {"bias_atom_e": array([[1 / SMALL], [0.0]]), "case_embd": None, "fparam_avg": None, "fparam_inv_std": None,
                       "aparam_avg": None, "aparam_inv_std": None},
        "type_map": ["O", "H"], "tot_ener_zero": False, "trainable": [True, True], "layer_name": None,
        "use_aparam_as_mask": False, "spin": None, "type": "dipole", "embedding_width": 1, "r_differentiable": True,
        "c_differentiable": True}
    model = {"@class": "Model", "type": "standard", "@version": 2, "type_map": ["O", "H"], "atom_exclude_types": [1],
             "pair_exclude_types": [], "rcond": None, "preset_out_bias": None,
             "@variables": {"out_bias": array(np.zeros((1, 2, 3))), "out_std": array(np.ones((1, 2, 3)))},
             "descriptor": descriptor, "fitting": fitting}
    return {"model": model, "model_def_script": {}, "backend": "dgnn's example", "software": "dgnn", "version": "example"}, error


if __name__ == "__main__":
    made, worst = tree()
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "dipole.json"
    out.write_text(json.dumps(made))
    print(f"{out}: the charges' dipoles to {worst:.1e} of the largest")
