"""Cases of hybrid descriptors, sums of models and spin models beyond those of make_cases.py, made in the same way.

usage: make_composed_cases.py OUTDIR SEED [CASE ...]     (the cases here were made with seed 7)
"""

import sys

from make_cases import dpa1, dpa2, dpa3, run, se


def join(*models):
    return dict(descriptor=dict(type="hybrid", list=[model["descriptor"] for model in models]))


def hybrid(*models, fit={}, **kw):
    net = dict(neuron=[8, 8], resnet_dt=False, seed=31, **fit)
    return dict(type_map=["O", "H"], **join(*models), fitting_net=net, **kw)


def linear(weights, *models, **kw):
    return dict(type="linear_ener", type_map=["O", "H"], weights=weights, models=models, fitting_net={}, **kw)


def spin(model, scale=(0.314, 0.0), **kw):
    return {**model, "spin": dict(use_spin=[s > 0 for s in scale], virtual_scale=list(scale)), **kw}


SMALL, TIGHT = dict(nlayers=2), dict(nlayers=2, e_sel=20, a_sel=6)
BOTH = (0.314, 0.2)
PARAMETERS = dict(numb_fparam=2, numb_aparam=1)
CASES = {
    "hybrid_dpa3_twice": hybrid(dpa3(TIGHT), dpa3(dict(nlayers=1, e_rcut=4.2, e_sel=30, n_dim=6, a_sel=8)),
                                pair_exclude_types=[[0, 1]]),
    "hybrid_dpa3_nested": hybrid(dpa3(dict(nlayers=1, e_rcut=4.2)),
                                 join(dpa3(dict(nlayers=2, e_sel=14, a_sel=6)), join(dpa3(SMALL)))),
    "hybrid_f32": hybrid(dpa3(SMALL, precision="float32"), dpa3(dict(nlayers=1), precision="float32"),
                         fit=dict(precision="float32")),
    "hybrid_nested": hybrid(dpa3(SMALL),
                            join(dpa1(sel=30), join(se("se_e2_a", sel=[8, 9]), se("se_e2_r", sel=[20, 20])))),
    "hybrid_nested_local": hybrid(se("se_e2_a", sel=[8, 9]),
                                  join(se("se_e2_a", sel=[10, 5]), se("se_e2_r", sel=[12, 20]))),
    "hybrid_small_sel": hybrid(dpa1(sel=14), se("se_e2_a", sel=[8, 9]), dpa3(dict(e_sel=20, a_sel=6, e_rcut=4.5)),
                               pair_exclude_types=[[0, 1]]),
    "hybrid_charge_spin": hybrid(dpa3({}, add_chg_spin_ebd=True, default_chg_spin=[1.0, 2.0]),
                                 dpa1(rcut=4.0, attn_layer=0)),
    "hybrid_fparam": hybrid(dpa3(SMALL, exclude_types=[[0, 1]]), dpa2(), fit=dict(numb_fparam=2, numb_aparam=1)),
    "linear_dpa3_twice": linear([0.3, -1.7], dpa3(dict(nlayers=2, e_rcut=4.5, e_sel=20, a_sel=10)),
                                {**dpa3(SMALL), "type_map": ["H", "C", "O"]}),
    "linear_dpa3_sum": linear("sum",
                              {**dpa3(dict(nlayers=1)), "atom_exclude_types": [0], "pair_exclude_types": [[1, 1]]},
                              dpa3(dict(nlayers=2, e_sel=14, a_sel=6, e_rcut=4.0)), pair_exclude_types=[[0, 1]]),
    "linear_weights": linear([0.3, -1.7, 0.9],
                             {**dpa3(dict(e_rcut=4.5, e_sel=20, a_sel=10)), "atom_exclude_types": [1]},
                             {**dpa1(sel=40), "type_map": ["H", "C", "O"]}, {**dpa2(), "pair_exclude_types": [[0, 0]]}),
    "linear_sum": linear("sum", dpa3(SMALL), dpa1(attn_layer=0, sel=14, rcut=4.0), atom_exclude_types=[1],
                         pair_exclude_types=[[0, 1]]),
    "linear_dpa1": linear("mean", dpa1(attn_layer=0, rcut=4.0), dpa1()),
    "spin_small_sel": spin(dpa3(dict(nlayers=2, e_sel=14, a_sel=6)), BOTH),
    "spin_exclude": spin(dpa3(SMALL), pair_exclude_types=[[0, 1]], atom_exclude_types=[1]),
    "spin_fparam": spin(dpa3(SMALL, fit=dict(numb_fparam=2, numb_aparam=1)), BOTH),
    "spin_f32": spin(dpa3(SMALL, precision="float32", fit=dict(precision="float32"))),
    "spin_charge": spin(dpa3(SMALL, add_chg_spin_ebd=True)),
    "spin_three": spin(dpa3(dict(nlayers=2, e_sel=160)), (0.3, 0.25, 0.0), type_map=["Ni", "Fe", "O"]),
    "spin_se_e2_a_small_sel": spin(se("se_e2_a", sel=[8, 9]), BOTH),
    "spin_dpa2_small_sel": spin(dpa2(dict(nsel=20, three_body_sel=8), dict(nsel=10)), BOTH),
    "spin_dpa2_fparam": spin(dpa2(fit=PARAMETERS), BOTH),
    "spin_dpa1_fparam": spin(dpa1(fit=PARAMETERS), BOTH),
    "spin_se_e2_a_fparam": spin(se("se_e2_a", fit=PARAMETERS), BOTH),
    "spin_dpa2_f32": spin(dpa2(fit=dict(precision="float32"), precision="float32"), BOTH),
    "spin_dpa1_f32": spin(dpa1(fit=dict(precision="float32"), precision="float32"), BOTH),
    "spin_se_e2_a_f32": spin(se("se_e2_a", fit=dict(precision="float32"), precision="float32"), BOTH),
}

if __name__ == "__main__":
    sys.exit(bool(run(CASES, sys.argv[1], int(sys.argv[2]), sys.argv[3:])))
