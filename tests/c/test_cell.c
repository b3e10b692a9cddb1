/* Cells: what is refused, wrapping, distances between planes, and how many images are within reach. */
#include "geom/cell.h"

#include "check.h"

static const int32_t periodic[3] = {1, 1, 1};

static void test_set(void)
{
    struct dgnn_error error;
    struct dgnn_cell cell;
    double box[9] = {4, 0, 0, 1, 5, 0, -2, 3, 6};
    int32_t mixed[3] = {7, 0, 1};
    CHECK_STATUS(dgnn_cell_set(&cell, box, mixed, &error), DGNN_OK, "");
    CHECK(cell.has_box && cell.pbc[0] == 1 && cell.pbc[1] == 0 && cell.pbc[2] == 1);
    CHECK_NEAR(cell.volume, 120, 1e-12);
    CHECK_NEAR(cell.spacing[2], 6, 1e-14);
    double worst = 0;
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) {
            double sum = 0;
            for (int k = 0; k < 3; k++) {
                sum += cell.h[3 * i + k] * cell.inverse[3 * k + j];
            }
            worst = check_larger(worst, fabs(sum - (i == j)));
        }
    }
    CHECK_NEAR(worst, 0, 1e-14);
    double left[9] = {0, 5, 0, 4, 0, 0, 0, 0, 6};
    CHECK_STATUS(dgnn_cell_set(&cell, left, periodic, &error), DGNN_OK, "");
    CHECK_NEAR(cell.volume, 120, 1e-12);
    CHECK(cell.h[1] == 5 && cell.h[0] == 0);
    CHECK_STATUS(dgnn_cell_set(&cell, NULL, NULL, &error), DGNN_OK, "");
    CHECK(!cell.has_box && !cell.pbc[0] && !cell.pbc[1] && !cell.pbc[2] && cell.volume == 0 &&
          cell.h[4] == 1);
}

