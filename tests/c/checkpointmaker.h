/* Makes a small checkpoint byte by byte, as torch.save leaves it: one type, se_e2_r. */
#ifndef DGNN_TESTS_CHECKPOINTMAKER_H
#define DGNN_TESTS_CHECKPOINTMAKER_H

#include "zipmaker.h"

#include <stdio.h>

struct checkpoint_maker {
    unsigned char pickle[1 << 15];
    size_t length;
    int nstorage;
    double storage[32][8];
    size_t size[32];
    char name[32][16];
};

static inline void checkpoint_put(struct checkpoint_maker *m, const void *bytes, size_t size)
{
    zip_put_bytes(m->pickle, &m->length, bytes, size);
}

static inline void checkpoint_text(struct checkpoint_maker *m, const char *text)
{
    checkpoint_put(m, "X", 1);
    zip_put(m->pickle, &m->length, strlen(text), 4);
    checkpoint_put(m, text, strlen(text));
}

static inline void checkpoint_integer(struct checkpoint_maker *m, int value)
{
    checkpoint_put(m, "J", 1);
    zip_put(m->pickle, &m->length, (uint32_t)value, 4);
}

/* A tensor with a storage of its own, as a member of the open dict; shape ends at a negative length. */
static inline void checkpoint_tensor(struct checkpoint_maker *m, const char *name, const int *shape)
{
    int size = 1, stride[4], ndim = 0, k = m->nstorage++;
    while (shape[ndim] >= 0) {
        ndim++;
    }
    for (int d = ndim - 1; d >= 0; d--) {
        stride[d] = size;
        size *= shape[d];
    }
    for (int i = 0; i < size; i++) {
        m->storage[k][i] = 0.1 * (k + 1) + 0.01 * i;
    }
    m->size[k] = (size_t)size * sizeof(double);
    snprintf(m->name[k], sizeof(m->name[k]), "x/data/%d", k);
    checkpoint_text(m, name);
    static const char rebuild[] = "ctorch._utils\n_rebuild_tensor_v2\n((",
                      storage[] = "ctorch\nDoubleStorage\n";
    checkpoint_put(m, rebuild, sizeof(rebuild) - 1);
    checkpoint_text(m, "storage");
    checkpoint_put(m, storage, sizeof(storage) - 1);
    checkpoint_text(m, m->name[k] + 7);
    checkpoint_text(m, "cpu");
    checkpoint_integer(m, size);
    checkpoint_put(m, "tQK\0(", 5);
    for (int d = 0; d < ndim; d++) {
        checkpoint_integer(m, shape[d]);
    }
    checkpoint_put(m, "t(", 2);
    for (int d = 0; d < ndim; d++) {
        checkpoint_integer(m, stride[d]);
    }
    static const char rest[] = "t\x89"
                               "ccollections\nOrderedDict\n)RtR";
    checkpoint_put(m, rest, sizeof(rest) - 1);
}

#define CHECKPOINT_SHAPE(...) ((const int[]){__VA_ARGS__, -1})

/* {"model": {"_extra_state": {"model_params": ...}, tensors}} */
static inline void checkpoint_fill(struct checkpoint_maker *m)
{
    memset(m, 0, sizeof(*m));
    checkpoint_put(m, "\x80\x02}", 3);
    checkpoint_text(m, "model");
    checkpoint_put(m, "}(", 2);
    checkpoint_text(m, "_extra_state");
    checkpoint_put(m, "}", 1);
    checkpoint_text(m, "model_params");
    checkpoint_put(m, "}(", 2);
    checkpoint_text(m, "type_map");
    checkpoint_put(m, "]", 1);
    checkpoint_text(m, "Cu");
    checkpoint_put(m, "a", 1);
    checkpoint_text(m, "descriptor");
    checkpoint_put(m, "}(", 2);
    checkpoint_text(m, "type");
    checkpoint_text(m, "se_e2_r");
    checkpoint_text(m, "rcut");
    checkpoint_integer(m, 4);
    checkpoint_text(m, "rcut_smth");
    checkpoint_integer(m, 1);
    checkpoint_text(m, "sel");
    checkpoint_put(m, "]K\2a", 4);
    checkpoint_text(m, "neuron");
    checkpoint_put(m, "]K\2a", 4);
    checkpoint_put(m, "u", 1);
    checkpoint_text(m, "fitting_net");
    checkpoint_put(m, "}(", 2);
    checkpoint_text(m, "neuron");
    checkpoint_put(m, "]K\2au", 5);
    checkpoint_put(m, "us", 2);
#define CHECKPOINT_MODEL "model.Default.atomic_model."
    checkpoint_tensor(m, CHECKPOINT_MODEL "out_bias", CHECKPOINT_SHAPE(1, 1, 1));
    checkpoint_tensor(m, CHECKPOINT_MODEL "out_std", CHECKPOINT_SHAPE(1, 1, 1));
    checkpoint_tensor(m, CHECKPOINT_MODEL "descriptor.mean", CHECKPOINT_SHAPE(1, 2, 1));
    checkpoint_tensor(m, CHECKPOINT_MODEL "descriptor.stddev", CHECKPOINT_SHAPE(1, 2, 1));
    checkpoint_tensor(m, CHECKPOINT_MODEL "descriptor.filter_layers.networks.0.layers.0.matrix",
                      CHECKPOINT_SHAPE(1, 2));
    checkpoint_tensor(m, CHECKPOINT_MODEL "descriptor.filter_layers.networks.0.layers.0.bias",
                      CHECKPOINT_SHAPE(2));
    checkpoint_tensor(m, CHECKPOINT_MODEL "fitting_net.bias_atom_e", CHECKPOINT_SHAPE(1, 1));
    checkpoint_tensor(m, CHECKPOINT_MODEL "fitting_net.filter_layers.networks.0.layers.0.matrix",
                      CHECKPOINT_SHAPE(2, 2));
    checkpoint_tensor(m, CHECKPOINT_MODEL "fitting_net.filter_layers.networks.0.layers.0.bias",
                      CHECKPOINT_SHAPE(2));
    checkpoint_tensor(m, CHECKPOINT_MODEL "fitting_net.filter_layers.networks.0.layers.1.matrix",
                      CHECKPOINT_SHAPE(2, 1));
    checkpoint_tensor(m, CHECKPOINT_MODEL "fitting_net.filter_layers.networks.0.layers.1.bias",
                      CHECKPOINT_SHAPE(1));
    checkpoint_put(m, "us.", 3);
}

static inline void checkpoint_pack(const struct checkpoint_maker *m, struct zip_maker *zip)
{
    memset(zip, 0, sizeof(*zip));
    zip_add(zip, &(struct zip_entry){.name = "x/data.pkl", .data = m->pickle, .size = m->length});
    for (int k = 0; k < m->nstorage; k++) {
        zip_add(zip, &(struct zip_entry){.name = m->name[k], .data = m->storage[k], .size = m->size[k]});
    }
    zip_add(zip, &(struct zip_entry){.name = "x/byteorder", .data = "little", .size = 6});
    zip_end64(zip, 0, ZIP_NARROW_SAME, "");
}

#endif
