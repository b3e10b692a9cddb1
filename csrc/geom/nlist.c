/* An update: keep or renew the candidates, then for each centre measure, filter and sort them, then write.
 * The last two are the same whether candidates were kept or not, and see only positions, shifts and ids. */
#include "geom/candidates.h"

#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "base/stop.h"

/* What a centre's candidates are sorted by. */
struct item {
    double squared;
    int32_t index;
};

/* One update, as the stages share it. */
struct update {
    const struct dgnn_nlist_input *input;
    struct dgnn_pair_frame frame;
    const int64_t *first;          /* of candidates */
    const struct dgnn_pair *pairs; /* candidates */
    double limit;                  /* the largest squared distance whose root is within the cutoff */
    int64_t longest;
    int32_t *order; /* ncandidate: per centre, the candidates it keeps, sorted; from first[i] on */
    int64_t *kept;  /* ncentre + 1: kept[i + 1] is the number for centre i, later the sums */
    char *scratch;  /* threads x update_scratch_size */
};

/* ------------------------------------------------------------------ input */

static int nlist_check_positions(const struct dgnn_nlist_input *input, struct dgnn_error *error)
{
    for (int64_t k = 0; k < 3 * input->nrow; k++) {
        if (!(fabs(input->positions[k]) <= DGNN_CELL_MAX_COORDINATE)) { /* also true for NaN */
            return dgnn_status_set(
                error, DGNN_ERROR_INPUT,
                "coordinate %d of atom %lld is %g; expected a finite number of at most %g A", (int)(k % 3),
                (long long)dgnn_candidates_label(input, k / 3), input->positions[k],
                DGNN_CELL_MAX_COORDINATE);
        }
    }
    return DGNN_OK;
}

static int nlist_check(const struct dgnn_nlist_input *input, struct dgnn_error *error)
{
    if (!(input->cutoff > 0) || !isfinite(input->cutoff) || !(input->skin >= 0) || !isfinite(input->skin)) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT,
                               "cutoff is %g and skin %g; expected a positive and a non-negative number",
                               input->cutoff, input->skin);
    }
    if (input->ncentre < 0 || input->ncentre > input->nrow || input->nrow > INT32_MAX || input->threads < 1) {
        return dgnn_status_set(error, DGNN_ERROR_INTERNAL,
                               "neighbour list of %lld centres, %lld rows, %d threads",
                               (long long)input->ncentre, (long long)input->nrow, (int)input->threads);
    }
    return nlist_check_positions(input, error);
}

/* ------------------------------------------------------------------ candidates under a skin */

/* Follows a row from where the last search saw it: lost gets the lattice vectors that wrapping took from it
 * since. False where it moved further than limit. */
static int nlist_follow(const struct dgnn_cell *cell, const double *before, const double *now, double limit,
                        int32_t lost[3])
{
    double move[3];
    double cells[3] = {0, 0, 0};
    for (int c = 0; c < 3; c++) {
        move[c] = now[c] - before[c];
        lost[c] = 0;
    }
    if (move[0] * move[0] + move[1] * move[1] + move[2] * move[2] <= limit * limit) {
        return 1;
    }
    if (!(cell->pbc[0] | cell->pbc[1] | cell->pbc[2])) {
        return 0;
    }
    dgnn_cell_fraction(cell, move, cells);
    for (int k = 0; k < 3; k++) {
        cells[k] = cell->pbc[k] ? rint(cells[k]) : 0;
        if (fabs(cells[k]) > DGNN_CELL_MAX_WRAP) {
            return 0;
        }
        lost[k] = -(int32_t)cells[k];
        for (int c = 0; c < 3; c++) {
            move[c] -= cells[k] * cell->h[3 * k + c];
        }
    }
    return move[0] * move[0] + move[1] * move[1] + move[2] * move[2] <= limit * limit;
}

