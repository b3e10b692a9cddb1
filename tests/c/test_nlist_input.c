/* What a neighbour list is made of: positions and cells that are refused, and a host's own lists. */
#include "base/alloc.h"
#include "nlist_case.h"

static void test_bad_positions(void)
{
    struct dgnn_nlist list = {0};
    struct dgnn_error error;
    struct system system;
    uint8_t may[MAX_ATOMS] = {0};
    int64_t label[MAX_ATOMS];
    make_cell(&system, 0, 7, 8, 9);
    fill(&system, 12, 0, 1);
    system.ncentre = 12;
    system.cutoff = 4;
    for (int64_t i = 0; i < 12; i++) {
        label[i] = 100 + i;
    }
    struct dgnn_nlist_input input = input_of(&system, 0.5, 1);
    CHECK_STATUS(dgnn_nlist_update(&list, &input, &error), DGNN_OK, "");
    double keep = system.positions[5];
    system.positions[5] = NAN;
    CHECK_STATUS(dgnn_nlist_update(&list, &input, &error), DGNN_ERROR_INPUT, "coordinate 2 of atom 1 is nan");
    CHECK(dgnn_nlist_npair(&list) == 0);
    system.positions[5] = 1e9;
    input.label = label;
    CHECK_STATUS(dgnn_nlist_update(&list, &input, &error), DGNN_ERROR_INPUT,
                 "coordinate 2 of atom 101 is 1e+09");
    system.positions[5] = keep;
    CHECK_STATUS(dgnn_nlist_update(&list, &input, &error), DGNN_OK, "");
    CHECK(!list.reused);

    memcpy(system.positions + 3 * 7, system.positions + 3 * 2, 3 * sizeof(double));
    CHECK_STATUS(dgnn_nlist_update(&list, &input, &error), DGNN_ERROR_INPUT,
                 "atoms 102 and 107 are 0 A apart");
    system.positions[3 * 7] += system.cell.h[0] + 1e-8; /* at one place by way of an image */
    CHECK_STATUS(dgnn_nlist_update(&list, &input, &error), DGNN_ERROR_INPUT,
                 "atoms 102 and 107 are 1e-08 A apart");
    input.label = NULL;
    CHECK_STATUS(dgnn_nlist_update(&list, &input, &error), DGNN_ERROR_INPUT,
                 "atoms 2 and 7 are 1e-08 A apart");
    may[7] = 1;
    input.may_overlap = may;
    CHECK_STATUS(dgnn_nlist_update(&list, &input, &error), DGNN_OK, "");
    CHECK(list.neighbour[list.first[2]] == 7 && list.neighbour[list.first[7]] == 2);
    memcpy(system.positions + 3 * 9, system.positions + 3 * 2, 3 * sizeof(double));
    CHECK_STATUS(dgnn_nlist_update(&list, &input, &error), DGNN_ERROR_INPUT, "atoms 2 and 9 are 0 A apart");
    dgnn_nlist_free(&list);
}

static void test_bad_cells(void)
{
    struct dgnn_nlist list = {0};
    struct dgnn_error error;
    struct system system;
    struct system tiny = {.n = 1, .ncentre = 1, .cutoff = 6};
    CHECK(!dgnn_cell_set(&tiny.cell, (double[9]){1e-3, 0, 0, 0, 1e-3, 0, 0, 0, 1e-3}, (int32_t[3]){1, 1, 1},
                         NULL));
    struct dgnn_nlist_input input = input_of(&tiny, 0.5, 0);
    CHECK_STATUS(dgnn_nlist_update(&list, &input, &error), DGNN_ERROR_INPUT,
                 "box is too small for a cutoff of 6 A");
    input.cutoff = NAN;
    CHECK_STATUS(dgnn_nlist_update(&list, &input, &error), DGNN_ERROR_INPUT, "cutoff is nan");
    make_cell(&system, 0, 7, 8, 9);
    fill(&system, 12, 0, 1);
    system.ncentre = 12;
    system.cutoff = 4;
    system.positions[0] = 9e7;
    input = input_of(&system, 0.5, 0);
    CHECK_STATUS(dgnn_nlist_update(&list, &input, &error), DGNN_ERROR_INPUT,
                 "cells out along lattice vector 0");
    make_cell(&system, 0, 7, 8, 9); /* within what is taken along each vector, too many boxes between them */
    system.positions[0] = 1e6;
    system.positions[1] = 1e6;
    system.positions[2] = 1e6;
    input = input_of(&system, 0.5, 0);
    CHECK_STATUS(dgnn_nlist_update(&list, &input, &error), DGNN_ERROR_INPUT, "spread over");
    dgnn_nlist_free(&list);
}

/* ------------------------------------------------------------------ a host's lists */

static void test_given(void)
{
    struct dgnn_nlist list = {0};
    struct dgnn_nlist searched = {0};
    struct dgnn_error error;
    struct system system;
    int64_t first[MAX_ATOMS + 1] = {0};
    int32_t rows[MAX_ATOMS * MAX_ATOMS];
    make_cell(&system, 4, 0, 1, 1);
    fill(&system, 40, 0, 1);
    system.ncentre = 25;
    system.cutoff = 5;
    for (int64_t i = 0; i < system.ncentre; i++) { /* all rows, from the last to the first */
        first[i + 1] = first[i];
        for (int64_t j = system.n; j-- > 0;) {
            rows[first[i + 1]] = (int32_t)j;
            first[i + 1] += j != i;
        }
    }
    struct dgnn_nlist_input input = input_of(&system, 0.5, 1);
    CHECK_STATUS(dgnn_nlist_update(&searched, &input, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_nlist_update_given(&list, &input, first, rows, &error), DGNN_OK, "");
    CHECK(same_lists(&list, &searched) && dgnn_nlist_npair(&list) > 100);
    int64_t before = dgnn_alloc_count();
    CHECK_STATUS(dgnn_nlist_update_given(&list, &input, first, rows, &error), DGNN_OK, "");
    CHECK(dgnn_alloc_count() == before);
    input.ids = NULL;
    input.label = system.ids;
    char text[80];
    int32_t *row = &rows[first[3] + 2];
    int32_t keep = *row;
    *row = 40;
    snprintf(text, sizeof text, "neighbours of atom %d name row 40; expected rows below 40",
             (int)system.ids[3]);
    CHECK_STATUS(dgnn_nlist_update_given(&list, &input, first, rows, &error), DGNN_ERROR_INPUT, text);
    *row = -1;
    CHECK_STATUS(dgnn_nlist_update_given(&list, &input, first, rows, &error), DGNN_ERROR_INPUT,
                 "name row -1");
    *row = 3;
    CHECK_STATUS(dgnn_nlist_update_given(&list, &input, first, rows, &error), DGNN_ERROR_INPUT,
                 "the atom itself");
    *row = row[1];
    CHECK_STATUS(dgnn_nlist_update_given(&list, &input, first, rows, &error), DGNN_ERROR_INPUT, "twice");
    *row = keep;
    first[4] = first[3] - 1;
    CHECK_STATUS(dgnn_nlist_update_given(&list, &input, first, rows, &error), DGNN_ERROR_INPUT,
                 "has neighbours from");
    first[0] = 1;
    CHECK_STATUS(dgnn_nlist_update_given(&list, &input, first, rows, &error), DGNN_ERROR_INPUT,
                 "neighbour_first[0]");
    CHECK(dgnn_nlist_npair(&list) == 0);
    dgnn_nlist_free(&list);
    dgnn_nlist_free(&searched);
}

int main(void)
{
    test_bad_positions();
    test_bad_cells();
    test_given();
    return check_report();
}
