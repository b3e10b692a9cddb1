/* Layers and networks of one element type against the formulas. CASE_TOLERANCE: of values; CASE_SLOPE: of
 * gradients. */
#include "base/real.h"

#undef CASE_TOLERANCE
#undef CASE_SLOPE
#define CASE_TOLERANCE (DGNN_REAL_BITS == 32 ? 2e-5 : 1e-13)
#define CASE_SLOPE     (DGNN_REAL_BITS == 32 ? 1e-4 : 1e-12)

enum { REAL(CASE_ROWS) = 5, REAL(CASE_GAP) = 3 }; /* rows, and columns between them that nobody may touch */

struct REAL(layer_rows) {
    real x[REAL(CASE_ROWS) * (NET_WIDTH + REAL(CASE_GAP))], y[REAL(CASE_ROWS) * (NET_WIDTH + REAL(CASE_GAP))];
    real dy[REAL(CASE_ROWS) * NET_WIDTH], dx[REAL(CASE_ROWS) * (NET_WIDTH + REAL(CASE_GAP))];
    real slope[REAL(CASE_ROWS) * NET_WIDTH], kept[REAL(CASE_ROWS) * NET_LAYERS * NET_WIDTH];
    real scratch[3 * REAL(CASE_ROWS) * NET_WIDTH];
};

static void REAL(fill_rows)(struct REAL(layer_rows) * rows, uint64_t *seed)
{
    for (size_t i = 0; i < sizeof(rows->x) / sizeof(real); i++) {
        rows->x[i] = (real)(3 * random_uniform(seed) - 1.5);
        rows->y[i] = rows->dx[i] = 7;
    }
    for (size_t i = 0; i < sizeof(rows->dy) / sizeof(real); i++) {
        rows->dy[i] = (real)(2 * random_uniform(seed) - 1);
    }
}

/* The largest error of y, relative where values are large. */
static double REAL(value_error)(const struct net *net, const real *x, int64_t x_stride, const real *y,
                                int64_t y_stride)
{
    net_number in[NET_WIDTH], out[NET_WIDTH];
    double worst = 0;
    for (int r = 0; r < REAL(CASE_ROWS); r++) {
        for (int k = 0; k < net->layer[0].nin; k++) {
            in[k] = (double)x[r * x_stride + k];
        }
        net_value(net, in, out);
        for (int c = 0; c < net->layer[net->nlayer - 1].nout; c++) {
            worst = check_larger(worst,
                                 fabs((double)y[r * y_stride + c] - creal(out[c])) / fmax(1, cabs(out[c])));
        }
    }
    return worst;
}

/* As above of dx, to which a gradient was added that was start; x and dx have the same stride. */
static double REAL(slope_error)(const struct net *net, const real *x, int64_t stride, const real *dy,
                                const real *dx, double start)
{
    int nin = net->layer[0].nin, nout = net->layer[net->nlayer - 1].nout;
    double in[NET_WIDTH], weight[NET_WIDTH], worst = 0;
    for (int r = 0; r < REAL(CASE_ROWS); r++) {
        for (int k = 0; k < nin; k++) {
            in[k] = (double)x[r * stride + k];
        }
        for (int c = 0; c < nout; c++) {
            weight[c] = (double)dy[r * nout + c];
        }
        for (int k = 0; k < nin; k++) {
            double expected = start + net_slope(net, in, weight, k);
            worst =
                check_larger(worst, fabs((double)dx[r * stride + k] - expected) / fmax(1, fabs(expected)));
        }
    }
    return worst;
}

static int REAL(gap_untouched)(const real *rows, int64_t stride, int64_t width)
{
    for (int64_t r = 0; r < REAL(CASE_ROWS); r++) {
        for (int64_t c = width; c < stride; c++) {
            if (rows[r * stride + c] != 7) {
                return 0;
            }
        }
    }
    return 1;
}