/* Do the candidates still hold all pairs? Fills wrap_change where they do. */
static int nlist_may_keep(struct dgnn_nlist *list, const struct dgnn_nlist_input *input, int *wrapped)
{
    *wrapped = 0;
    if (!list->valid || !input->may_reuse || !(input->skin > 0) || input->skin != list->skin ||
        input->cutoff != list->cutoff || input->ncentre != list->ncentre || input->nrow != list->nrow ||
        !dgnn_cell_same(input->cell, &list->cell)) {
        return 0;
    }
    const double *before = list->built_positions.data;
    int32_t *change = list->wrap_change.data;
    for (int64_t i = 0; i < input->nrow; i++) {
        int32_t *lost = change + 3 * i;
        if (!nlist_follow(&list->cell, before + 3 * i, input->positions + 3 * i, 0.5 * list->skin, lost)) {
            return 0;
        }
        *wrapped |= lost[0] | lost[1] | lost[2];
    }
    return 1;
}

static int nlist_search(struct dgnn_nlist *list, const struct dgnn_nlist_input *input,
                        struct dgnn_error *error)
{
    int64_t n = 3 * input->nrow;
    DGNN_TRY(dgnn_candidates_search(list, input, error));
    DGNN_TRY(dgnn_candidates_reserve(&list->built_positions, n, sizeof(double), "the neighbour list", error));
    DGNN_TRY(dgnn_candidates_reserve(&list->wrap_change, n, sizeof(int32_t), "the neighbour list", error));
    if (n) {
        memcpy(list->built_positions.data, input->positions, (size_t)n * sizeof(double));
    }
    list->cell = *input->cell;
    list->cutoff = input->cutoff;
    list->skin = input->skin;
    list->rebuilds++;
    return DGNN_OK;
}

/* ------------------------------------------------------------------ one centre: measure, filter, sort */

static void nlist_insertion_sort(struct item *items, int64_t n)
{
    for (int64_t k = 1; k < n; k++) {
        struct item item = items[k];
        int64_t place = k;
        for (; place > 0 && items[place - 1].squared > item.squared; place--) {
            items[place] = items[place - 1];
        }
        items[place] = item;
    }
}

static void nlist_merge(const struct item *a, const struct item *middle, const struct item *end,
                        struct item *out)
{
    const struct item *b = middle;
    while (a < middle && b < end) {
        int second = b->squared < a->squared;
        *out++ = second ? *b : *a;
        b += second;
        a += !second;
    }
    memcpy(out, a, (size_t)(middle - a) * sizeof *out);
    out += middle - a;
    memcpy(out, b, (size_t)(end - b) * sizeof *out);
}

/* Runs by insertion, then merges. Returns whichever of the two arrays holds the result. */
static struct item *nlist_sort(struct item *items, struct item *other, int64_t n)
{
    enum { RUN = 8 };
    for (int64_t k = 0; k < n; k += RUN) {
        nlist_insertion_sort(items + k, n - k < RUN ? n - k : RUN);
    }
    for (int64_t run = RUN; run < n; run *= 2) {
        for (int64_t k = 0; k < n; k += 2 * run) {
            int64_t middle = k + run < n ? k + run : n;
            int64_t end = k + 2 * run < n ? k + 2 * run : n;
            nlist_merge(items + k, items + middle, items + end, other + k);
        }
        struct item *swap = items;
        items = other;
        other = swap;
    }
    return items;
}

/* Between equal distances: id, then shift, then row. */
static int nlist_comes_before(const struct update *update, int64_t centre, const struct dgnn_pair *a,
                              const struct dgnn_pair *b)
{
    const int64_t *ids = update->input->ids;
    int64_t id_a = ids ? ids[a->row] : a->row;
    int64_t id_b = ids ? ids[b->row] : b->row;
    int32_t shift_a[3];
    int32_t shift_b[3];
    if (id_a != id_b) {
        return id_a < id_b;
    }
    dgnn_pairvector_shift(&update->frame, centre, a, shift_a);
    dgnn_pairvector_shift(&update->frame, centre, b, shift_b);
    for (int k = 0; k < 3; k++) {
        if (shift_a[k] != shift_b[k]) {
            return shift_a[k] < shift_b[k];
        }
    }
    return a->row < b->row;
}

/* Sorts runs of equal distances among sorted items. */
static void nlist_settle_ties(const struct update *update, int64_t centre, struct item *items, int64_t n)
{
    const struct dgnn_pair *pairs = update->pairs + update->first[centre];
    for (int64_t k = 1; k < n; k++) {
        struct item item = items[k];
        int64_t place = k;
        for (; place > 0 && items[place - 1].squared == item.squared &&
               nlist_comes_before(update, centre, &pairs[item.index], &pairs[items[place - 1].index]);
             place--) {
            items[place] = items[place - 1];
        }
        items[place] = item;
    }
}

