#include "system/word.h"

#include <math.h>
#include <string.h>

#include "base/digest.h"

struct word_field {
    const char *name; /* the caller's name for it */
    size_t place, size;
};

#define WORD_FIELD(name, member) {name, offsetof(struct dgnn_word, member), sizeof(((struct dgnn_word *)0)->member)}

static const struct word_field word_fields[] = {
    WORD_FIELD("model", model),
    WORD_FIELD("dtype of the model", dtype),
    WORD_FIELD("semantics of the model", dense),
    WORD_FIELD("skin of the model", skin),
    WORD_FIELD("box", has_box),
    WORD_FIELD("box", box),
    WORD_FIELD("pbc", pbc),
    WORD_FIELD("fparam", fparam),
    WORD_FIELD("charge_spin", charge_spin),
    WORD_FIELD("grid", grid),
    WORD_FIELD("replicated", replicated),
    WORD_FIELD("kind of plan (border, direct, mapping or none)", plan_kind),
    WORD_FIELD("ghost_forces", add_ghost_forces),
    WORD_FIELD("same_list", same_list),
    WORD_FIELD("whole system (replicated: coords, types, spins, ids, aparam)", whole),
};

static void word_digest(const void *data, int64_t nbytes, uint64_t out[2])
{
    struct dgnn_digest digest;
    if (data) {
        dgnn_digest_begin(&digest);
        dgnn_digest_add(&digest, &nbytes, sizeof(nbytes));
        dgnn_digest_add(&digest, data, (size_t)nbytes);
        dgnn_digest_end(&digest, out);
    }
}

void dgnn_word_system(struct dgnn_word *word, const struct dgnn_system *s, const struct dgnn_cell *cell)
{
    word->has_box = cell->has_box;
    memcpy(word->box, cell->h, sizeof(word->box));
    memcpy(word->pbc, cell->pbc, sizeof(word->pbc));
    word_digest(s->fparam, s->nfparam * (int64_t)sizeof(double), word->fparam);
    word_digest(s->charge_spin, 2 * sizeof(double), word->charge_spin);
    memcpy(word->grid, s->grid, sizeof(word->grid));
    word->replicated = s->replicated != 0;
}

void dgnn_word_whole(struct dgnn_word *word, const struct dgnn_system *s)
{
    struct dgnn_digest digest;
    size_t n = (size_t)s->natoms;
    dgnn_digest_begin(&digest);
    dgnn_digest_add(&digest, &s->natoms, sizeof(s->natoms));
    if (n) {
        dgnn_digest_add(&digest, s->coords, 3 * n * sizeof(double));
        dgnn_digest_add(&digest, s->types, n * sizeof(int32_t));
    }
    if (n && s->spins) {
        dgnn_digest_add(&digest, s->spins, 3 * n * sizeof(double));
    }
    if (n && s->ids) {
        dgnn_digest_add(&digest, s->ids, n * sizeof(int64_t));
    }
    if (n && s->aparam) {
        dgnn_digest_add(&digest, s->aparam, n * (size_t)s->naparam * sizeof(double));
    }
    dgnn_digest_end(&digest, word->whole);
}

static int word_compare(const struct dgnn_word *all, int32_t nrank, struct dgnn_error *error)
{
    for (int32_t r = 1; r < nrank; r++) {
        for (size_t f = 0; f < sizeof(word_fields) / sizeof(word_fields[0]); f++) {
            const struct word_field *field = &word_fields[f];
            if (memcmp((const char *)&all[r] + field->place, (const char *)&all[0] + field->place, field->size)) {
                return dgnn_status_set(error, DGNN_ERROR_INPUT,
                                       "%s: rank %d has another than rank 0; with a communicator it must be the same "
                                       "on all ranks",
                                       field->name, r);
            }
        }
    }
    return DGNN_OK;
}

/* Either all ranks that pass atoms give ids, or none. */
static int word_ids(const struct dgnn_word *all, int32_t nrank, int32_t *has_ids, struct dgnn_error *error)
{
    int32_t first = -1;
    for (int32_t r = 0; r < nrank; r++) {
        if (all[r].has_ids >= 0 && first >= 0 && all[r].has_ids != all[first].has_ids) {
            return dgnn_status_set(error, DGNN_ERROR_INPUT,
                                   "ids: rank %d passes %s and rank %d %s; expected all ranks or none", first,
                                   all[first].has_ids ? "ids" : "none", r, all[r].has_ids ? "ids" : "none");
        }
        first = first < 0 && all[r].has_ids >= 0 ? r : first;
    }
    *has_ids = first >= 0 && all[first].has_ids;
    return DGNN_OK;
}

static void word_summarise(const struct dgnn_word *all, int32_t nrank, int32_t me, struct dgnn_word_summary *s)
{
    int32_t first = -1;
    s->may_reuse = 1;
    for (int k = 0; k < 3; k++) {
        s->low[k] = INFINITY;
        s->high[k] = -INFINITY;
    }
    for (int32_t r = 0; r < nrank; r++) {
        const struct dgnn_word *word = &all[r];
        s->first_id += r < me ? word->natoms : 0;
        s->may_reuse &= word->may_reuse;
        s->want_atom_virial |= word->want_atom_virial;
        s->displacement = fmax(s->displacement, word->displacement);
        if (word->natoms && (first < 0 || word->first_id < all[first].first_id)) {
            first = r;
        }
        for (int k = 0; k < 3; k++) {
            s->low[k] = fmin(s->low[k], word->low[k]);
            s->high[k] = fmax(s->high[k], word->high[k]);
        }
    }
    s->first_type = first < 0 ? -1 : all[first].first_type;
    for (int k = 0; k < 3 && s->low[k] > s->high[k]; k++) {
        s->low[k] = s->high[k] = 0;
    }
}

int dgnn_word_share(const struct dgnn_word *word, struct dgnn_comm *comm, struct dgnn_word *all,
                    struct dgnn_word_summary *summary, struct dgnn_error *error)
{
    int32_t nrank = dgnn_transport_nrank(comm);
    *summary = (struct dgnn_word_summary){0};
    DGNN_TRY(dgnn_transport_allgather(comm, word, sizeof(*word), all, error));
    DGNN_TRY(word_compare(all, nrank, error));
    DGNN_TRY(word_ids(all, nrank, &summary->has_ids, error));
    word_summarise(all, nrank, dgnn_transport_rank(comm), summary);
    return DGNN_OK;
}
