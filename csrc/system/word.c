#include "system/word.h"

#include <math.h>
#include <string.h>

#include "base/digest.h"

struct word_field {
    const char *name; /* the caller's name for it */
    size_t place, size;
};

#define WORD_FIELD(name, member)                                                                             \
    {name, offsetof(struct dgnn_word, member), sizeof(((struct dgnn_word *)0)->member)}

static const struct word_field word_fields[] = {
    WORD_FIELD("model", model),
    WORD_FIELD("dtype of the model", dtype),
    WORD_FIELD("semantics of the model", dense),
    WORD_FIELD("skin of the model", skin),
    WORD_FIELD("nmodel", nmodel),
    WORD_FIELD("box", has_box),
    WORD_FIELD("box", box),
    WORD_FIELD("pbc", pbc),
    WORD_FIELD("fparam", fparam),
    WORD_FIELD("charge_spin", charge_spin),
    WORD_FIELD("grid", grid),
    WORD_FIELD("replicated", replicated),
    WORD_FIELD("request", request),
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
    word->request = s->request & ~DGNN_REQUEST_ALONE;
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
            if (memcmp((const char *)&all[r] + field->place, (const char *)&all[0] + field->place,
                       field->size)) {
                return dgnn_status_set(
                    error, DGNN_ERROR_INPUT,
                    "%s: rank %d has another than rank 0; with a communicator it must be the same "
                    "on all ranks",
                    field->name, r);
            }
        }
    }
    return DGNN_OK;
}

/* Either all ranks that pass atoms give ids, or none. */
static int word_ids(const struct dgnn_word *all, int32_t nrank, struct dgnn_error *error)
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
    return DGNN_OK;
}

/* What ranks take together, each the largest over the ranks. */
enum word_together {
    WORD_SAME = 0, /* a digest of all that must be the same, and its negative */
    WORD_SAME_NEGATIVE,
    WORD_IDS, /* does a rank with atoms give ids, and does one give none? */
    WORD_NO_IDS,
    WORD_FIRST, /* the negative of the lowest id; -INT64_MAX without atoms */
    WORD_NO_REUSE,
    WORD_ATOM_VIRIAL,
    WORD_DERIVATIVES,
    WORD_DISPLACEMENT, /* in order, as the next ones */
    WORD_LOW,          /* three, negative */
    WORD_HIGH = WORD_LOW + 3,
    WORD_COUNT = WORD_HIGH + 3
};

/* Integers in the order of the numbers; its own inverse. */
static int64_t word_in_order(int64_t bits)
{
    return bits >= 0 ? bits : bits ^ INT64_MAX;
}

static int64_t word_number_in_order(double number)
{
    int64_t bits;
    memcpy(&bits, &number, sizeof(bits));
    return word_in_order(bits);
}

static double word_number(int64_t ordered)
{
    double number;
    int64_t bits = word_in_order(ordered);
    memcpy(&number, &bits, sizeof(number));
    return number;
}

static void word_fill(const struct dgnn_word *word, int64_t together[WORD_COUNT])
{
    struct dgnn_digest digest;
    uint64_t same[2];
    dgnn_digest_begin(&digest);
    for (size_t f = 0; f < sizeof(word_fields) / sizeof(word_fields[0]); f++) {
        dgnn_digest_add(&digest, (const char *)word + word_fields[f].place, word_fields[f].size);
    }
    dgnn_digest_end(&digest, same);
    together[WORD_SAME] = (int64_t)(same[0] >> 1);
    together[WORD_SAME_NEGATIVE] = -together[WORD_SAME];
    together[WORD_IDS] = word->has_ids > 0;
    together[WORD_NO_IDS] = word->has_ids == 0;
    together[WORD_FIRST] = word->natoms ? -word->first_id : -INT64_MAX;
    together[WORD_NO_REUSE] = !word->may_reuse;
    together[WORD_ATOM_VIRIAL] = word->want_atom_virial;
    together[WORD_DERIVATIVES] = word->want_derivatives;
    together[WORD_DISPLACEMENT] = word_number_in_order(word->displacement);
    for (int k = 0; k < 3; k++) {
        together[WORD_LOW + k] = word_number_in_order(-word->low[k]);
        together[WORD_HIGH + k] = word_number_in_order(word->high[k]);
    }
}

static void word_summarise(const int64_t together[WORD_COUNT], struct dgnn_word_summary *s)
{
    s->has_ids = together[WORD_IDS] > 0;
    s->may_reuse = !together[WORD_NO_REUSE];
    s->want_atom_virial = together[WORD_ATOM_VIRIAL] != 0;
    s->want_derivatives = together[WORD_DERIVATIVES] != 0;
    s->displacement = word_number(together[WORD_DISPLACEMENT]);
    for (int k = 0; k < 3; k++) {
        s->low[k] = -word_number(together[WORD_LOW + k]);
        s->high[k] = word_number(together[WORD_HIGH + k]);
    }
    for (int k = 0; k < 3 && s->low[k] > s->high[k]; k++) {
        s->low[k] = s->high[k] = 0;
    }
}

/* The type of the atom with the lowest id, on the lowest rank that has it. */
static int word_first_type(const struct dgnn_word *word, int64_t lowest, struct dgnn_comm *comm,
                           int32_t *type, struct dgnn_error *error)
{
    int64_t rank = dgnn_transport_rank(comm), first = INT64_MAX;
    if (word->natoms && word->first_id == lowest) {
        first = rank << 32 | (uint32_t)(word->first_type + 1);
    }
    DGNN_TRY(dgnn_transport_reduce(comm, &first, 1, DGNN_REDUCE_MIN, error));
    *type = first == INT64_MAX ? -1 : (int32_t)(first & UINT32_MAX) - 1;
    return DGNN_OK;
}

int dgnn_word_share(const struct dgnn_word *word, struct dgnn_comm *comm, struct dgnn_word *all,
                    struct dgnn_word_summary *summary, struct dgnn_error *error)
{
    int32_t nrank = dgnn_transport_nrank(comm);
    int64_t together[WORD_COUNT];
    *summary = (struct dgnn_word_summary){0};
    word_fill(word, together);
    DGNN_TRY(dgnn_transport_reduce(comm, together, WORD_COUNT, DGNN_REDUCE_MAX, error));
    if (together[WORD_SAME] != -together[WORD_SAME_NEGATIVE] ||
        (together[WORD_IDS] && together[WORD_NO_IDS])) {
        DGNN_TRY(dgnn_transport_allgather(comm, word, sizeof(*word), all, error)); /* to say who and what */
        DGNN_TRY(word_compare(all, nrank, error));
        DGNN_TRY(word_ids(all, nrank, error));
    }
    word_summarise(together, summary);
    if (!summary->has_ids) {
        DGNN_TRY(dgnn_transport_scan(comm, word->natoms, &summary->first_id, error));
    }
    return word_first_type(word, -together[WORD_FIRST], comm, &summary->first_type, error);
}