static void test_refused(void)
{
    struct dgnn_error error;
    struct dgnn_cell cell;
    double flat[9] = {4, 0, 0, 0, 5, 0, 4, 5, 0};
    double zero[9] = {0};
    double nearly[9] = {1000, 0, 0, 1000, 1e-7, 0, 0, 0, 1000};
    double nan[9] = {4, 0, 0, 0, NAN, 0, 0, 0, 4};
    double infinite[9] = {4, 0, 0, 0, 4, 0, 0, INFINITY, 4};
    double small[9] = {1e-3, 0, 0, 0, 1e-3, 0, 0, 0, 1e-3};
    double tilted[9] = {1, 0, 0, 1e5, 1, 0, 0, 0, 1};
    CHECK_STATUS(dgnn_cell_set(&cell, flat, periodic, &error), DGNN_ERROR_INPUT, "box is singular");
    CHECK(strstr(error.message, "(4, 5, 0)") != NULL);
    CHECK_STATUS(dgnn_cell_set(&cell, zero, periodic, &error), DGNN_ERROR_INPUT, "box is singular");
    CHECK_STATUS(dgnn_cell_set(&cell, nearly, periodic, &error), DGNN_ERROR_INPUT, "box is singular");
    CHECK_STATUS(dgnn_cell_set(&cell, nan, periodic, &error), DGNN_ERROR_INPUT, "box[1][1] is nan");
    CHECK_STATUS(dgnn_cell_set(&cell, infinite, periodic, &error), DGNN_ERROR_INPUT, "box[2][1] is inf");
    CHECK_STATUS(dgnn_cell_set(&cell, small, periodic, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_cell_set(&cell, tilted, periodic, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_cell_set(&cell, flat, periodic, NULL), DGNN_ERROR_INPUT, "");
}

/* Sheared along one vector and then along the new one: the same lattice, in vectors as short as they were. */
static void test_sheared(void)
{
    static const int32_t pbcs[3][3] = {{1, 1, 1}, {1, 1, 0}, {0, 1, 1}};
    const double plain[9] = {4.5, 0, 0, 1.25, 5, 0, -2, 0.75, 6};
    int32_t nreduced = 0;
    for (int row = 0; row < 3 * 3 * 6; row++) {
        const int32_t *pbc = pbcs[row % 3];
        int a = row / 3 % 3, b = (a + 1) % 3, c = (a + 2) % 3;
        double box[9], longest = 0, first = pow(10, 2 + row / 9) + 1, second = fmin(first, 9e6 / first);
        struct dgnn_error error;
        struct dgnn_cell cell;
        memcpy(box, plain, sizeof box);
        for (int x = 0; x < 3; x++) {
            box[3 * b + x] += pbc[a] ? first * box[3 * a + x] : 0;
            box[3 * c + x] += pbc[b] ? floor(second) * box[3 * b + x] : 0;
        }
        CHECK_STATUS(dgnn_cell_set(&cell, box, pbc, &error), DGNN_OK, "");
        CHECK_NEAR(cell.volume, 135, 1e-6);
        for (int k = 0; k < 9; k++) {
            longest = fmax(longest, fabs(cell.h[k]));
        }
        CHECK(longest < 10 || !memcmp(cell.h, box, sizeof box));
        nreduced += longest < 10;
    }
    CHECK(nreduced > 10);
}

static void test_same(void)
{
    struct dgnn_cell a;
    struct dgnn_cell b;
    double box[9] = {4, 0, 0, 1, 5, 0, -2, 3, 6};
    int32_t slab[3] = {1, 1, 0};
    dgnn_cell_set(&a, box, periodic, NULL);
    dgnn_cell_set(&b, box, periodic, NULL);
    CHECK(dgnn_cell_same(&a, &b));
    dgnn_cell_set(&b, box, slab, NULL);
    CHECK(!dgnn_cell_same(&a, &b));
    box[8] = nextafter(box[8], 7);
    dgnn_cell_set(&b, box, periodic, NULL);
    CHECK(!dgnn_cell_same(&a, &b));
    dgnn_cell_set(&b, NULL, NULL, NULL);
    CHECK(!dgnn_cell_same(&a, &b));
}

static void test_boundaries(void)
{
    struct dgnn_error error;
    struct dgnn_cell cell;
    double box[9] = {4, 0, 0, 0, 4, 0, 0, 0, 4};
    int32_t slab[3] = {1, 1, 0};
    double x[] = {4, 0, 4, -0.0, -1e-300, -1e-300, -1e-17, -4, -9, 3.9999999999999996, 8, 9, -0.5, 12.5, 1};
    double place[] = {0, 0, 4, 0, -1e-300, -1e-300, -1e-17, 0, -9, 3.9999999999999996, 0, 9, 3.5, 0.5, 1};
    int32_t expected[] = {1, 0, 0, 0, 0, 0, 0, -1, 0, 0, 2, 0, -1, 3, 0};
    double y[15];
    double fraction[15];
    int32_t wraps[15];
    struct dgnn_cell_wrapped wrapped = {y, wraps, fraction, NULL};
    dgnn_cell_set(&cell, box, slab, NULL);
    CHECK_STATUS(dgnn_cell_wrap(&cell, 5, x, &wrapped, &error), DGNN_OK, "");
    for (int k = 0; k < 15; k++) {
        CHECK(y[k] == place[k]);
        CHECK(wraps[k] == expected[k]);
        if (k % 3 < 2) {
            CHECK(fraction[k] >= 0 && fraction[k] < 1 && !signbit(fraction[k]));
        }
    }
    CHECK(fraction[8] == -2.25);
}

/* In a tilted, left-handed cell: the atom comes back, the fraction is right, wrapping in place works. */
static void test_tilted(void)
{
    struct dgnn_error error;
    struct dgnn_cell cell;
    double box[9] = {0, 7, 1, 5, -1, 0.5, 9, 2, 6};
    dgnn_cell_set(&cell, box, periodic, NULL);
    double x[300];
    double y[300];
    double fraction[300];
    int32_t wraps[300];
    uint64_t state = 88172645463325252u;
    for (int k = 0; k < 300; k++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        x[k] = (double)(state >> 11) / 9007199254740992.0 * 200 - 100;
    }
    struct dgnn_cell_wrapped wrapped = {y, wraps, fraction, NULL};
    CHECK_STATUS(dgnn_cell_wrap(&cell, 100, x, &wrapped, &error), DGNN_OK, "");
    double worst = 0;
    int inside = 0;
    for (int i = 0; i < 100; i++) {
        double f[3];
        dgnn_cell_fraction(&cell, y + 3 * i, f);
        for (int c = 0; c < 3; c++) {
            double back = y[3 * i + c];
            for (int k = 0; k < 3; k++) {
                back += wraps[3 * i + k] * box[3 * k + c];
            }
            worst = check_larger(worst, fabs(back - x[3 * i + c]));
            worst = check_larger(worst, fabs(f[c] - fraction[3 * i + c]));
            inside += fraction[3 * i + c] >= 0 && fraction[3 * i + c] < 1;
        }
    }
    CHECK_NEAR(worst, 0, 1e-12);
    CHECK(inside == 300);
    wrapped = (struct dgnn_cell_wrapped){x, NULL, NULL, NULL};
    CHECK_STATUS(dgnn_cell_wrap(&cell, 100, x, &wrapped, &error), DGNN_OK, "");
    CHECK(!memcmp(x, y, sizeof x));
}

static void test_wrap_refused(void)
{
    struct dgnn_error error;
    struct dgnn_cell cell;
    double box[9] = {4, 0, 0, 0, 4, 0, 0, 0, 4};
    double x[6] = {1, 1, 1, 1, 1, 1};
    double y[6];
    struct dgnn_cell_wrapped wrapped = {y, NULL, NULL, NULL};
    dgnn_cell_set(&cell, box, periodic, NULL);
    x[4] = NAN;
    CHECK_STATUS(dgnn_cell_wrap(&cell, 2, x, &wrapped, &error), DGNN_ERROR_INPUT, "coords[1][1] is nan");
    x[4] = -INFINITY;
    CHECK_STATUS(dgnn_cell_wrap(&cell, 2, x, &wrapped, &error), DGNN_ERROR_INPUT, "coords[1][1] is -inf");
    x[4] = 1e9;
    CHECK_STATUS(dgnn_cell_wrap(&cell, 2, x, &wrapped, &error), DGNN_ERROR_INPUT, "coords[1][1] is 1e+09");
    x[4] = 4.0 * (DGNN_CELL_MAX_WRAP + 1);
    CHECK_STATUS(dgnn_cell_wrap(&cell, 2, x, &wrapped, &error), DGNN_ERROR_INPUT, "along lattice vector 1");
    wrapped.labels = (int64_t[]){3, 17};
    CHECK_STATUS(dgnn_cell_wrap(&cell, 2, x, &wrapped, &error), DGNN_ERROR_INPUT, "coords[17] lies");
    wrapped.labels = NULL;
    x[4] = 4.0 * (DGNN_CELL_MAX_WRAP - 1);
    CHECK_STATUS(dgnn_cell_wrap(&cell, 2, x, &wrapped, &error), DGNN_OK, "");
    CHECK(y[4] == 0);
    dgnn_cell_set(&cell, NULL, NULL, NULL);
    x[4] = 5000;
    CHECK_STATUS(dgnn_cell_wrap(&cell, 2, x, &wrapped, &error), DGNN_OK, "");
    CHECK(!memcmp(x, y, sizeof x));
    CHECK_STATUS(dgnn_cell_wrap(&cell, 0, NULL, &wrapped, &error), DGNN_OK, "");
}

int main(void)
{
    test_set();
    test_refused();
    test_sheared();
    test_same();
    test_boundaries();
    test_tilted();
    test_wrap_refused();
    return check_report();
}
