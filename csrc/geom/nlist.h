/* The neighbour list: all pairs within the cutoff, in an order that does not depend on ranks or history.
 *
 * Rows are atoms (on many ranks: owned rows, then one row for each ghost), centres are the first of them. A
 * pair is a row and an integer lattice shift. Candidates within cutoff + skin are found by a cell list over
 * the images near the centres and kept; while no row has moved further than half the skin, an update only
 * recomputes, filters and sorts them. Its arrays have the very bits of a list built afresh. */
#ifndef DGNN_GEOM_NLIST_H
#define DGNN_GEOM_NLIST_H

#include "base/alloc.h"
#include "geom/cell.h"

/* Two rows closer than this are at one place (Angstrom). */
#define DGNN_NLIST_CLOSEST 1e-6

struct dgnn_nlist_input {
    int64_t ncentre;            /* rows [0, ncentre) are centres */
    int64_t nrow;               /* at most INT32_MAX */
    const double *positions;    /* nrow x 3; wrapped where the order of ties must be the same on all ranks */
    const int64_t *ids;         /* nrow; order ties between equal distances. NULL: the row number */
    const int64_t *label;       /* nrow, the name of each row in messages; NULL: the row number */
    const uint8_t *may_overlap; /* nrow, 1: pairs with this row may be at distance 0; NULL: none may */
    const struct dgnn_cell *cell;
    double cutoff;     /* > 0 */
    double skin;       /* >= 0; 0: build at each update */
    int32_t may_reuse; /* 1: rows stand for the same atoms as at the last update */
    int32_t threads;   /* >= 1; the result does not depend on it */
};

/* Zero it before its first use; free it with dgnn_nlist_free. */
struct dgnn_nlist {
    /* What update gives, valid until the next one. */
    int64_t ncentre;
    int64_t nrow;
    const int64_t *first;     /* ncentre + 1 */
    const int32_t *neighbour; /* row; the centre itself only with a shift that is not 0 */
    const int32_t *shift;     /* x 3: the image of that row, in lattice vectors */
    const double *vector;     /* x 3: x_j + shift . h - x_i */
    const double *distance;   /* r <= cutoff; per centre ordered by (distance squared, id, shift, row) */
    int32_t reused;           /* did the last update keep the candidates? */
    int64_t rebuilds;         /* searches since the beginning */

    /* The rest belongs to nlist.c. */
    int32_t valid;
    struct dgnn_cell cell;
    double cutoff;
    double skin;
    int64_t ncandidate;
    int64_t longest;                    /* most candidates of one centre */
    struct dgnn_buffer built_positions; /* nrow x 3 at the last search */
    struct dgnn_buffer wrap_change;     /* nrow x 3 int32: lattice vectors crossed since then */
    struct dgnn_buffer candidate_first;
    struct dgnn_buffer candidates;
    struct dgnn_buffer images;
    struct dgnn_buffer image_work;
    struct dgnn_buffer order;
    struct dgnn_buffer sort_work;
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

/* Errors: INPUT (two rows at one place, a coordinate that is not finite, a cell far smaller than the cutoff),
 * MEMORY. After an error the list is empty and the next update searches. Nothing is allocated where the
 * system isn't larger than earlier ones, with an eighth to spare. */
int dgnn_nlist_update(struct dgnn_nlist *list, const struct dgnn_nlist_input *input,
                      struct dgnn_error *error);

/* As update, with a host's lists in place of the search: rows are images at their own places and no shift is
 * added. first: ncentre + 1; neighbour: rows in any order, which may
 * lie beyond the cutoff. INPUT, with the centre, where a row is out of range, is the centre itself, or comes
 * twice. */
int dgnn_nlist_update_given(struct dgnn_nlist *list, const struct dgnn_nlist_input *input,
                            const int64_t *first, const int32_t *neighbour, struct dgnn_error *error);

void dgnn_nlist_free(struct dgnn_nlist *list);

#endif
