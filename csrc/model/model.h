/* The model, as the files of this room share it: paper. Nothing in it changes once it is loaded, but for its
 * sessions, which are the pool's (model/pool.h). */
#ifndef DGNN_MODEL_MODEL_H
#define DGNN_MODEL_MODEL_H

#include "base/cpu.h"
#include "io/archive.h"
#include "model/device.h"
#include "net/energy/model_sum.h"
#include "system/spin_nodes.h"

struct dgnn_pool; /* model/pool.h */

struct dgnn_model {
    struct dgnn_archive archive; /* values of the loaded parts point into it */
    int32_t ntypes;              /* of atoms */
    int32_t node_types;          /* of nodes: twice as many in a spin model */
    const char **type_map;       /* node_types names, those of atoms first */
    int32_t is_spin;
    int32_t has_virtual;          /* spins are virtual atoms, not the descriptor's own matter */
    struct dgnn_spin_scheme spin; /* of a spin model; owns its scale */
    struct dgnn_model_sum *sum;
    struct dgnn_atomic_properties properties;
    const char *semantics_from; /* what chose between dense and graph, in words */
    int32_t dense;
    int32_t memory;
    int32_t radial, compressed;
    int32_t threads;
    enum dgnn_cpu cpu;
    double skin;
    enum dgnn_device_kind device_kind; /* as asked for */
    struct dgnn_cuda_device *device;   /* NULL: the CPU */
    char device_text[16];              /* "cpu", "cuda:N" */
    char *description;
    struct dgnn_pool *pool; /* the sessions that dgnn_model_compute works in */
};

#endif