static int64_t update_scratch_size(int64_t longest)
{
    return (longest + 1) * (int64_t)(sizeof(double) + 2 * sizeof(struct item));
}

static void nlist_select_centre(const struct update *update, int64_t centre, char *scratch)
{
    int64_t begin = update->first[centre];
    int64_t n = update->first[centre + 1] - begin;
    struct item *items = (struct item *)scratch;
    struct item *other = items + update->longest;
    double *squared = (double *)(other + update->longest);
    int64_t count = 0;
    dgnn_pairvector_squares(&update->frame, centre, update->pairs + begin, n, squared);
    for (int64_t k = 0; k < n; k++) {
        items[count] = (struct item){squared[k], (int32_t)k};
        count += squared[k] <= update->limit;
    }
    items = nlist_sort(items, other, count);
    nlist_settle_ties(update, centre, items, count);
    for (int64_t k = 0; k < count; k++) {
        update->order[begin + k] = items[k].index;
    }
    update->kept[centre + 1] = count;
}

static void nlist_select_part(void *of, int64_t part, int32_t thread)
{
    const struct update *update = of;
    int64_t n = update->input->ncentre, threads = update->input->threads;
    char *scratch = update->scratch + part * update_scratch_size(update->longest);
    (void)thread;
    for (int64_t centre = n * part / threads; centre < n * (part + 1) / threads && !dgnn_stop_skips();
         centre++) {
        nlist_select_centre(update, centre, scratch);
    }
}

static void nlist_select(struct update *update)
{
    dgnn_parallel_run(update->input->threads, update->input->threads, nlist_select_part, update);
}

/* ------------------------------------------------------------------ output */

static void nlist_write_centre(const struct update *update, struct dgnn_nlist *list, int64_t centre)
{
    int64_t begin = update->kept[centre];
    struct dgnn_pair_output output = {
        .row = (int32_t *)list->output_neighbour.data + begin,
        .shift = (int32_t *)list->output_shift.data + 3 * begin,
        .vector = (double *)list->output_vector.data + 3 * begin,
        .distance = (double *)list->output_distance.data + begin,
    };
    dgnn_pairvector_write(&update->frame, centre, update->pairs + update->first[centre],
                          update->order + update->first[centre], update->kept[centre + 1] - begin, &output);
}

struct write {
    const struct update *update;
    struct dgnn_nlist *list;
};

static void nlist_write_part(void *of, int64_t part, int32_t thread)
{
    const struct write *write = of;
    int64_t n = write->update->input->ncentre, threads = write->update->input->threads;
    (void)thread;
    for (int64_t i = n * part / threads; i < n * (part + 1) / threads && !dgnn_stop_skips(); i++) {
        nlist_write_centre(write->update, write->list, i);
    }
}

static int nlist_write(const struct update *update, struct dgnn_nlist *list, struct dgnn_error *error)
{
    int64_t n = update->input->ncentre;
    update->kept[0] = 0;
    for (int64_t i = 0; i < n; i++) {
        update->kept[i + 1] += update->kept[i];
    }
    int64_t npair = update->kept[n];
    DGNN_TRY(dgnn_candidates_reserve(&list->output_neighbour, npair, sizeof(int32_t), "neighbours", error));
    DGNN_TRY(dgnn_candidates_reserve(&list->output_shift, npair, 3 * sizeof(int32_t), "neighbours", error));
    DGNN_TRY(dgnn_candidates_reserve(&list->output_vector, npair, 3 * sizeof(double), "neighbours", error));
    DGNN_TRY(dgnn_candidates_reserve(&list->output_distance, npair, sizeof(double), "neighbours", error));
    struct write write = {update, list};
    dgnn_parallel_run(update->input->threads, update->input->threads, nlist_write_part, &write);
    return dgnn_stop_check(error);
}

