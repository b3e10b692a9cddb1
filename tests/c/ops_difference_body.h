/* Gradients of the float64 reference against central differences, along random directions in each input. */

static double ops_sum(const double *x, const double *weight, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += x[i] * weight[i];
    }
    return sum;
}

/* Runs forward and backward, and gives what backward is the gradient of. */
static double ops_edge_objective(struct ops_case_f64 *s, struct ops_output_f64 *o)
{
    struct ops_edge_options_f64 p = {.with_node = 1, .with_edge = 1, .keep = 1, .nodes = 1};
    memset(o->d_state, 0, sizeof(double) * (size_t)(s->nedge * s->e));
    memset(o->d_neighbour_part, 0, sizeof(double) * (size_t)(s->nnode * (s->m + s->e)));
    memset(o->d_node, 0, sizeof(double) * (size_t)(s->nnode * s->n));
    memset(o->d_edge_switch, 0, sizeof(double) * (size_t)s->nedge);
    memset(o->d_direction, 0, sizeof(double) * (size_t)(3 * s->nedge));
    ops_run_edges_f64(s, &dgnn_reference_ops_f64, &p, o);
    return ops_sum(o->next, s->d_next, s->nedge * s->e) +
           ops_sum(o->message, s->d_message, s->ncentre * s->m) +
           ops_sum(o->moment, s->d_moment, s->ncentre * 3 * (s->e + s->n));
}

static double ops_angle_objective(struct ops_case_f64 *s, struct ops_output_f64 *o)
{
    struct ops_angle_options_f64 p = {
        .with_edge = 1, .with_angle = 1, .keep = 1, .nodes = 1, .given = 1, .first = ops_first_layer};
    double *next = dgnn_alloc_zeroed(s->nangle * s->a, sizeof(double));
    memset(o->d_state, 0, sizeof(double) * (size_t)(s->nedge * s->e));
    memset(o->d_angle_switch, 0, sizeof(double) * (size_t)s->nedge);
    memset(o->d_unit, 0, sizeof(double) * (size_t)(3 * s->nedge));
    memcpy(o->d_angle, s->d_angle, sizeof(double) * (size_t)(s->nangle * s->a));
    memset(o->next, 0, sizeof(double) * (size_t)(s->nedge * s->e));
    ops_run_angles_f64(s, &dgnn_reference_ops_f64, &p, o, next);
    double sum = ops_sum(o->next, s->d_next, s->nedge * s->e) + ops_sum(next, s->d_angle, s->nangle * s->a);
    dgnn_alloc_free(next);
    return sum;
}

/* An objective's gradient by n numbers of the case. */
struct ops_difference {
    const char *name;
    double (*objective)(struct ops_case_f64 *, struct ops_output_f64 *);
    double *input;
    int64_t n;
    const double *gradient;
};

static void ops_difference(const struct ops_difference *of, struct ops_case_f64 *s, struct ops_output_f64 *o)
{
    const double h = 1e-5, *gradient = of->gradient;
    const char *name = of->name;
    double *input = of->input;
    int64_t n = of->n;
    double *direction = dgnn_alloc(n, sizeof(double)), *kept = dgnn_alloc(n, sizeof(double)), value[2];
    CHECK(direction && kept);
    of->objective(s, o);
    for (int64_t i = 0; i < n; i++) {
        direction[i] = 2 * random_uniform(&ops_seed) - 1;
        kept[i] = input[i];
    }
    double expected = ops_sum(gradient, direction, n);
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; i < n; i++) {
            input[i] = kept[i] + (side ? h : -h) * direction[i];
        }
        value[side] = of->objective(s, o);
    }
    memcpy(input, kept, sizeof(double) * (size_t)n);
    double found = (value[1] - value[0]) / (2 * h);
    check_count(fabs(found - expected) <= 1e-7 * fmax(1, fabs(expected)) && fabs(expected) > 1e-3, __FILE__,
                __LINE__, name);
    if (!(fabs(found - expected) <= 1e-7 * fmax(1, fabs(expected)))) {
        fprintf(stderr, "    %s, %s: %.10g by differences, %.10g by backward\n", ops_where, name, found,
                expected);
    }
    dgnn_alloc_free(direction);
    dgnn_alloc_free(kept);
}

