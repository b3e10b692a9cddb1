/* The attention block against its formulas, written out, and its gradient against central differences of
 * these. */
#include "base/real.h"

/* Weights in float64: query, key, value (width x hidden), their biases, out, its bias, norm. hidden: fewer
 * numbers than a row of x and its bias, or more, so that the key has columns that count in its length alone.
 */
struct REAL(attention_case) {
    double in[3][9][CASE_HIDDEN], in_bias[3][CASE_HIDDEN], out[CASE_HIDDEN][9], out_bias[9], norm[2][9];
    double x[11][9], edge_switch[11], direction[3][11];
    double epsilon, scale;
    int normalize, smooth, angular, with_norm, nempty, hidden;
};

static void REAL(case_random)(struct REAL(attention_case) * c, int flags)
{
    double *number = &c->in[0][0][0];
    for (; number < &c->epsilon; number++) {
        *number = (double)(real)uniform();
    }
    for (int k = 0; k < 11; k++) {
        c->edge_switch[k] = (double)(real)fabs(c->edge_switch[k]);
    }
    c->epsilon = 1e-5;
    c->scale = (double)(real)0.7;
    c->normalize = flags & 1;
    c->smooth = flags >> 1 & 1;
    c->angular = flags >> 2 & 1;
    c->with_norm = flags >> 3 & 1;
    c->hidden = flags >> 4 & 1 ? CASE_HIDDEN : 5;
    c->nempty = c->smooth ? 3 : 0;
}

static double REAL(case_logit)(const struct REAL(attention_case) * c, const double q[CASE_HIDDEN],
                               const double k[CASE_HIDDEN])
{
    double sum = 0;
    for (int h = 0; h < c->hidden; h++) {
        sum += q[h] * k[h];
    }
    return c->scale * sum;
}

static void REAL(case_norm)(const struct REAL(attention_case) * c, double row[9], double out[9])
{
    double mean = 0, variance = 0;
    for (int w = 0; w < 9; w++) {
        mean += row[w] / 9;
    }
    for (int w = 0; w < 9; w++) {
        variance += (row[w] - mean) * (row[w] - mean) / 9;
    }
    for (int w = 0; w < 9; w++) {
        out[w] = (row[w] - mean) / sqrt(variance + c->epsilon);
        out[w] = c->with_norm ? out[w] * c->norm[0][w] + c->norm[1][w] : out[w];
    }
}

static void REAL(case_evaluate)(const struct REAL(attention_case) * c, double out[11][9])
{
    double part[3][11][CASE_HIDDEN];
    for (int p = 0; p < 3; p++) {
        for (int r = 0; r < 11; r++) {
            double square = 0;
            for (int h = 0; h < c->hidden; h++) {
                part[p][r][h] = c->in_bias[p][h];
                for (int w = 0; w < 9; w++) {
                    part[p][r][h] += c->x[r][w] * c->in[p][w][h];
                }
                square += part[p][r][h] * part[p][r][h];
            }
            for (int h = 0; h < c->hidden && c->normalize; h++) {
                part[p][r][h] /= sqrt(square);
            }
        }
    }
    for (int q = 0; q < 11; q++) {
        double row[9], weight[11], sum = c->nempty * exp(-20.0), gathered[CASE_HIDDEN] = {0};
        for (int k = 0; k < 11; k++) {
            double both = c->edge_switch[q] * c->edge_switch[k],
                   logit = REAL(case_logit)(c, part[0][q], part[1][k]);
            weight[k] = exp(c->smooth ? (logit + 20) * both - 20 : logit);
            sum += weight[k];
        }
        for (int k = 0; k < 11; k++) {
            double cosine = c->direction[0][q] * c->direction[0][k] +
                            c->direction[1][q] * c->direction[1][k] + c->direction[2][q] * c->direction[2][k];
            weight[k] *=
                (c->smooth ? c->edge_switch[q] * c->edge_switch[k] : 1) * (c->angular ? cosine : 1) / sum;
            for (int h = 0; h < c->hidden; h++) {
                gathered[h] += weight[k] * part[2][k][h];
            }
        }
        for (int w = 0; w < 9; w++) {
            row[w] = c->x[q][w] + c->out_bias[w];
            for (int h = 0; h < c->hidden; h++) {
                row[w] += gathered[h] * c->out[h][w];
            }
        }
        REAL(case_norm)(c, row, out[q]);
    }
}