/* The first pair at one place that may not be there. Distance 0 sorts first, so few entries are looked at. */
static int nlist_check_overlap(const struct dgnn_nlist *list, const struct dgnn_nlist_input *input,
                               struct dgnn_error *error)
{
    const uint8_t *may = input->may_overlap;
    for (int64_t i = 0; i < list->ncentre; i++) {
        for (int64_t k = list->first[i]; k < list->first[i + 1]; k++) {
            int64_t j = list->neighbour[k];
            if (list->distance[k] >= DGNN_NLIST_CLOSEST) {
                break;
            }
            if (may && (may[i] || may[j])) {
                continue;
            }
            return dgnn_status_set(error, DGNN_ERROR_INPUT,
                                   "atoms %lld and %lld are %.3g A apart; expected distinct places",
                                   (long long)dgnn_candidates_label(input, i < j ? i : j),
                                   (long long)dgnn_candidates_label(input, i < j ? j : i),
                                   list->distance[k] > 1e-300 ? list->distance[k] : 0.0);
        }
    }
    return DGNN_OK;
}

static double nlist_limit(double cutoff)
{
    double limit = cutoff * cutoff;
    while (sqrt(limit) > cutoff) {
        limit = nextafter(limit, 0);
    }
    while (sqrt(nextafter(limit, INFINITY)) <= cutoff) {
        limit = nextafter(limit, INFINITY);
    }
    return limit;
}

/* From candidates to the list. */
static int nlist_finish(struct dgnn_nlist *list, const struct dgnn_nlist_input *input,
                        const struct dgnn_pair_frame *frame, struct dgnn_error *error)
{
    int64_t n = input->ncentre;
    int64_t scratch;
    if (!dgnn_alloc_checked(input->threads, update_scratch_size(list->longest), 0, &scratch)) {
        return dgnn_status_no_memory(error, "the neighbour list", INT64_MAX);
    }
    DGNN_TRY(dgnn_candidates_reserve(&list->sort_scratch, scratch, 1, "the neighbour list", error));
    DGNN_TRY(dgnn_candidates_reserve(&list->order, list->ncandidate, sizeof(int32_t), "the neighbour list",
                                     error));
    DGNN_TRY(
        dgnn_candidates_reserve(&list->output_first, n + 1, sizeof(int64_t), "the neighbour list", error));
    struct update update = {
        .input = input,
        .frame = *frame,
        .first = list->candidate_first.data,
        .pairs = list->candidates.data,
        .limit = nlist_limit(input->cutoff),
        .longest = list->longest,
        .order = list->order.data,
        .kept = list->output_first.data,
        .scratch = list->sort_scratch.data,
    };
    nlist_select(&update);
    DGNN_TRY(dgnn_stop_check(error));
    DGNN_TRY(nlist_write(&update, list, error));
    list->ncentre = n;
    list->nrow = input->nrow;
    list->first = update.kept;
    list->neighbour = list->output_neighbour.data;
    list->shift = list->output_shift.data;
    list->vector = list->output_vector.data;
    list->distance = list->output_distance.data;
    return nlist_check_overlap(list, input, error);
}

static void nlist_clear(struct dgnn_nlist *list)
{
    list->valid = 0;
    list->reused = 0;
    list->ncentre = list->nrow = 0;
    list->first = NULL;
}

/* ------------------------------------------------------------------ the two ways in */

static int nlist_update(struct dgnn_nlist *list, const struct dgnn_nlist_input *input,
                        struct dgnn_error *error)
{
    int wrapped;
    DGNN_TRY(nlist_check(input, error));
    int keep = nlist_may_keep(list, input, &wrapped);
    if (!keep) {
        DGNN_TRY(nlist_search(list, input, error));
        wrapped = 0;
    }
    struct dgnn_pair_frame frame = {
        .positions = input->positions,
        .h = input->cell->h,
        .wrap_change = wrapped ? list->wrap_change.data : NULL,
    };
    DGNN_TRY(nlist_finish(list, input, &frame, error));
    list->reused = keep;
    list->valid = 1;
    return DGNN_OK;
}

int dgnn_nlist_update(struct dgnn_nlist *list, const struct dgnn_nlist_input *input, struct dgnn_error *error)
{
    int status = nlist_update(list, input, error);
    if (status) {
        nlist_clear(list);
    }
    return status;
}

/* Copies one centre's rows, neighbour[first[centre]] and on. wrap_change holds the last centre that named
 * each row. */
