/* DPA2's driver: the order of an evaluation, for whatever backend does the stages.
 *
 * The pairs' phase of a layer reads nothing of other nodes, so it runs while their rows are under way, and so
 * does its adjoint. A layer that sees no other nodes sends none. Nodes whose output is not used are left out
 * of the last layer. First features are wide, so their gradients have one place, which the sides of backward
 * take in turn. */
#include "net/dpa2/dpa2.h"

#define B(name)   DGNN_BIT(DGNN_DPA2_AT_##name)
#define ANY(name) DGNN_BIT(DGNN_AT_##name)
#define FEATURES  (B(G2) | B(H2) | B(SWITCHES))
#define D_IN      (B(D_G1_IN) | B(D_G2_IN) | B(D_H2_IN))
#define D_OUT     (B(D_G1_OUT) | B(D_G2_OUT) | B(D_H2_OUT))

/* Where nothing is kept, the adjoints of a layer's stages make it again, up to what comes after the layer. */
static const struct dgnn_stage_rule dpa2_driver_rules[DGNN_DPA2_STAGES] = {
    [DGNN_DPA2_PAIR] = {.name = "pair",
                        .phase = DGNN_PHASE_FORWARD,
                        .write = B(PAIR_KEPT),
                        .change = B(FIRST)},
    [DGNN_DPA2_THREE] = {.name = "three",
                         .phase = DGNN_PHASE_FORWARD,
                         .write = B(THREE_KEPT),
                         .change = B(FIRST)},
    [DGNN_DPA2_SHAPE] = {.name = "shape",
                         .phase = DGNN_PHASE_FORWARD,
                         .read = B(FIRST),
                         .write = B(G1) | B(SLOPES),
                         .whole = B(G1) | B(SLOPES)},
    [DGNN_DPA2_FIRST_PAIRS] = {.name = "first_pairs",
                               .phase = DGNN_PHASE_FORWARD,
                               .write = FEATURES | B(PAIR_SLOPES),
                               .whole = FEATURES | B(PAIR_SLOPES)},
    [DGNN_DPA2_PAIRS] = {.name = "pairs",
                         .phase = DGNN_PHASE_FORWARD,
                         .read = FEATURES,
                         .write = B(PAIRS_KEPT),
                         .next_write = B(G2) | B(H2),
                         .next_whole = B(G2) | B(H2)},
    [DGNN_DPA2_NODES] = {.name = "nodes",
                         .phase = DGNN_PHASE_FORWARD,
                         .read = B(G1) | FEATURES,
                         .write = B(NODES_KEPT),
                         .next_write = B(G1),
                         .next_change = B(G2),
                         .next_whole = B(G1)},
    [DGNN_DPA2_OUTPUT] = {.name = "output",
                          .phase = DGNN_PHASE_FORWARD,
                          .change = B(G1),
                          .write = ANY(OUTPUT),
                          .whole = ANY(OUTPUT)},
    [DGNN_DPA2_D_OUTPUT] = {.name = "d_output",
                            .phase = DGNN_PHASE_BACKWARD,
                            .read = ANY(OUTPUT_GRADIENT),
                            .write = D_IN | B(D_SWITCHES),
                            .whole = D_IN | B(D_SWITCHES)},
    [DGNN_DPA2_D_NODES] = {.name = "d_nodes",
                           .phase = DGNN_PHASE_BACKWARD,
                           .read = B(G1) | FEATURES | B(NODES_KEPT) | D_IN,
                           .change = B(D_SWITCHES),
                           .write = D_OUT | B(D_NEIGHBOURS) | B(D_RECEIVED),
                           .whole = D_OUT | B(D_RECEIVED)},
    [DGNN_DPA2_D_NEIGHBOURS] = {.name = "d_neighbours",
                                .phase = DGNN_PHASE_BACKWARD,
                                .read = B(D_NEIGHBOURS) | B(D_RECEIVED),
                                .change = B(D_G1_OUT)},
    [DGNN_DPA2_D_PAIRS] = {.name = "d_pairs",
                           .phase = DGNN_PHASE_BACKWARD,
                           .read = FEATURES | B(PAIRS_KEPT) | B(D_G2_IN) | B(D_H2_IN),
                           .change = B(D_G2_OUT) | B(D_H2_OUT) | B(D_SWITCHES)},
    [DGNN_DPA2_D_NEXT] = {.name = "d_next", .phase = DGNN_PHASE_BACKWARD, .change = B(D_G1_OUT)},
    [DGNN_DPA2_D_FIRST_PAIRS] = {.name = "d_first_pairs",
                                 .phase = DGNN_PHASE_BACKWARD,
                                 .read = B(D_G2_IN) | B(D_H2_IN) | B(D_SWITCHES) | B(SLOPES) | B(PAIR_SLOPES),
                                 .change = B(D_G1_IN) | ANY(EDGE_GRADIENT)},
    [DGNN_DPA2_D_SHAPE] = {.name = "d_shape",
                           .phase = DGNN_PHASE_BACKWARD,
                           .read = B(D_G1_IN),
                           .write = B(FIRST),
                           .whole = B(FIRST)},
    [DGNN_DPA2_D_PAIR] = {.name = "d_pair",
                          .phase = DGNN_PHASE_BACKWARD,
                          .read = B(FIRST) | B(PAIR_KEPT),
                          .change = ANY(EDGE_GRADIENT)},
    [DGNN_DPA2_D_THREE] = {.name = "d_three",
                           .phase = DGNN_PHASE_BACKWARD,
                           .read = B(FIRST) | B(THREE_KEPT),
                           .change = ANY(EDGE_GRADIENT)},
};

