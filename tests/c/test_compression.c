/* Pieces of a compressed model's tables: for any bounds, strides and rows that are accepted, and for any
 * number, a row of the table; as deepmd-kit's operator counts them, and what is refused. */
#include <float.h>
#include <stdio.h>

#include "check.h"
#include "random.h"

#include "io/tree.h"
#include "net/parts/compression.h"

static struct dgnn_tree *tree_of(const double *info, int64_t count, const char *dtype)
{
    static char text[1 << 20];
    int used =
        snprintf(text, sizeof(text),
                 "{\"@variables\": {\"compress_info\": [{\"@class\": \"np.ndarray\", \"dtype\": \"%s\", "
                 "\"value\": [%.17g, %.17g, %.17g, %.17g, %.17g, -1]}], \"compress_data\": [{\"@class\": "
                 "\"np.ndarray\", \"dtype\": \"%s\", \"value\": [",
                 dtype, info[0], info[1], info[2], info[3], info[4], dtype);
    for (int64_t row = 0; row < count; row++) {
        used += snprintf(text + used, sizeof(text) - (size_t)used, "%s[0.5, 0, 0, 0, 0, 0]", row ? "," : "");
    }
    used += snprintf(text + used, sizeof(text) - (size_t)used, "]}]}}");
    struct dgnn_tree *tree = NULL;
    struct dgnn_error error;
    CHECK_STATUS(dgnn_tree_parse("table.json", text, (size_t)used, NULL, &tree, &error), DGNN_OK, "");
    return tree;
}

static int load(const double *info, int64_t count, int32_t symmetric, const char *dtype,
                struct dgnn_pieces *pieces, struct dgnn_error *error)
{
    struct dgnn_compression compression;
    struct dgnn_compression_table table = {.width = 1, .symmetric = symmetric, .needed = 1};
    struct dgnn_tensor numbers;
    struct dgnn_tree *tree = tree_of(info, count, dtype);
    struct dgnn_value root = dgnn_tree_root(tree);
    int status =
        dgnn_compression_load(&root, DGNN_COMPRESSION_NETWORKS, DGNN_COMPRESSED_TABLE, &compression, error);
    status = status ? status : dgnn_compression_pieces(&compression, &table, pieces, &numbers, error);
    dgnn_tree_free(tree);
    return status;
}

/* Any number has a row, and the places go on from one end of what there is to the other without a gap. */
static void check_places(const struct dgnn_pieces *p)
{
    const double ends[] = {p->begin, p->lower, p->upper, p->end, p->last_begin};
    const double wild[] = {NAN, INFINITY, -INFINITY, DBL_MAX, -DBL_MAX, 0};
    for (int k = 0; k < 6; k++) {
        struct dgnn_pieces_place place = dgnn_pieces_find(p, wild[k]);
        CHECK(place.piece >= 0 && place.piece < p->count);
    }
    for (int k = 0; k < 5; k++) {
        for (int step = -3; step <= 3; step++) {
            double x = ends[k] + step * 0.37 * p->stride[step & 1];
            struct dgnn_pieces_place near[3] = {dgnn_pieces_find(p, nextafter(ends[k], -INFINITY)),
                                                dgnn_pieces_find(p, ends[k]), dgnn_pieces_find(p, x)};
            for (int n = 0; n < 3; n++) {
                double at = n == 0 ? nextafter(ends[k], -INFINITY) : n == 1 ? ends[k] : x;
                CHECK(near[n].piece >= 0 && near[n].piece < p->count);
                if ((near[n].piece >= p->before + p->inner && at < p->upper) ||
                    (near[n].piece >= p->before && at < p->lower)) {
                    continue; /* a stride cut short by a bound: the operator takes the row after it */
                }
                double back = dgnn_pieces_begin(p, near[n].piece) + near[n].t + near[n].beyond;
                CHECK_NEAR(back, at, 1e-6 * (1 + fabs(at)));
                CHECK(near[n].t >= 0 || fabs(near[n].t) < 1e-6 * (1 + fabs(at)));
            }
        }
    }
}

/* As deepmd-kit counts, in the numbers' own type. */
static int64_t rows_of(const double *info, int32_t symmetric, int narrow)
{
    double inner = (info[1] - info[0]) / info[3], end = (info[2] - info[1]) / info[4],
           begin = symmetric ? (info[0] + info[2]) / info[4] : 0;
    float inner_f = (float)(info[1] - info[0]) / (float)info[3],
          end_f = (float)(info[2] - info[1]) / (float)info[4],
          begin_f = symmetric ? (float)(info[0] + info[2]) / (float)info[4] : 0;
    return narrow ? (int64_t)(inner_f + end_f + begin_f) : (int64_t)(inner + end + begin);
}

