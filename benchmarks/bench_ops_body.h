/* The lines of bench_ops.c; included once for each element type. */
#include "base/real.h"

enum { REAL(BENCH_SIDE) = 256, REAL(BENCH_NUMBERS) = 2048 };

struct REAL(bench) {
    const struct REAL(dgnn_ops) * ops;
    struct REAL(ops_case) data;
    struct REAL(dgnn_edge_block) edge;
    struct REAL(dgnn_angle_block) angle;
    struct REAL(dgnn_matrix) square;
    struct dgnn_gram_shape gram;
    real *rows, *out, *slope, *moment, *symmetric;
    void *scratch;
};

static void REAL(bench_gemm)(void *context)
{
    struct REAL(bench) *b = context;
    b->ops->product(REAL(BENCH_SIDE), b->rows, REAL(BENCH_SIDE), &b->square, NULL, b->out, REAL(BENCH_SIDE),
                    0);
}

static void REAL(bench_activate)(void *context)
{
    struct REAL(bench) *b = context;
    b->ops->activate(&b->data.layer.activation, REAL(BENCH_NUMBERS), b->rows, b->out, b->slope);
}

static void REAL(bench_gram)(void *context)
{
    struct REAL(bench) *b = context;
    b->ops->gram_forward(&b->gram, b->data.ncentre, b->moment, b->symmetric);
}

static void REAL(bench_gram_backward)(void *context)
{
    struct REAL(bench) *b = context;
    b->ops->gram_backward(&b->gram, b->data.ncentre, b->moment, b->symmetric, b->out);
}

static void REAL(bench_edge)(void *context)
{
    struct REAL(bench) *b = context;
    b->ops->edge_forward(&b->edge, 0, b->data.ncentre, b->scratch);
}

static void REAL(bench_edge_backward)(void *context)
{
    struct REAL(bench) *b = context;
    b->ops->edge_backward(&b->edge, 0, b->data.ncentre, b->scratch);
}

static void REAL(bench_angle)(void *context)
{
    struct REAL(bench) *b = context;
    b->ops->angle_forward(&b->angle, 0, b->data.ncentre, b->scratch);
}

static void REAL(bench_angle_backward)(void *context)
{
    struct REAL(bench) *b = context;
    b->ops->angle_backward(&b->angle, 0, b->data.ncentre, b->scratch);
}

/* The edge block as one kind of layer calls it. kept: forward writes what backward reads. */
static void REAL(bench_edges)(struct REAL(bench) * b, const char *set, const double *rates,
                              struct REAL(ops_output) * o)
{
    static const struct {
        const char *name;
        int with_edge, first, keep;
    } kinds[] = {{"", 1, 0, 1}, {", layer 0", 1, 1, 1}, {", last layer", 0, 0, 1}, {", small", 1, 0, 0}};
    const struct REAL(ops_case) *s = &b->data;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        struct REAL(ops_edge_options)
            options = {.with_node = 1,
                       .with_edge = kinds[k].with_edge,
                       .without_angle_term = 1,
                       .given = kinds[k].with_edge ? DGNN_EDGES_IN_ANGLES : DGNN_EDGES_NONE,
                       .keep = kinds[k].keep,
                       .nodes = !kinds[k].first,
                       .first = kinds[k].first};
        struct REAL(dgnn_repflow_edges) edges = REAL(ops_edges)(s, o);
        b->edge = REAL(ops_edge_block)(s, &edges, &options, o);
        double columns = (double)(s->m + kinds[k].with_edge * s->e), moments = 3.0 * (double)(s->n + s->e);
        double inputs = kinds[k].first ? 1 : (double)s->e, edge = (double)s->nedge;
        char name[64];
        struct bench_line line = {name, 2 * edge * (inputs * columns + moments), edge * columns};
        snprintf(name, sizeof(name), "edge_forward%s", kinds[k].name);
        bench_line(set, DGNN_REAL_BITS, &line, REAL(bench_edge), b, rates);
        line.flop += kinds[k].keep ? 0 : 2 * edge * inputs * columns;
        line.activations = kinds[k].keep ? edge * (double)s->m : edge * columns;
        snprintf(name, sizeof(name), "edge_backward%s", kinds[k].name);
        bench_line(set, DGNN_REAL_BITS, &line, REAL(bench_edge_backward), b, rates);
    }
}

