/* Weights of the RepFlow layers: from the archive's layout into the padded, merged matrices of the blocks. */
#include <math.h>
#include <string.h>

#include "net/dpa3/dpa3.h"

/* Members of a layer's object beside its settings. */
static const char *const repflow_layer_members[] = {
    "ntypes",           "precision",         "activation_function", "node_self_mlp",
    "node_sym_linear",  "node_edge_linear",  "edge_self_linear",    "edge_angle_linear1",
    "edge_angle_linear2", "angle_self_linear", "a_compress_n_linear", "a_compress_e_linear"};

/* A layer repeats the settings of its block; an unknown member means mathematics that dgnn does not know. */
static int repflow_check_layer(const struct dgnn_value *value, struct dgnn_error *error)
{
    char path[256];
    DGNN_TRY(dgnn_value_object(value, error));
    for (int64_t m = 0; m < dgnn_value_count(value); m++) {
        struct dgnn_value member = dgnn_value_item(value, m);
        int known = member.name[0] == '@' || dgnn_dpa3_knows(member.name);
        for (size_t k = 0; k < sizeof(repflow_layer_members) / sizeof(repflow_layer_members[0]); k++) {
            known |= !strcmp(member.name, repflow_layer_members[k]);
        }
        if (!known) {
            return dgnn_status_set(error, DGNN_ERROR_UNSUPPORTED,
                                   "%s: dgnn does not know this option, so it does not evaluate a model that has it",
                                   dgnn_value_path(&member, path, sizeof(path)));
        }
    }
    return dgnn_params_version(value, 1, 2, 1, error);
}

#define DGNN_REAL_BITS 32
#include "net/dpa3/repflow_load_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/dpa3/repflow_load_body.h"
