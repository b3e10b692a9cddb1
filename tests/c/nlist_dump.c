/* Prints the neighbour list of a system, for comparison with other programs.
 *
 * stdin:  n cutoff skin has_box pbc0 pbc1 pbc2, with a box its 9 numbers, then n positions.
 * stdout: a line "i j s0 s1 s2 distance dx dy dz" for each pair, with shifts that belong to the positions as
 * given. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "geom/nlist.h"

static int read_numbers(int64_t n, double *out)
{
    for (int64_t k = 0; k < n; k++) {
        if (scanf("%lf", &out[k]) != 1) {
            fprintf(stderr, "number %d of %d is missing\n", (int)k, (int)n);
            return 0;
        }
    }
    return 1;
}

static void print_pairs(const struct dgnn_nlist *list, const int32_t *wraps)
{
    for (int64_t i = 0; i < list->ncentre; i++) {
        for (int64_t e = list->first[i]; e < list->first[i + 1]; e++) {
            int32_t j = list->neighbour[e];
            printf("%" PRId64 " %" PRId32, i, j);
            for (int k = 0; k < 3; k++) {
                printf(" %" PRId32, list->shift[3 * e + k] - wraps[3 * j + k] + wraps[3 * i + k]);
            }
            printf(" %.17g", list->distance[e]);
            for (int c = 0; c < 3; c++) {
                printf(" %.17g", list->vector[3 * e + c]);
            }
            printf("\n");
        }
    }
}

static int dump(const double *head, double *positions, int32_t *wraps, struct dgnn_error *error)
{
    int64_t n = (int64_t)head[0];
    int32_t pbc[3] = {head[4] != 0, head[5] != 0, head[6] != 0};
    double box[9];
    struct dgnn_cell cell;
    struct dgnn_cell_wrapped wrapped = {positions, wraps, NULL, NULL};
    struct dgnn_nlist list = {0};
    if ((head[3] != 0 && !read_numbers(9, box)) || !read_numbers(3 * n, positions)) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "the input ends early");
    }
    DGNN_TRY(dgnn_cell_set(&cell, head[3] != 0 ? box : NULL, pbc, error));
    DGNN_TRY(dgnn_cell_wrap(&cell, n, positions, &wrapped, error));
    struct dgnn_nlist_input input = {.ncentre = n,
                                     .nrow = n,
                                     .positions = positions,
                                     .cell = &cell,
                                     .cutoff = head[1],
                                     .skin = head[2],
                                     .threads = 1};
    int status = dgnn_nlist_update(&list, &input, error);
    if (!status) {
        print_pairs(&list, wraps);
    }
    dgnn_nlist_free(&list);
    return status;
}

int main(void)
{
    double head[7];
    struct dgnn_error error;
    if (!read_numbers(7, head) || head[0] < 0 || head[0] > 1e6) {
        fprintf(stderr, "expected: n cutoff skin has_box pbc0 pbc1 pbc2\n");
        return 2;
    }
    double *positions = malloc((size_t)(24 * head[0]) + 24);
    int32_t *wraps = malloc((size_t)(12 * head[0]) + 12);
    int status = positions && wraps ? dump(head, positions, wraps, &error)
                                    : dgnn_status_no_memory(&error, "positions", 24);
    if (status) {
        fprintf(stderr, "%s: %s\n", dgnn_status_name(status), error.message);
    }
    free(positions);
    free(wraps);
    return status;
}
