/* Included once for each element type, after ops_case_body.h and kernels/edge_body.h. */

static void REAL(test_activations)(void)
{
    const double unit = DGNN_REAL_BITS == 32 ? 0x1p-24 : 0x1p-53;
    struct dgnn_activation a;
    struct dgnn_error error;
    for (int k = 0; k < OPS_NACTIVATION; k++) {
        double worst = 0;
        CHECK_STATUS(dgnn_activation_parse(ops_names[k], &a, &error), DGNN_OK, "");
        for (int t = 0; t < 4000; t++) {
            double size = t % 3 == 0 ? 100 : t % 3 == 1 ? 5 : 1e-6, true_slope;
            real x = (real)(size * (2 * random_uniform(&ops_seed) - 1)), slope;
            real value = REAL(kernel_activate)(&a, x, &slope);
            double true_value = dgnn_activation_value(&a, (double)x, &true_slope);
            worst = check_larger(worst, fabs((double)value - true_value) / fmax(1, fabs(true_value)));
            worst = check_larger(worst, fabs((double)slope - true_slope) / fmax(1, fabs(true_slope)));
        }
        check_count(worst <= 64 * unit, __FILE__, __LINE__, ops_names[k]);
        if (!(worst <= 64 * unit)) {
            fprintf(stderr, "    float%d, %s: %g\n", DGNN_REAL_BITS, ops_names[k], worst);
        }
    }
}

/* What dgnn_device_edge_forward does on a device. */
static void REAL(twin_edge_forward)(const struct REAL(dgnn_edge_block) * block, int64_t begin, int64_t end,
                                    void *scratch)
{
    real *weight = scratch, *state = weight + KERNEL_DEPTH * KERNEL_THREADS;
    struct REAL(kernel_edge) flat = REAL(kernel_edge_flat)(block);
    for (int64_t i = begin; i < end; i++) {
        REAL(kernel_edge_centre)(&flat, i, weight, state);
    }
}

static int64_t REAL(twin_scratch)(const struct REAL(dgnn_repflow_edges) * edges,
                                  const struct REAL(dgnn_repflow_layer) * layer)
{
    int64_t tiles = (KERNEL_DEPTH * KERNEL_THREADS + KERNEL_EDGES * KERNEL_DEPTH) * (int64_t)sizeof(real);
    int64_t least = REAL(dgnn_reference_ops).repflow_scratch(edges, layer);
    return tiles > least ? tiles : least;
}

/* The reference's backward runs on what the twin kept, so that both are compared. */
static void REAL(test_edges)(void)
{
    static const int64_t widths[][5] = {
        {20, 11, 9, 2, 11}, {8, 6, 4, 1, 6}, {128, 64, 5, 1, 64}, {5, 24, 19, 3, 24}};
    struct REAL(dgnn_ops) twin = REAL(dgnn_reference_ops);
    struct dgnn_activation activation;
    struct dgnn_error error;
    twin.edge_forward = REAL(twin_edge_forward);
    twin.repflow_scratch = REAL(twin_scratch);
    for (int option = 0; option < 24; option++) {
        struct REAL(ops_case) s;
        struct REAL(ops_output) x, y;
        struct REAL(ops_edge_options) p = {.with_node = option % 3 != 2,
                                           .with_edge = option % 3 != 1,
                                           .without_angle_term = option / 3 & 1,
                                           .keep = option / 6 & 1,
                                           .nodes = 1};
        const char *name = option % 2 ? "silut:1.0" : ops_names[option / 2];
        snprintf(ops_where, sizeof(ops_where), "twin, float%d, option %d, %s", DGNN_REAL_BITS, option, name);
        CHECK_STATUS(dgnn_activation_parse(name, &activation, &error), DGNN_OK, "");
        REAL(ops_make)(&s, widths[option % 4], 1, &activation);
        REAL(ops_outputs)(&s, &x);
        REAL(ops_outputs)(&s, &y);
        REAL(ops_run_edges)(&s, &twin, &p, &x);
        REAL(ops_run_edges)(&s, &REAL(dgnn_reference_ops), &p, &y);
        REAL(ops_compare_edges)(&s, &p, &x, &y);
        REAL(ops_unmake)(&s);
    }
}
