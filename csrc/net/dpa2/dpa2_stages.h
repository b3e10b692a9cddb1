/* Stages and buffers of DPA2's driver (dpa2_driver.c), as net/parts/backend.h has them. */
#ifndef DGNN_NET_DPA2_STAGES_H
#define DGNN_NET_DPA2_STAGES_H

#include "net/parts/backend.h"

/* In the order of an evaluation; those of layers in that of a layer. What each reads and writes is said in
 * dpa2_driver.c. */
enum dgnn_dpa2_stage {
    DGNN_DPA2_PAIR,        /* first features: columns of the pair block */
    DGNN_DPA2_THREE,       /* ... and of the three-body block */
    DGNN_DPA2_SHAPE,       /* g1 of layer 0, after its activation, from the first features */
    DGNN_DPA2_FIRST_PAIRS, /* switches, g2 and h2 of layer 0 */
    DGNN_DPA2_PAIRS,       /* the pairs' own phase of a layer: g2 and h2 of the next */
    DGNN_DPA2_NODES,       /* what reads other nodes: g1 of the next layer, and the product that g2 gets */
    DGNN_DPA2_OUTPUT,
    DGNN_DPA2_D_OUTPUT, /* the gradient of the last g1; no gradient of pairs yet */
    DGNN_DPA2_D_NODES,
    DGNN_DPA2_D_NEIGHBOURS, /* what pairs hold for their neighbours, summed; ghosts' rows then travel */
    DGNN_DPA2_D_PAIRS,
    DGNN_DPA2_D_NEXT, /* the gradients that were made are those that are taken next */
    DGNN_DPA2_D_FIRST_PAIRS,
    DGNN_DPA2_D_SHAPE, /* this and the two below: of one side */
    DGNN_DPA2_D_PAIR,
    DGNN_DPA2_D_THREE,
    DGNN_DPA2_STAGES
};

/* Those of a layer come first: what comes in, and what is kept for backward. */
enum dgnn_dpa2_buffer {
    DGNN_DPA2_AT_G1,
    DGNN_DPA2_AT_G2, /* the place of the layer before, where that leaves pairs as they are; so is h2's */
    DGNN_DPA2_AT_H2,
    DGNN_DPA2_AT_PAIRS_KEPT,
    DGNN_DPA2_AT_NODES_KEPT,
    DGNN_DPA2_AT_FIRST, /* first features, then their gradient */
    DGNN_DPA2_AT_PAIR_KEPT,
    DGNN_DPA2_AT_THREE_KEPT,
    DGNN_DPA2_AT_SWITCHES,
    DGNN_DPA2_AT_SLOPES, /* of the activations before layer 0: nodes' */
    DGNN_DPA2_AT_PAIR_SLOPES,
    DGNN_DPA2_AT_D_G1_IN, /* of what a layer made */
    DGNN_DPA2_AT_D_G2_IN,
    DGNN_DPA2_AT_D_H2_IN,
    DGNN_DPA2_AT_D_G1_OUT, /* of what it began with */
    DGNN_DPA2_AT_D_G2_OUT,
    DGNN_DPA2_AT_D_H2_OUT,
    DGNN_DPA2_AT_D_SWITCHES,
    DGNN_DPA2_AT_D_NEIGHBOURS, /* of each pair, for its neighbour's g1 */
    DGNN_DPA2_AT_D_RECEIVED,   /* sums of moments that pairs have for each node's g1 */
    DGNN_DPA2_BUFFERS
};

extern const struct dgnn_driver dgnn_dpa2_driver;
extern const struct dgnn_backend dgnn_dpa2_cpu_f32, dgnn_dpa2_cpu_f64;

#endif
