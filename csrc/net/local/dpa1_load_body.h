/* The weights of a DPA1 descriptor, and how they are loaded: before net/local/dpa1_body.h. */
#include "base/real.h"

struct REAL(dpa1) {
    struct dpa1_settings *settings;
    const struct REAL(dgnn_ops) * ops;
    struct REAL(dgnn_embedding) embedding;
    struct REAL(dgnn_attention) attention;
    real *strip; /* of types (centre, neighbour), each with the NULL type: (ntypes + 1)^2 x stride; NULL in
                    concat */
    struct dgnn_moment_shape shape;
    int64_t width;  /* of the embedding */
    int64_t stride; /* of its rows */
};

static int64_t REAL(dpa1_inputs)(const struct REAL(dpa1) * d)
{
    return d->embedding.network[0].nin;
}

/* x: what the network of type embeddings takes for a centre and a neighbour of these types. */
static void REAL(dpa1_types)(const struct dpa1_settings *s, int64_t centre, int64_t neighbour, real *x)
{
    int64_t n = s->params.tebd_dim;
    for (int64_t c = 0; c < n; c++) {
        x[c] = (real)s->table[neighbour * n + c];
        if (!s->params.type_one_side) {
            x[n + c] = (real)s->table[centre * n + c];
        }
    }
}

/* The second network on all pairs of types, NULL included. */
static int REAL(dpa1_strip_table)(struct REAL(dpa1) * d, const struct REAL(dgnn_embedding) * strip,
                                  struct dgnn_error *error)
{
    int64_t n = d->settings->ntypes + 1, nin = strip->network[0].nin,
            each = nin + REAL(dgnn_embedding_scratch)(strip);
    real *scratch = dgnn_alloc(each, sizeof(real));
    d->strip = dgnn_alloc(n * n, sizeof(real) * (size_t)d->stride);
    if (!scratch || !d->strip) {
        dgnn_alloc_free(scratch);
        return dgnn_status_no_memory(error, "type embeddings", n * n * d->stride * (int64_t)sizeof(real));
    }
    for (int64_t pair = 0; pair < n * n; pair++) {
        struct REAL(dgnn_embedding_rows)
            row = {.nrow = 1, .x = scratch, .x_stride = nin, .stride = d->stride};
        row.y = d->strip + pair * d->stride;
        row.scratch = scratch + nin;
        REAL(dpa1_types)(d->settings, pair / n, pair % n, scratch);
        REAL(dgnn_embedding_forward)(&REAL(dgnn_reference_ops), strip, 0, &row);
    }
    dgnn_alloc_free(scratch);
    return DGNN_OK;
}

static int REAL(dpa1_load_strip)(struct REAL(dpa1) * d, struct dgnn_error *error)
{
    struct dpa1_settings *s = d->settings;
    struct REAL(dgnn_embedding) strip;
    const struct dgnn_embedding_shape shape = {.ntypes = s->ntypes, .nin = dpa1_type_inputs(s)};
    DGNN_TRY(REAL(dgnn_embedding_load)(&s->params.embeddings_strip, &shape, &strip, error));
    int status =
        strip.nout == d->width
            ? REAL(dpa1_strip_table)(d, &strip, error)
            : dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &s->params.embeddings_strip,
                                "width %lld, expected %lld", (long long)strip.nout, (long long)d->width);
    status =
        status ? status : REAL(dgnn_embedding_same)(&strip, s->params.embeddings.parent, "neuron", error);
    struct REAL(dgnn_embedding_factors) factors = {.ntypes = s->ntypes + 1,
                                                   .one_side = s->params.type_one_side,
                                                   .width = d->width,
                                                   .stride = d->stride,
                                                   .rows = d->strip};
    status = status ? status : REAL(dgnn_embedding_load_factors)(&s->compression, &factors, error);
    s->parameters += strip.parameters;
    REAL(dgnn_embedding_free)(&strip);
    return status;
}

static int REAL(dpa1_load_networks)(struct REAL(dpa1) * d, struct dgnn_error *error)
{
    struct dpa1_settings *s = d->settings;
    const struct dgnn_embedding_shape networks = {.ntypes = s->ntypes,
                                                  .nin = 1 + (s->strip ? 0 : dpa1_type_inputs(s))};
    DGNN_TRY(REAL(dgnn_embedding_load)(&s->params.embeddings, &networks, &d->embedding, error));
    d->width = d->embedding.nout;
    d->stride = dgnn_table_pad(d->width, REAL_LANES);
    DGNN_TRY(REAL(dgnn_embedding_same)(&d->embedding, s->params.embeddings.parent, "neuron", error));
    DGNN_TRY(REAL(dgnn_embedding_load_tables)(&s->compression, 0, NULL, &d->embedding, error));
    struct dgnn_attention_shape shape = {.width = d->width,
                                         .slots = s->sel[0],
                                         .nlayer = s->params.attn_layer,
                                         .hidden = s->params.attn,
                                         .angular = s->params.attn_dotr};
    DGNN_TRY(REAL(dgnn_attention_load)(&s->params.attention_layers, &shape, &d->attention, error));
    s->parameters = d->embedding.parameters + d->attention.parameters;
    DGNN_TRY(s->strip
                 ? REAL(dpa1_load_strip)(d, error)
                 : dgnn_params_unused(&s->params.embeddings_strip, "tebd_input_mode is not strip", error));
    if (s->params.axis_neuron > d->width) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, s->params.embeddings.parent,
                                 "axis_neuron is %lld, but the weights have width %lld",
                                 (long long)s->params.axis_neuron, (long long)d->width);
    }
    d->shape = (struct dgnn_moment_shape){.n = d->width, .axis = s->params.axis_neuron, .stride = d->stride};
    s->dim_rotation = d->width;
    s->dim_out = d->width * s->params.axis_neuron + (s->params.concat_output_tebd ? s->params.tebd_dim : 0);
    return DGNN_OK;
}

static void REAL(dpa1_free)(void *weights)
{
    struct REAL(dpa1) *d = weights;
    if (d) {
        REAL(dgnn_embedding_free)(&d->embedding);
        REAL(dgnn_attention_free)(&d->attention);
        dgnn_alloc_free(d->strip);
        dgnn_alloc_free(d);
    }
}