/* With unit strides d_centre and centre have the same rows. */
static void ops_tighten(struct ops_case_f64 *s)
{
    s->edge_stride = s->m + s->e;
    s->angle_stride = s->e + s->a;
    s->node_stride = s->n;
}

/* Perturbs the unit vectors of the angle edges, from which the cosines follow. */
static double ops_unit_objective(struct ops_case_f64 *s, struct ops_output_f64 *o)
{
    const struct dgnn_repflow_edges_f64 *g = &s->edges;
    for (int64_t i = 0; i < s->ncentre; i++) {
        int64_t count = g->angle_count[i];
        for (int64_t t = 0; t < count * count; t++) {
            const double *u = g->unit + 3 * (g->first[i] + t / count),
                         *v = g->unit + 3 * (g->first[i] + t % count);
            ((double *)g->cosine)[g->angle_first[i] + t] =
                g->cosine_scale * (u[0] * v[0] + u[1] * v[1] + u[2] * v[2]);
        }
    }
    return ops_angle_objective(s, o);
}

static void ops_test_difference(const char *activation_name, int smooth)
{
    static const int64_t widths[] = {20, 11, 9, 2, 11};
    struct dgnn_activation activation;
    struct dgnn_error error;
    struct ops_case_f64 s;
    struct ops_output_f64 o;
    snprintf(ops_where, sizeof(ops_where), "differences, %s, smooth %d", activation_name, smooth);
    CHECK_STATUS(dgnn_activation_parse(activation_name, &activation, &error), DGNN_OK, "");
    ops_make_f64(&s, widths, smooth, &activation);
    ops_tighten(&s);
    ops_outputs_f64(&s, &o);
    ops_first_layer = 0;
#define DIFFERENCE(objective, input, n, gradient)                                                            \
    ops_difference(&(struct ops_difference){#input, objective, (double *)(input), n, gradient}, &s, &o)
    DIFFERENCE(ops_edge_objective, s.edge_state, s.nedge * s.e, o.d_state);
    DIFFERENCE(ops_edge_objective, s.centre, s.ncentre * (s.m + s.e), o.d_centre);
    DIFFERENCE(ops_edge_objective, s.neighbour_part, s.nnode * (s.m + s.e), o.d_neighbour_part);
    DIFFERENCE(ops_edge_objective, s.node, s.nnode * s.n, o.d_node);
    DIFFERENCE(ops_edge_objective, s.edges.edge_switch, s.nedge, o.d_edge_switch);
    DIFFERENCE(ops_edge_objective, s.edges.direction, 3 * s.nedge, o.d_direction);
    DIFFERENCE(ops_angle_objective, s.edge_state, s.nedge * s.e, o.d_state);
    DIFFERENCE(ops_angle_objective, s.angle_state, s.nangle * s.a, o.d_angle);
    DIFFERENCE(ops_angle_objective, s.angle_centre, s.ncentre * (s.e + s.a), o.d_centre);
    DIFFERENCE(ops_angle_objective, s.edges.angle_switch, s.nedge, o.d_angle_switch);
    ops_first_layer = 1;
    DIFFERENCE(ops_unit_objective, s.edges.unit, 3 * s.nedge, o.d_unit);
#undef DIFFERENCE
    ops_unmake_f64(&s);
}

static void ops_test_differences(void)
{
    static const char *const smooth_ones[] = {"silu",    "tanh",       "gelu",  "softplus",
                                              "sigmoid", "silut:10.0", "linear"};
    for (size_t k = 0; k < sizeof(smooth_ones) / sizeof(smooth_ones[0]); k++) {
        ops_test_difference(smooth_ones[k], k % 2);
    }
}
