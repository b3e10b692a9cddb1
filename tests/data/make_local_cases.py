"""Further cases of the local descriptors, one for each option that make_cases.py has none for.

usage: make_local_cases.py OUTDIR SEED [CASE ...]
Environment as for make_cases.py, which this one uses."""
import sys

import make_cases
import numpy as np
from make_cases import dpa1, run, se


def second(**kw):
    """se_atten_v2 has no tebd_input_mode and no smooth_type_embedding."""
    return dpa1(type="se_atten_v2", **kw)


def tebd(**kw):
    d = dict(type="se_e3_tebd", rcut=4.0, rcut_smth=1.0, sel=40, neuron=[3, 6], tebd_dim=4, seed=31)
    d.update(kw)
    return dict(type_map=["O", "H"], descriptor=d, fitting_net=dict(neuron=[8, 8, 8], resnet_dt=True, seed=32))


CASES = {
    "dpa1_f32": dpa1(fit=dict(precision="float32"), precision="float32"),
    "dpa1_exclude": dpa1(exclude_types=[[0, 1]], set_davg_zero=False),
    "dpa1_exclude_not_smooth": dpa1(exclude_types=[[0, 0]], smooth_type_embedding=False),
    "dpa1_protection": dpa1(env_protection=0.02, attn_layer=1, attn_dotr=False),
    "dpa1_strip_attn": dpa1(tebd_input_mode="strip", set_davg_zero=False),
    "dpa1_strip_one_side": dpa1(tebd_input_mode="strip", type_one_side=True, attn_layer=1),
    "dpa1_strip_not_smooth": dpa1(tebd_input_mode="strip", smooth_type_embedding=False, attn_layer=0,
                                  set_davg_zero=False),
    "dpa1_tebd_bias": dpa1(use_tebd_bias=True, activation_function="gelu", trainable_ln=False, ln_eps=1e-3, attn_layer=3),
    "dpa1_residual": dpa1(tebd_dim=3, neuron=[7, 7, 14], activation_function="silu", resnet_dt=True, attn_layer=1),
    "se_atten_v2": second(),
    "se_atten_v2_exclude": second(exclude_types=[[1, 1]], attn_layer=0, type_one_side=True),
    "se_e2_a_f32": se("se_e2_a", fit=dict(precision="float32"), precision="float32"),
    "se_e2_a_one_side": se("se_e2_a", type_one_side=True, exclude_types=[[0, 1]], env_protection=0.02,
                           set_davg_zero=True),
    "se_e2_a_activation": se("se_e2_a", activation_function="softplus", neuron=[2, 4, 8], axis_neuron=8, resnet_dt=True),
    "se_e2_r_exclude": se("se_e2_r", exclude_types=[[0, 1]], resnet_dt=True, env_protection=0.02, sel=[12, 14]),
    "se_e2_r_f32": se("se_e2_r", fit=dict(precision="float32"), precision="float32", set_davg_zero=True,
                      activation_function="sigmoid"),
    "se_e3_exclude": se("se_e3", sel=[20, 25], exclude_types=[[0, 1]], resnet_dt=True, env_protection=0.02,
                        activation_function="gelu"),
    "se_e3_f32": se("se_e3", fit=dict(precision="float32"), sel=[20, 25], precision="float32", set_davg_zero=True),
    "se_e3_tebd_strip": tebd(tebd_input_mode="strip", use_tebd_bias=True),
    "se_e3_tebd_strip_not_smooth": tebd(tebd_input_mode="strip", smooth=False, concat_output_tebd=False,
                                        set_davg_zero=False),
    "se_e3_tebd_exclude": tebd(exclude_types=[[0, 1]], env_protection=0.02, resnet_dt=True, use_econf_tebd=True),
    "se_e3_tebd_f32": {**tebd(precision="float32"),
                       "fitting_net": dict(neuron=[8, 8, 8], resnet_dt=True, seed=32, precision="float32")},
}

# Statistics as training never makes them, but which an archive can hold: a mean and unequal deviations of the vector part.
VECTOR_CASES = {
    "dpa1_vector_mean": dpa1(set_davg_zero=False),
    "se_e2_a_vector_mean": se("se_e2_a"),
    "se_e3_vector_mean": se("se_e3", sel=[20, 25]),
    "se_e3_tebd_vector_mean": tebd(set_davg_zero=False),
    "se_e3_tebd_strip_vector_mean": tebd(set_davg_zero=False, tebd_input_mode="strip", smooth=False),
}
perturb = make_cases.perturb


def perturb_vector_part(o, rng, *args):
    perturb(o, rng, *args)
    for key in ("davg", "dstd"):
        if isinstance(o, dict) and isinstance(o.get(key), np.ndarray):
            row = rng.standard_normal((o[key].shape[0], 1, 3))
            o[key][..., 1:] += 0.02 * row if key == "davg" else 0.1 * np.abs(row)


if __name__ == "__main__":
    folder, seed, names = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    failed = run(CASES, folder, seed, names)
    make_cases.perturb = perturb_vector_part
    sys.exit(bool(failed + run(VECTOR_CASES, folder, seed + 1, names)))