static struct dgnn_rows dpa2_driver_rows(const struct dgnn_run *run, int32_t buffer, int64_t l)
{
    return run->backend->rows(run->workspace, buffer, l);
}

/* A layer that sees no other nodes has no messages. */
static struct dgnn_exchange *dpa2_driver_exchange(const struct dgnn_run *run, int64_t l)
{
    const struct dgnn_dpa2_settings *settings = run->settings;
    return dgnn_repformer_sees_nodes(&settings->layer[l]) ? run->evaluation->exchange : NULL;
}

static int dpa2_driver_prepare_rows(const struct dgnn_run *run, int32_t buffer, int64_t l,
                                    struct dgnn_error *error)
{
    struct dgnn_rows rows = dpa2_driver_rows(run, buffer, l);
    return dgnn_exchange_prepare(run->evaluation->exchange, rows.data, rows.width, rows.item_size, error);
}

/* The rows that each layer sends, and those of its gradient, which take turns. */
static int dpa2_driver_prepare(const struct dgnn_run *run, struct dgnn_error *error)
{
    const struct dgnn_dpa2_settings *settings = run->settings;
    for (int64_t l = 0; l < settings->shape.nlayer; l++) {
        if (dgnn_repformer_sees_nodes(&settings->layer[l])) {
            DGNN_TRY(dpa2_driver_prepare_rows(run, DGNN_DPA2_AT_G1, l, error));
        }
    }
    DGNN_TRY(dpa2_driver_prepare_rows(run, DGNN_DPA2_AT_D_G1_OUT, -1, error));
    return dpa2_driver_prepare_rows(run, DGNN_DPA2_AT_D_G1_IN, -1, error);
}

/* Pairs of nodes whose output is not used are of no more use a layer before the last; what the nodes' phase
 * adds to them there needs them nevertheless. */
static void dpa2_driver_pairs(const struct dgnn_run *run, enum dgnn_dpa2_stage stage, int64_t l)
{
    const struct dgnn_dpa2_settings *settings = run->settings;
    const struct dgnn_repformer_switches *s = &settings->layer[l];
    if (s->has_pair) {
        int64_t last = settings->shape.nlayer - (s->has_product ? 1 : 2);
        dgnn_backend_run(run, stage, l, l < last ? DGNN_STAGE_ALL : DGNN_STAGE_USED);
    }
}

static enum dgnn_stage_part dpa2_driver_used(const struct dgnn_run *run, int64_t l)
{
    const struct dgnn_dpa2_settings *settings = run->settings;
    return l < settings->shape.nlayer - 1 ? DGNN_STAGE_ALL : DGNN_STAGE_USED;
}

