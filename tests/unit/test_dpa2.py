"""DPA2 archives that must be refused, each by name; and what a DPA2 model says of itself."""

import copy
import json
import pathlib
import zipfile

import dgnn
import numpy as np
import pytest

CASES = pathlib.Path(__file__).resolve().parent.parent / "data" / "cases"


@pytest.fixture(scope="module")
def tree():
    with zipfile.ZipFile(CASES / "dpa2_base" / "model.pt2") as file:
        return json.loads(file.read("model/extra/model.json"))


def put(*path, value):
    """A change: the member at path of the descriptor."""

    def change(descriptor):
        for key in path[:-1]:
            descriptor = descriptor[key]
        descriptor[path[-1]] = value

    return change


def drop(*path):
    def change(descriptor):
        for key in path[:-1]:
            descriptor = descriptor[key]
        del descriptor[path[-1]]

    return change


def vary_statistics(block):
    def change(descriptor):
        descriptor[block]["@variables"]["dstd"]["value"][0][3][0] += 0.5

    return change


def narrow(*path):
    """One column less in a layer's weights."""

    def change(descriptor):
        for key in path:
            descriptor = descriptor[key]
        w = descriptor["@variables"]["w"]
        w["value"] = [row[:-1] for row in w["value"]]

    return change


LAYERS = ("repformers_variable", "repformer_layers")
UNSUPPORTED = {
    "new": (put("@version", value=5), "version 5"),
    "option of the descriptor": (put("use_magic", value=True), "descriptor.use_magic"),
    "option of repinit": (put("repinit_args", "use_magic", value=True), "repinit_args.use_magic"),
    "option of repformer": (put("repformer_args", "use_magic", value=True), "repformer_args.use_magic"),
    "option of a layer": (put(*LAYERS, 0, "use_magic", value=True), "repformer_layers[0].use_magic"),
    "precision": (put("precision", value="bfloat16"), "bfloat16"),
    "activation": (put("repinit_variable", "embeddings", "networks", 0, "layers", 0, "activation_function",
                       value="magic"), "magic"),
    "statistics of slots": (vary_statistics("repformers_variable"), "differ"),
    "statistics of slots of three": (vary_statistics("repinit_three_body_variable"), "differ"),
    "last layer": (put(*LAYERS, 1, "update_chnnl_2", value=True), "update_chnnl_2"),
    "an activation in a product": (put(*LAYERS, 0, "linear2", "activation_function", value="tanh"), "linear2"),
}
DAMAGED = {
    "tables that are none": (put("repinit_variable", "compress", value={}), "repinit_variable.compress.@variables"),
    "no layers": (put(*LAYERS, value=[]), "0 layers, expected 2"),
    "a layer less": (drop(*LAYERS, 1), "1 layers, expected 2"),
    "no weights": (drop(*LAYERS, 0, "linear1"), "linear1"),
    "no attention": (drop(*LAYERS, 0, "loc_attn"), "loc_attn"),
    "narrow weights": (narrow(*LAYERS, 0, "linear1"), "linear1"),
    "narrow heads": (narrow(*LAYERS, 0, "attn2g_map", "mapqk"), "mapqk"),
    "narrow network": (narrow("repinit_three_body_variable", "embeddings", "networks", 0, "layers", 1), "layers[1]"),
    "heads": (put(*LAYERS, 0, "attn1_nhead", value=3), "head_num"),
    "many heads": (put(*LAYERS, 0, "attn1_nhead", value=1 << 40), "number of heads"),
    "hidden": (put(*LAYERS, 0, "loc_attn", "hidden_dim", value=1 << 50), "hidden_dim"),
    "gate": (put(*LAYERS, 0, "attn2g_map", "has_gate", value=True), "has_gate"),
    "smooth": (put(*LAYERS, 0, "smooth", value=False), "smooth"),
    "width": (put("repformer_args", "g1_dim", value=1 << 40), "g1_dim"),
    "other width": (put("repformer_args", "g1_dim", value=9), "repformer_layers[0]"),
    "slots": (put("repformer_args", "nsel", value=0), "nsel"),
    "slots of three": (put("repinit_args", "three_body_sel", value=-1), "three_body_sel"),
    "axis": (put("repinit_args", "axis_neuron", value=9), "axis_neuron"),
    "order of cutoffs": (put("repinit_args", "rcut", value=3.0), "rcut"),
    "order of slots": (put("repinit_args", "three_body_sel", value=101), "same order"),
    "switch": (put("repformer_args", "rcut_smth", value=4.0), "rcut_smth"),
    "mode": (put("repinit_args", "tebd_input_mode", value="magic"), "tebd_input_mode"),
    "width of the embedding": (put("repinit_args", "tebd_dim", value=1 << 50), "tebd_dim"),
    "types": (put("ntypes", value=3), "ntypes"),
    "excluded types": (put("exclude_types", value=[[0, 2]]), "exclude_types"),
    "style": (put(*LAYERS, 1, "update_style", value="res_magic"), "update_style contradicts that of the block"),
    "residual": (drop(*LAYERS, 0, "@variables", "g1_residual"), "g1_residual"),
    "residuals": (drop(*LAYERS, 0, "@variables", "g2_residual", 0), "g2_residual"),
}


def load_changed(tree, change, tmp_path):
    changed = copy.deepcopy(tree)
    change(changed["model"]["descriptor"])
    path = tmp_path / "model.json"
    path.write_text(json.dumps(changed))
    return dgnn.Model.load(path)


def test_unchanged_loads(tree, tmp_path):
    assert load_changed(tree, lambda descriptor: None, tmp_path).cutoff == 5.0


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_unsupported(name, tree, tmp_path):
    change, message = UNSUPPORTED[name]
    with pytest.raises(dgnn.UnsupportedModelError) as caught:
        load_changed(tree, change, tmp_path)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged(name, tree, tmp_path):
    change, message = DAMAGED[name]
    with pytest.raises(dgnn.ModelFormatError) as caught:
        load_changed(tree, change, tmp_path)
    assert message in str(caught.value)


def test_no_graph_form_with_three_body():
    with pytest.raises(dgnn.Error, match="graph"):
        dgnn.Model.load(CASES / "dpa2_base" / "model.pt2", semantics="graph")


def test_semantics_can_be_chosen():
    """The archive of the graph form in dense semantics gives the answers of its dense twin, and the other way round."""
    for wanted, archive, answers in [("dense", "dpa2_graph_small_sel_graph", "dpa2_graph_small_sel"),
                                     ("graph", "dpa2_graph_small_sel", "dpa2_graph_small_sel_graph")]:
        model = dgnn.Model.load(CASES / archive / "model.pt2", semantics=wanted)
        with np.load(CASES / answers / "cases.npz") as file:
            result = model.compute(*[file[f"triclinic/in/{key}"] for key in ("coord", "type", "box")])
            assert np.abs(result.forces - file["triclinic/out/force"]).max() < 1e-12


def test_says_what_it_is():
    model = dgnn.Model.load(CASES / "dpa2_davg" / "model.pt2")
    assert model.has_message_passing and model.has_message_passing_across_ranks
    descriptor = model.info()["descriptor"]
    assert descriptor["repinit"]["use_three_body"] is True
    assert descriptor["repformer"]["update_g2_has_attn"] is True