/* Rows that are wider than the layer; the gradient written, and added. */
static void REAL(test_layer)(const struct REAL(dgnn_ops) * ops, const struct dgnn_value *value,
                             const struct net *net, uint64_t *seed)
{
    static struct REAL(layer_rows) rows;
    const struct net_layer *l = &net->layer[0];
    int64_t in_stride = l->nin + REAL(CASE_GAP), out_stride = l->nout + REAL(CASE_GAP);
    struct REAL(dgnn_layer) layer;
    struct dgnn_error error;
    REAL(fill_rows)(&rows, seed);
    CHECK_STATUS(REAL(dgnn_layer_load)(value, l->nin, l->nout, &layer, &error), DGNN_OK, "");
    CHECK(layer.residual == (!l->resnet ? 0 : l->nout == l->nin ? 1 : l->nout == 2 * l->nin ? 2 : 0));
    CHECK(REAL(dgnn_layer_parameters)(&layer) == (int64_t)l->nout * (l->nin + l->has_bias + l->has_idt));
    struct REAL(dgnn_layer_rows) at = {
        .nrow = REAL(CASE_ROWS), .x = rows.x, .x_stride = in_stride, .y = rows.y, .y_stride = out_stride};
    REAL(dgnn_layer_forward)(ops, &layer, &at);
    CHECK_NEAR(REAL(value_error)(net, rows.x, in_stride, rows.y, out_stride), 0, CASE_TOLERANCE);
    at.slope = rows.slope;
    REAL(dgnn_layer_forward)(ops, &layer, &at);
    CHECK_NEAR(REAL(value_error)(net, rows.x, in_stride, rows.y, out_stride), 0, CASE_TOLERANCE);
    for (int add = 0; add < 2; add++) {
        for (size_t i = 0; i < sizeof(rows.dx) / sizeof(real); i++) {
            rows.dx[i] = 7;
        }
        struct REAL(dgnn_layer_rows) back = {.nrow = REAL(CASE_ROWS),
                                             .x_stride = in_stride,
                                             .dy = rows.dy,
                                             .y_stride = l->nout,
                                             .slope = rows.slope,
                                             .scratch = rows.scratch,
                                             .dx = rows.dx,
                                             .accumulate = add};
        REAL(dgnn_layer_backward)(ops, &layer, &back);
        CHECK_NEAR(REAL(slope_error)(net, rows.x, in_stride, rows.dy, rows.dx, add ? 7 : 0), 0, CASE_SLOPE);
    }
    CHECK(REAL(gap_untouched)(rows.y, out_stride, l->nout) &&
          REAL(gap_untouched)(rows.dx, in_stride, l->nin));
    REAL(dgnn_layer_free)(&layer);
    REAL(dgnn_layer_free)(&layer); /* a freed layer is a zeroed one */
}

static void REAL(test_network)(const struct REAL(dgnn_ops) * ops, const struct dgnn_value *value,
                               const struct net *net, uint64_t *seed)
{
    static struct REAL(layer_rows) rows;
    int64_t nin = net->layer[0].nin, nout = net->layer[net->nlayer - 1].nout, parameters = 0, kept = 0;
    struct REAL(dgnn_network) network;
    struct dgnn_error error;
    REAL(fill_rows)(&rows, seed);
    for (int l = 0; l < net->nlayer; l++) {
        const struct net_layer *layer = &net->layer[l];
        parameters += (int64_t)layer->nout * (layer->nin + layer->has_bias + layer->has_idt);
        kept += layer->nout;
    }
    CHECK_STATUS(REAL(dgnn_network_load)(value, nin, nout, &network, &error), DGNN_OK, "");
    CHECK(network.nin == nin && network.nout == nout && network.nlayer == net->nlayer &&
          network.width_kept == kept);
    CHECK(REAL(dgnn_network_parameters)(&network) == parameters);
    struct REAL(dgnn_network_rows) at = {.nrow = REAL(CASE_ROWS),
                                         .x = rows.x,
                                         .x_stride = nin,
                                         .y = rows.y,
                                         .dy = rows.dy,
                                         .dx = rows.dx,
                                         .kept = rows.kept,
                                         .scratch = rows.scratch};
    REAL(dgnn_network_forward)(ops, &network, &at);
    CHECK_NEAR(REAL(value_error)(net, rows.x, nin, rows.y, nout), 0, CASE_TOLERANCE);
    REAL(dgnn_network_backward)(ops, &network, &at);
    CHECK_NEAR(REAL(slope_error)(net, rows.x, nin, rows.dy, rows.dx, 0), 0, CASE_SLOPE);
    REAL(dgnn_network_free)(&network);
}

static void REAL(test_refused)(const struct dgnn_value *value, int64_t nin, int64_t nout, int status,
                               const char *text)
{
    struct REAL(dgnn_network) network;
    struct dgnn_error error;
    int64_t live = dgnn_alloc_live();
    CHECK_STATUS(REAL(dgnn_network_load)(value, nin, nout, &network, &error), status, text);
    if (status == DGNN_OK) {
        REAL(dgnn_network_free)(&network);
    }
    CHECK(dgnn_alloc_live() == live);
}