static int dpa2_driver_layer(const struct dgnn_run *run, int64_t l, struct dgnn_error *error)
{
    struct dgnn_exchange *exchange = dpa2_driver_exchange(run, l);
    struct dgnn_rows rows = dpa2_driver_rows(run, DGNN_DPA2_AT_G1, l);
    DGNN_TRY(dgnn_exchange_forward_begin(exchange, rows.data, rows.width, rows.item_size, error));
    dgnn_profile_end(run->profile, DGNN_PHASE_MESSAGES);
    dpa2_driver_pairs(run, DGNN_DPA2_PAIRS, l);
    DGNN_TRY(dgnn_exchange_forward_end(exchange, error));
    dgnn_profile_end(run->profile, DGNN_PHASE_MESSAGES);
    dgnn_backend_run(run, DGNN_DPA2_NODES, l, dpa2_driver_used(run, l));
    return DGNN_OK;
}

static int dpa2_driver_forward(const struct dgnn_run *run, struct dgnn_error *error)
{
    const struct dgnn_dpa2_settings *settings = run->settings;
    dgnn_backend_run(run, DGNN_DPA2_PAIR, 0, DGNN_STAGE_ALL);
    if (settings->repinit.use_three_body) {
        dgnn_backend_run(run, DGNN_DPA2_THREE, 0, DGNN_STAGE_ALL);
    }
    dgnn_backend_run(run, DGNN_DPA2_SHAPE, 0, DGNN_STAGE_ALL);
    dgnn_backend_run(run, DGNN_DPA2_FIRST_PAIRS, 0, DGNN_STAGE_ALL);
    for (int64_t l = 0; l < settings->shape.nlayer; l++) {
        DGNN_TRY(dpa2_driver_layer(run, l, error));
    }
    dgnn_backend_run(run, DGNN_DPA2_OUTPUT, settings->shape.nlayer, DGNN_STAGE_ALL);
    return DGNN_OK;
}

static int dpa2_driver_layer_backward(const struct dgnn_run *run, int64_t l, struct dgnn_error *error)
{
    struct dgnn_exchange *exchange = dpa2_driver_exchange(run, l);
    const struct dgnn_dpa2_settings *settings = run->settings;
    dgnn_backend_run(run, DGNN_DPA2_D_NODES, l, dpa2_driver_used(run, l));
    if (dgnn_repformer_sees_nodes(&settings->layer[l])) {
        dgnn_backend_run(run, DGNN_DPA2_D_NEIGHBOURS, l, DGNN_STAGE_ALL);
    }
    struct dgnn_rows rows = dpa2_driver_rows(run, DGNN_DPA2_AT_D_G1_OUT, -1);
    DGNN_TRY(dgnn_exchange_reverse_begin(exchange, rows.data, rows.width, rows.item_size, error));
    dgnn_profile_end(run->profile, DGNN_PHASE_MESSAGES);
    dpa2_driver_pairs(run, DGNN_DPA2_D_PAIRS, l);
    DGNN_TRY(dgnn_exchange_reverse_end(exchange, error));
    dgnn_profile_end(run->profile, DGNN_PHASE_MESSAGES);
    dgnn_backend_run(run, DGNN_DPA2_D_NEXT, l, DGNN_STAGE_ALL);
    return DGNN_OK;
}

static int dpa2_driver_backward(const struct dgnn_run *run, struct dgnn_error *error)
{
    const struct dgnn_dpa2_settings *settings = run->settings;
    dgnn_backend_run(run, DGNN_DPA2_D_OUTPUT, settings->shape.nlayer, DGNN_STAGE_ALL);
    for (int64_t l = settings->shape.nlayer - 1; l >= 0; l--) {
        DGNN_TRY(dpa2_driver_layer_backward(run, l, error));
    }
    dgnn_backend_run(run, DGNN_DPA2_D_FIRST_PAIRS, 0, DGNN_STAGE_ALL);
    for (int32_t side = 0; side < dgnn_evaluation_sides(run->evaluation); side++) {
        dgnn_backend_run_side(run, DGNN_DPA2_D_SHAPE, side);
        dgnn_backend_run_side(run, DGNN_DPA2_D_PAIR, side);
        if (settings->repinit.use_three_body) {
            dgnn_backend_run_side(run, DGNN_DPA2_D_THREE, side);
        }
    }
    return DGNN_OK;
}

const struct dgnn_driver dgnn_dpa2_driver = {.nstage = DGNN_DPA2_STAGES,
                                             .rule = dpa2_driver_rules,
                                             .prepare = dpa2_driver_prepare,
                                             .forward = dpa2_driver_forward,
                                             .backward = dpa2_driver_backward};