/* sum of weight x out. */
static double REAL(case_sum)(const struct REAL(attention_case) * c, double weight[11][9])
{
    double out[11][9], sum = 0;
    REAL(case_evaluate)(c, out);
    for (int k = 0; k < 99; k++) {
        sum += (&weight[0][0])[k] * (&out[0][0])[k];
    }
    return sum;
}

static double REAL(case_slope)(struct REAL(attention_case) * c, double *number, double weight[11][9])
{
    const double h = 1e-4, kept = *number;
    double value[4];
    for (int k = 0; k < 4; k++) {
        *number = kept + (k < 2 ? k - 2 : k - 1) * h;
        value[k] = REAL(case_sum)(c, weight);
    }
    *number = kept;
    return (value[0] - 8 * value[1] + 8 * value[2] - value[3]) / (12 * h);
}

/* An object of class NeighborGatedAttention as JSON. */
static void REAL(case_numbers)(struct dgnn_text *text, const char *name, const double *numbers, int nrow,
                               int ncol)
{
    dgnn_text_add(text, NULL, "\"%s\": {\"@class\": \"np.ndarray\", \"dtype\": \"float64\", \"value\": %s",
                  name, nrow ? "[" : "");
    for (int r = 0; r < (nrow ? nrow : 1); r++) {
        dgnn_text_add(text, NULL, "%s[", r ? ", " : "");
        for (int k = 0; k < ncol; k++) {
            dgnn_text_add(text, NULL, "%s%.17g", k ? ", " : "", numbers[r * ncol + k]);
        }
        dgnn_text_add(text, NULL, "]");
    }
    dgnn_text_add(text, NULL, "%s}", nrow ? "]" : "");
}

static void REAL(case_json)(const struct REAL(attention_case) * c, struct dgnn_text *text)
{
    double joint[9 * 3 * CASE_HIDDEN], joint_bias[3 * CASE_HIDDEN];
    for (int k = 0; k < 3 * c->hidden; k++) {
        for (int w = 0; w < 9; w++) {
            joint[w * 3 * c->hidden + k] = c->in[k / c->hidden][w][k % c->hidden];
        }
        joint_bias[k] = c->in_bias[k / c->hidden][k % c->hidden];
    }
    dgnn_text_add(
        text, NULL,
        "{\"attention_layers\": [{\"attention_layer\": {\"hidden_dim\": %d, \"temperature\": %.17g, "
        "\"normalize\": %s, \"smooth\": %s, \"dotr\": %s, \"in_proj\": {\"@variables\": {",
        c->hidden, c->scale, c->normalize ? "true" : "false", c->smooth ? "true" : "false",
        c->angular ? "true" : "false");
    REAL(case_numbers)(text, "w", joint, 9, 3 * c->hidden);
    dgnn_text_add(text, NULL, ", ");
    REAL(case_numbers)(text, "b", joint_bias, 0, 3 * c->hidden);
    dgnn_text_add(text, NULL, "}}, \"out_proj\": {\"@variables\": {");
    REAL(case_numbers)(text, "w", &c->out[0][0], c->hidden, 9);
    dgnn_text_add(text, NULL, ", ");
    REAL(case_numbers)(text, "b", c->out_bias, 0, 9);
    dgnn_text_add(text, NULL, "}}}, \"attn_layer_norm\": {\"eps\": 1e-5, \"@variables\": {");
    REAL(case_numbers)(text, "w", c->norm[0], 0, 9);
    dgnn_text_add(text, NULL, c->with_norm ? ", " : ", \"b\": null");
    if (c->with_norm) {
        REAL(case_numbers)(text, "b", c->norm[1], 0, 9);
    }
    dgnn_text_add(text, NULL, "}}}]}");
}

static int REAL(case_load)(const struct REAL(attention_case) * c, struct REAL(dgnn_attention) * attention,
                           struct dgnn_error *error)
{
    struct dgnn_text text = {0};
    struct dgnn_tree *tree;
    REAL(case_json)(c, &text);
    int status = dgnn_tree_parse("attention", text.data, (size_t)text.length, NULL, &tree, error);
    if (!status) {
        struct dgnn_value root = dgnn_tree_root(tree);
        const struct dgnn_attention_shape shape = {
            .width = 9, .nlayer = 1, .hidden = c->hidden, .angular = c->angular};
        status = REAL(dgnn_attention_load)(&root, &shape, attention, error);
        dgnn_tree_free(tree);
    }
    dgnn_text_free(&text);
    return status;
}

static real *REAL(case_take)(struct dgnn_arena *arena, int64_t count)
{
    real *block = dgnn_arena_take(arena, count, sizeof(real));
    for (int64_t k = 0; block && k < count; k++) {
        block[k] = 0;
    }
    return block;
}