/* Strides that divide nothing, bounds that coincide, and the number of rows that deepmd-kit makes of them. */
static void test_any_table(void)
{
    uint64_t seed = 5;
    int odd = 0;
    for (int k = 0; k < 400; k++) {
        int32_t symmetric = k % 2;
        const char *dtype = k % 3 ? "float64" : "float32";
        struct dgnn_pieces p;
        struct dgnn_error error;
        double upper = 1 + (double)random_below(&seed, 6), info[5] = {-(double)random_below(&seed, 3), upper};
        if (symmetric) {
            info[0] = -upper;
        }
        info[2] = upper * (1 + (double)random_below(&seed, 3));
        info[3] = 0.01 * (double)(1 + random_below(&seed, 60));
        info[4] = 0.1 * (double)(1 + random_below(&seed, 30));
        if (rows_of(info, symmetric, !(k % 3)) < 1) {
            continue;
        }
        CHECK_STATUS(load(info, rows_of(info, symmetric, !(k % 3)), symmetric, dtype, &p, &error), DGNN_OK,
                     "");
        odd += p.last >= p.count;
        check_places(&p);
    }
    CHECK(odd > 10); /* tables where deepmd-kit's operator reads behind the last row */
}

/* As the operator: of the row that a bound begins, of the last row, of what is beyond. */
static void test_places(void)
{
    const double info[5] = {-1, 3, 6, 0.03, 0.3};
    struct dgnn_pieces p;
    struct dgnn_error error;
    CHECK_STATUS(load(info, 143, 0, "float64", &p, &error), DGNN_OK, "");
    CHECK(p.inner == 133 && p.before == 0 && p.last == 142);
    struct dgnn_pieces_place place = dgnn_pieces_find(&p, 2.995);
    CHECK(place.piece == 133); /* its t counts from the first bound, whatever the row was made for */
    CHECK_NEAR(place.t, 0.005, 1e-12);
    place = dgnn_pieces_find(&p, 3.31);
    CHECK(place.piece == 134);
    CHECK_NEAR(place.t, 0.01, 1e-12);
    place = dgnn_pieces_find(&p, 7.5);
    CHECK(place.piece == 142);
    CHECK_NEAR(place.t, 0.3, 1e-12);
    CHECK_NEAR(place.beyond, 1.5, 1e-12);
    place = dgnn_pieces_find(&p, -4);
    CHECK(place.piece == 0 && place.t == 0);
    CHECK_NEAR(place.beyond, -3, 1e-12);
    const double product[5] = {-2, 2, 6, 0.5, 2};
    CHECK_STATUS(load(product, 12, 1, "float64", &p, &error), DGNN_OK, "");
    CHECK(p.before == 2 && p.inner == 8 && p.last == 11);
    CHECK(dgnn_pieces_find(&p, -5.5).piece == 0 && dgnn_pieces_find(&p, -2).piece == 2 &&
          dgnn_pieces_find(&p, 1.9).piece == 9 && dgnn_pieces_find(&p, 2.1).piece == 10);
}

static void test_refused(void)
{
    const struct {
        double info[5];
        int64_t count;
        const char *text;
    } bad[] = {
        {{-1, 5, 25, 0, 0.5}, 160, "strides"},       {{-1, 5, 25, 0.05, 0}, 160, "strides"},
        {{-1, 5, 25, -0.05, 0.5}, 160, "strides"},   {{5, -1, 25, 0.05, 0.5}, 160, "order"},
        {{-1, 25, 5, 0.05, 0.5}, 160, "order"},      {{1, 1, 1, 0.05, 0.5}, 1, "order"},
        {{-1, 5, 25, 0.05, 0.5}, 159, "159 rows"},   {{-1, 5, 25, 0.05, 0.5}, 161, "161 rows"},
        {{-1, 5, 25, 1e-300, 0.5}, 160, "160 rows"}, {{-1e308, 1e308, 1e308, 1e300, 1}, 4, "4 rows"},
        {{0, 0, 1e-300, 1, 1e-320}, 4, "4 rows"},    {{-1, 5, 25, 0.05, 0.5}, 0, "rows"},
    };
    struct dgnn_pieces p;
    struct dgnn_error error;
    for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++) {
        CHECK_STATUS(load(bad[k].info, bad[k].count, 0, "float64", &p, &error), DGNN_ERROR_FORMAT,
                     bad[k].text);
    }
    const double product[5] = {-7, 2, 6, 0.5, 2};
    CHECK_STATUS(load(product, 20, 1, "float64", &p, &error), DGNN_ERROR_FORMAT, "order");
}

int main(void)
{
    test_any_table();
    test_places();
    test_refused();
    return check_report();
}
