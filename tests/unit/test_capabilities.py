"""What each family says of itself: message passing, and across ranks, as deepmd-kit answers."""

import subprocess
import sys

import dgnn
import pytest
from conftest import DATA

# case: (has_message_passing, has_message_passing_across_ranks). The local ones pass none; DPA3 passes messages across
# ranks unless use_loc_mapping is set; DPA2 always; a hybrid or a sum if a child does.
ANSWERS = {
    "dpa1_attn2": (False, False),
    "se_atten_v2": (False, False),
    "se_e2_a": (False, False),
    "se_e2_r": (False, False),
    "se_e3": (False, False),
    "se_e3_tebd": (False, False),
    "dpa3_base": (True, True),
    "dpa3_loc_mapping": (True, False),
    "dpa2_base": (True, True),
    "dpa2_graph_deep_graph": (True, True),
    "hybrid_local": (False, False),
    "hybrid_two_messages": (True, True),
    "hybrid_dpa3_nested": (True, True),
    "linear_dpa1_graph": (False, False),
    "linear_weights": (True, True),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers(name):
    path = DATA / "cases" / name / "model.pt2"
    model = dgnn.Model.load(path)
    info = model.info()
    assert (model.has_message_passing, model.has_message_passing_across_ranks) == ANSWERS[name]
    assert (info["has_message_passing"], info["has_message_passing_across_ranks"]) == ANSWERS[name]
    done = subprocess.run([sys.executable, "-m", "dgnn", "info", path], capture_output=True, text=True, check=True)
    words = dict(line.split(None, 1) for line in done.stdout.splitlines() if len(line.split(None, 1)) == 2)
    for key, answer in zip(("has_message_passing", "has_message_passing_across_ranks"), ANSWERS[name]):
        assert words[key].strip() == ("yes" if answer else "no")