/* Blocks of the arena for one evaluation of the block and its backward. */
static void REAL(case_layout)(struct dgnn_arena *arena, struct REAL(dgnn_attention_block) * b)
{
    int64_t n = 11, stride = 16;
    for (int part = 0; part < 3; part++) {
        b->kept.in[part] = REAL(case_take)(arena, n * dgnn_table_pad(CASE_HIDDEN, REAL_LANES));
        b->kept.length[part] = REAL(case_take)(arena, n);
    }
    b->kept.attention = REAL(case_take)(arena, n * stride);
    b->kept.normed = REAL(case_take)(arena, n * stride);
    b->kept.deviation = REAL(case_take)(arena, n);
    b->edge_switch = REAL(case_take)(arena, n);
    b->direction = REAL(case_take)(arena, 3 * stride);
    b->x = REAL(case_take)(arena, n * stride);
    b->out = REAL(case_take)(arena, n * stride);
    b->d_out = REAL(case_take)(arena, n * stride);
    b->d_x = REAL(case_take)(arena, n * stride);
    b->d_edge_switch = REAL(case_take)(arena, n);
    b->d_direction = REAL(case_take)(arena, 3 * stride);
    b->scratch = REAL(case_take)(arena, REAL(dgnn_attention_scratch)(b->layer, n));
}

static void REAL(case_compare)(struct REAL(attention_case) * c, const struct REAL(dgnn_attention_block) * b,
                               double weight[11][9])
{
    double out[11][9], tolerance = sizeof(real) == 8 ? 1e-12 : 3e-5, slope = sizeof(real) == 8 ? 2e-8 : 3e-4;
    REAL(case_evaluate)(c, out);
    for (int r = 0; r < 11; r++) {
        for (int w = 0; w < 9; w++) {
            CHECK_NEAR((double)b->out[r * 16 + w], out[r][w], tolerance);
            CHECK_NEAR((double)b->d_x[r * 16 + w], REAL(case_slope)(c, &c->x[r][w], weight), slope);
        }
        for (int a = 0; a < 3; a++) {
            CHECK_NEAR((double)b->d_direction[a * 16 + r], REAL(case_slope)(c, &c->direction[a][r], weight),
                       slope);
        }
        CHECK_NEAR((double)b->d_edge_switch[r], REAL(case_slope)(c, &c->edge_switch[r], weight), slope);
        for (int w = 9; w < 16; w++) {
            CHECK(b->out[r * 16 + w] == 0 && b->d_x[r * 16 + w] == 0);
        }
    }
}

static void REAL(check_attention)(enum dgnn_cpu cpu, int flags)
{
    struct REAL(attention_case) c;
    struct REAL(dgnn_attention) attention;
    struct dgnn_error error;
    double weight[11][9];
    REAL(case_random)(&c, flags);
    CHECK_STATUS(REAL(case_load)(&c, &attention, &error), DGNN_OK, "");
    struct REAL(dgnn_attention_block) b = {.ops = REAL(dgnn_select_ops)(cpu),
                                           .layer = attention.layer,
                                           .n = 11,
                                           .nempty = c.nempty,
                                           .direction_stride = 16};
    struct dgnn_arena arena = {0};
    struct dgnn_buffer buffer = {0};
    REAL(case_layout)(&arena, &b);
    CHECK_STATUS(dgnn_buffer_reserve(&buffer, arena.used, "a test", &error), DGNN_OK, "");
    arena = (struct dgnn_arena){.base = buffer.data};
    REAL(case_layout)(&arena, &b);
    for (int r = 0; r < 11; r++) {
        for (int w = 0; w < 9; w++) {
            weight[r][w] = (double)(real)uniform();
            ((real *)(uintptr_t)b.d_out)[r * 16 + w] = (real)weight[r][w];
            ((real *)(uintptr_t)b.x)[r * 16 + w] = (real)c.x[r][w];
        }
        ((real *)(uintptr_t)b.edge_switch)[r] = (real)c.edge_switch[r];
        for (int a = 0; a < 3; a++) {
            ((real *)(uintptr_t)b.direction)[a * 16 + r] = (real)c.direction[a][r];
        }
    }
    b.ops->attention_forward(&b);
    b.ops->attention_backward(&b);
    REAL(case_compare)(&c, &b, weight);
    dgnn_buffer_free(&buffer);
    REAL(dgnn_attention_free)(&attention);
}