static int nlist_take_given(struct dgnn_nlist *list, const struct dgnn_nlist_input *input, int64_t centre,
                            const int64_t *first, const int32_t *neighbour, struct dgnn_error *error)
{
    long long label = (long long)dgnn_candidates_label(input, centre);
    int32_t *stamps = list->wrap_change.data;
    struct dgnn_pair *pairs = list->candidates.data;
    for (int64_t k = first[centre]; k < first[centre + 1]; k++) {
        int32_t row = neighbour[k];
        if (row < 0 || row >= input->nrow) {
            return dgnn_status_set(error, DGNN_ERROR_INPUT,
                                   "neighbours of atom %lld name row %d; expected rows below %lld", label,
                                   (int)row, (long long)input->nrow);
        }
        if (row == centre) {
            return dgnn_status_set(error, DGNN_ERROR_INPUT, "neighbours of atom %lld name the atom itself",
                                   label);
        }
        if (stamps[row] == centre + 1) {
            return dgnn_status_set(error, DGNN_ERROR_INPUT, "neighbours of atom %lld name row %d twice",
                                   label, (int)row);
        }
        stamps[row] = (int32_t)(centre + 1);
        pairs[k] = (struct dgnn_pair){row, {0, 0, 0}};
    }
    return DGNN_OK;
}

static int nlist_check_given(const struct dgnn_nlist_input *input, const int64_t *first,
                             struct dgnn_error *error)
{
    if (first[0] != 0) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "neighbour_first[0] is %lld; expected 0",
                               (long long)first[0]);
    }
    for (int64_t i = 0; i < input->ncentre; i++) {
        if (first[i + 1] < first[i] || first[i + 1] - first[i] >= input->nrow) {
            return dgnn_status_set(
                error, DGNN_ERROR_INPUT,
                "atom %lld has neighbours from %lld to %lld; expected between 0 and %lld of them",
                (long long)dgnn_candidates_label(input, i), (long long)first[i], (long long)first[i + 1],
                (long long)input->nrow - 1);
        }
    }
    return DGNN_OK;
}

static int nlist_update_given(struct dgnn_nlist *list, const struct dgnn_nlist_input *input,
                              const int64_t *first, const int32_t *neighbour, struct dgnn_error *error)
{
    static const double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    int64_t n = input->ncentre;
    DGNN_TRY(nlist_check(input, error));
    DGNN_TRY(nlist_check_given(input, first, error));
    DGNN_TRY(
        dgnn_candidates_reserve(&list->candidate_first, n + 1, sizeof(int64_t), "the neighbour list", error));
    DGNN_TRY(dgnn_candidates_reserve(&list->candidates, first[n], sizeof(struct dgnn_pair),
                                     "the neighbour list", error));
    DGNN_TRY(dgnn_candidates_reserve(&list->wrap_change, input->nrow, sizeof(int32_t), "the neighbour list",
                                     error));
    memset(list->wrap_change.data, 0, (size_t)input->nrow * sizeof(int32_t));
    memcpy(list->candidate_first.data, first, (size_t)(n + 1) * sizeof *first);
    list->ncandidate = first[n];
    list->longest = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t count = first[i + 1] - first[i];
        list->longest = count > list->longest ? count : list->longest;
        DGNN_TRY(nlist_take_given(list, input, i, first, neighbour, error));
    }
    struct dgnn_pair_frame frame = {.positions = input->positions, .h = identity};
    DGNN_TRY(nlist_finish(list, input, &frame, error));
    list->reused = list->valid = 0;
    return DGNN_OK;
}

int dgnn_nlist_update_given(struct dgnn_nlist *list, const struct dgnn_nlist_input *input,
                            const int64_t *first, const int32_t *neighbour, struct dgnn_error *error)
{
    int status = nlist_update_given(list, input, first, neighbour, error);
    if (status) {
        nlist_clear(list);
    }
    return status;
}

void dgnn_nlist_free(struct dgnn_nlist *list)
{
    struct dgnn_buffer *buffers[] = {
        &list->built_positions, &list->wrap_change,      &list->candidate_first, &list->candidates,
        &list->images,          &list->image_scratch,    &list->order,           &list->sort_scratch,
        &list->output_first,    &list->output_neighbour, &list->output_shift,    &list->output_vector,
        &list->output_distance,
    };
    for (size_t k = 0; k < sizeof buffers / sizeof *buffers; k++) {
        dgnn_buffer_free(buffers[k]);
    }
    nlist_clear(list);
}