static void REAL(bench_angles)(struct REAL(bench) * b, const char *set, const double *rates,
                               struct REAL(ops_output) * o, real *next)
{
    static const struct {
        const char *name;
        int with_angle, first, keep;
    } kinds[] = {
        {"", 1, 0, 1}, {", layer 0", 1, 1, 1}, {", last layer but one", 0, 0, 1}, {", small", 1, 0, 0}};
    const struct REAL(ops_case) *s = &b->data;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        struct REAL(ops_angle_options) options = {.with_edge = 1,
                                                  .with_angle = kinds[k].with_angle,
                                                  .first = kinds[k].first,
                                                  .keep = kinds[k].keep,
                                                  .nodes = !kinds[k].first,
                                                  .given = kinds[k].with_angle};
        struct REAL(dgnn_repflow_edges) edges = REAL(ops_edges)(s, o);
        b->angle = REAL(ops_angle_block)(s, &edges, &options, o, next);
        double e = (double)s->e, columns = e + (double)(kinds[k].with_angle * s->a),
               angle = (double)s->nangle;
        double inputs = kinds[k].first ? 1 : (double)s->a, near = (double)s->nangle_linear2;
        double again = 2 * angle * inputs * columns + 4 * near * (double)s->k_real * columns;
        char name[64];
        struct bench_line line = {name, again + 2 * angle * e + 2 * near * e * e, angle * columns + near * e};
        snprintf(name, sizeof(name), "angle_forward%s", kinds[k].name);
        bench_line(set, DGNN_REAL_BITS, &line, REAL(bench_angle), b, rates);
        line.flop += kinds[k].keep ? 0 : again;
        line.activations = (kinds[k].keep ? angle * e : angle * columns) + near * e;
        snprintf(name, sizeof(name), "angle_backward%s", kinds[k].name);
        bench_line(set, DGNN_REAL_BITS, &line, REAL(bench_angle_backward), b, rates);
    }
}

static void REAL(bench_nodes)(struct REAL(bench) * b, const char *set, const double *rates)
{
    struct REAL(ops_case) *s = &b->data;
    b->gram = (struct dgnn_gram_shape){4, s->e, s->n};
    int64_t width = s->e + s->n;
    b->moment = REAL(ops_random)(s, 3 * s->ncentre * width, 1);
    b->symmetric = REAL(ops_random)(s, 4 * s->ncentre * width, 1);
    struct bench_line line = {"gram_forward", 24.0 * (double)(s->ncentre * width), 0};
    bench_line(set, DGNN_REAL_BITS, &line, REAL(bench_gram), b, rates);
    line = (struct bench_line){"gram_backward", 48.0 * (double)(s->ncentre * width), 0};
    bench_line(set, DGNN_REAL_BITS, &line, REAL(bench_gram_backward), b, rates);
}

static void REAL(bench_table)(const struct REAL(dgnn_ops) * ops, const char *set)
{
    static const int64_t widths[] = {128, 64, 32, 1, 32};
    struct REAL(bench) b = {.ops = ops};
    struct REAL(ops_case) *s = &b.data;
    struct REAL(ops_output) o;
    struct dgnn_activation silu;
    struct dgnn_error error;
    int64_t side = REAL(BENCH_SIDE);
    CHECK_STATUS(dgnn_activation_parse("silut:10.0", &silu, &error), DGNN_OK, "");
    REAL(ops_make)(s, widths, 1, &silu);
    REAL(ops_outputs)(s, &o);
    b.square = (struct REAL(dgnn_matrix)){side, side, side, REAL(ops_random)(s, side * side, 0.1)};
    b.rows = REAL(ops_random)(s, side * side, 1);
    b.out = REAL(ops_random)(s, side * side, 1);
    b.slope = REAL(ops_random)(s, REAL(BENCH_NUMBERS), 1);
    b.scratch = REAL(ops_take)(s, ops->repflow_scratch(&s->edges, &s->layer), 1);
    real *next = REAL(ops_random)(s, s->nangle * s->a, 1);
    double flop = 2.0 * (double)(side * side * side), numbers = REAL(BENCH_NUMBERS);
    double gemm_s = bench_best(REAL(bench_gemm), &b, 0.05),
           activate_s = bench_best(REAL(bench_activate), &b, 0.05);
    double rates[2] = {flop / gemm_s, numbers / activate_s};
    printf("%-9s f%d  %-34s %9.1f %8.1f\n", set, DGNN_REAL_BITS, "gemm: product of 256 with 256",
           1e6 * gemm_s, 1e-9 * rates[0]);
    printf("%-9s f%d  %-34s %9.1f %8.2f /ns\n", set, DGNN_REAL_BITS, "activate: 2048, value and slope",
           1e6 * activate_s, 1e-9 * rates[1]);
    REAL(bench_nodes)(&b, set, rates);
    REAL(bench_edges)(&b, set, rates, &o);
    REAL(bench_angles)(&b, set, rates, &o, next);
    REAL(ops_unmake)(s);
}
