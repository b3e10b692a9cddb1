/* The neighbour list: all pairs within the cutoff, in an order that depends neither on ranks nor on earlier
 * calls.
 *
 * Rows are atoms; on many ranks owned rows come first, then one row for each ghost. The first rows are
 * centres. A pair is a row and an integer lattice shift. A search finds candidates within cutoff + skin by a
 * cell list over the images near the centres. While no row has moved further than half the skin, an update
 * keeps the candidates and only recomputes, filters and sorts them. The result has the same bits as a new
 * list. */
#ifndef DGNN_GEOM_NLIST_H
#define DGNN_GEOM_NLIST_H

#include "base/alloc.h"
#include "geom/cell.h"

/* Two rows that are closer than this many Angstrom count as two atoms at one place. */
#define DGNN_NLIST_CLOSEST 1e-6

struct dgnn_nlist_input {
    int64_t ncentre;         /* rows [0, ncentre) are centres */
    int64_t nrow;            /* at most INT32_MAX */
    const double *positions; /* nrow x 3; they must be wrapped where all ranks need the same order of ties */
    const int64_t *ids;      /* nrow; they order neighbours at equal distances; NULL: the row number */
    const int64_t *label;    /* nrow: names of the rows in messages; NULL: the row number */
    const uint8_t *may_overlap; /* nrow; 1: pairs with this row may be at distance 0; NULL: no pair may */
    const struct dgnn_cell *cell;
    double cutoff;     /* > 0 */
    double skin;       /* >= 0; 0: each update searches */
    int32_t may_reuse; /* 1: rows stand for the same atoms as at the last update */
    int32_t threads;   /* >= 1; the result does not depend on their number */
};

/* Zero it before its first use; free it with dgnn_nlist_free. */
struct dgnn_nlist {
    /* The result of an update, valid until the next one. */
    int64_t ncentre;
    int64_t nrow;
    const int64_t *first;     /* ncentre + 1 */
    const int32_t *neighbour; /* row; the centre itself occurs with a nonzero shift only */
    const int32_t *shift;     /* x 3: the image of that row, as multiples of the lattice vectors */
    const double *vector;     /* x 3: x_j + shift . h - x_i */
    const double *distance;   /* at most cutoff; each centre's pairs are ordered by (distance squared, id,
                                 shift, row) */
    int32_t reused;           /* 1: the last update kept the candidates */
    int64_t rebuilds;         /* searches so far */

    /* The rest belongs to nlist.c. */
    int32_t valid;
    struct dgnn_cell cell;
    double cutoff;
    double skin;
    int64_t ncandidate;
    int64_t longest;                    /* the most candidates of one centre */
    struct dgnn_buffer built_positions; /* nrow x 3 at the last search */
    struct dgnn_buffer wrap_change;     /* nrow x 3 int32: lattice vectors that each row crossed since then */
    struct dgnn_buffer candidate_first;
    struct dgnn_buffer candidates;
    struct dgnn_buffer images;
    struct dgnn_buffer image_scratch;
    struct dgnn_buffer order;
    struct dgnn_buffer sort_scratch;
    struct dgnn_buffer output_first;
    struct dgnn_buffer output_neighbour;
    struct dgnn_buffer output_shift;
    struct dgnn_buffer output_vector;
    struct dgnn_buffer output_distance;
};

static inline int64_t dgnn_nlist_npair(const struct dgnn_nlist *list)
{
    return list->first ? list->first[list->ncentre] : 0;
}

/* Updates the list. After an error it is empty, and the next update searches. Nothing is allocated for a
 * system that is at most an eighth larger than earlier ones. Errors: INPUT (two rows at one place, a
 * coordinate that is not finite, a cell far smaller than the cutoff), MEMORY. */
int dgnn_nlist_update(struct dgnn_nlist *list, const struct dgnn_nlist_input *input,
                      struct dgnn_error *error);

/* As dgnn_nlist_update, with a host's lists instead of a search. Rows are images at their own positions, so
 * no shift is added. first has ncentre + 1 entries. neighbour has rows in any order, which may be beyond the
 * cutoff. Errors: besides those of an update, INPUT with the centre where a row is out of range, is the
 * centre itself, or comes twice. */
int dgnn_nlist_update_given(struct dgnn_nlist *list, const struct dgnn_nlist_input *input,
                            const int64_t *first, const int32_t *neighbour, struct dgnn_error *error);

void dgnn_nlist_free(struct dgnn_nlist *list);

#endif
