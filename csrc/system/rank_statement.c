#include "system/rank_statement.h"

#include <math.h>
#include <string.h>

#include "base/digest.h"

struct rank_statement_field {
    const char *name; /* the caller's name for it */
    size_t place, size;
};

#define RANK_STATEMENT_FIELD(name, member)                                                                   \
    {name, offsetof(struct dgnn_rank_statement, member), sizeof(((struct dgnn_rank_statement *)0)->member)}

static const struct rank_statement_field rank_statement_fields[] = {
    RANK_STATEMENT_FIELD("model", model),
    RANK_STATEMENT_FIELD("dtype of the model", dtype),
    RANK_STATEMENT_FIELD("semantics of the model", dense),
    RANK_STATEMENT_FIELD("skin of the model", skin),
    RANK_STATEMENT_FIELD("nmodel", nmodel),
    RANK_STATEMENT_FIELD("box", has_box),
    RANK_STATEMENT_FIELD("box", box),
    RANK_STATEMENT_FIELD("pbc", pbc),
    RANK_STATEMENT_FIELD("fparam", fparam),
    RANK_STATEMENT_FIELD("charge_spin", charge_spin),
    RANK_STATEMENT_FIELD("grid", grid),
    RANK_STATEMENT_FIELD("replicated", replicated),
    RANK_STATEMENT_FIELD("request", request),
    RANK_STATEMENT_FIELD("kind of plan (border, direct, mapping or none)", plan_kind),
    RANK_STATEMENT_FIELD("ghost_forces", add_ghost_forces),
    RANK_STATEMENT_FIELD("same_list", same_list),
    RANK_STATEMENT_FIELD("whole system (replicated: coords, types, spins, ids, aparam)", whole),
};

static void rank_statement_digest(const void *data, int64_t nbytes, uint64_t out[2])
{
    struct dgnn_digest digest;
    if (data) {
        dgnn_digest_begin(&digest);
        dgnn_digest_add(&digest, &nbytes, sizeof(nbytes));
        dgnn_digest_add(&digest, data, (size_t)nbytes);
        dgnn_digest_end(&digest, out);
    }
}

void dgnn_rank_statement_system(struct dgnn_rank_statement *statement, const struct dgnn_system *s,
                                const struct dgnn_cell *cell)
{
    statement->has_box = cell->has_box;
    memcpy(statement->box, cell->h, sizeof(statement->box));
    memcpy(statement->pbc, cell->pbc, sizeof(statement->pbc));
    rank_statement_digest(s->fparam, s->nfparam * (int64_t)sizeof(double), statement->fparam);
    rank_statement_digest(s->charge_spin, 2 * sizeof(double), statement->charge_spin);
    memcpy(statement->grid, s->grid, sizeof(statement->grid));
    statement->replicated = s->replicated != 0;
    statement->request = s->request & ~DGNN_REQUEST_ALONE;
}

void dgnn_rank_statement_whole(struct dgnn_rank_statement *statement, const struct dgnn_system *s)
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
    dgnn_digest_end(&digest, statement->whole);
}

static int rank_statement_compare(const struct dgnn_rank_statement *all, int32_t nrank,
                                  struct dgnn_error *error)
{
    for (int32_t r = 1; r < nrank; r++) {
        for (size_t f = 0; f < sizeof(rank_statement_fields) / sizeof(rank_statement_fields[0]); f++) {
            const struct rank_statement_field *field = &rank_statement_fields[f];
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
static int rank_statement_ids(const struct dgnn_rank_statement *all, int32_t nrank, struct dgnn_error *error)
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
enum rank_statement_together {
    RANK_STATEMENT_SAME = 0, /* a digest of all that must be the same, and its negative */
    RANK_STATEMENT_SAME_NEGATIVE,
    RANK_STATEMENT_IDS, /* does a rank with atoms give ids, and does one give none? */
    RANK_STATEMENT_NO_IDS,
    RANK_STATEMENT_FIRST, /* the negative of the lowest id; -INT64_MAX without atoms */
    RANK_STATEMENT_NO_REUSE,
    RANK_STATEMENT_ATOM_VIRIAL,
    RANK_STATEMENT_DERIVATIVES,
    RANK_STATEMENT_DISPLACEMENT, /* in order, as the next ones */
    RANK_STATEMENT_LOW,          /* three, negative */
    RANK_STATEMENT_HIGH = RANK_STATEMENT_LOW + 3,
    RANK_STATEMENT_COUNT = RANK_STATEMENT_HIGH + 3
};

/* Integers in the order of the numbers; its own inverse. */
static int64_t rank_statement_in_order(int64_t bits)
{
    return bits >= 0 ? bits : bits ^ INT64_MAX;
}

static int64_t rank_statement_number_in_order(double number)
{
    int64_t bits;
    memcpy(&bits, &number, sizeof(bits));
    return rank_statement_in_order(bits);
}

static double rank_statement_number(int64_t ordered)
{
    double number;
    int64_t bits = rank_statement_in_order(ordered);
    memcpy(&number, &bits, sizeof(number));
    return number;
}

static void rank_statement_fill(const struct dgnn_rank_statement *statement,
                                int64_t together[RANK_STATEMENT_COUNT])
{
    struct dgnn_digest digest;
    uint64_t same[2];
    dgnn_digest_begin(&digest);
    for (size_t f = 0; f < sizeof(rank_statement_fields) / sizeof(rank_statement_fields[0]); f++) {
        dgnn_digest_add(&digest, (const char *)statement + rank_statement_fields[f].place,
                        rank_statement_fields[f].size);
    }
    dgnn_digest_end(&digest, same);
    together[RANK_STATEMENT_SAME] = (int64_t)(same[0] >> 1);
    together[RANK_STATEMENT_SAME_NEGATIVE] = -together[RANK_STATEMENT_SAME];
    together[RANK_STATEMENT_IDS] = statement->has_ids > 0;
    together[RANK_STATEMENT_NO_IDS] = statement->has_ids == 0;
    together[RANK_STATEMENT_FIRST] = statement->natoms ? -statement->first_id : -INT64_MAX;
    together[RANK_STATEMENT_NO_REUSE] = !statement->may_reuse;
    together[RANK_STATEMENT_ATOM_VIRIAL] = statement->want_atom_virial;
    together[RANK_STATEMENT_DERIVATIVES] = statement->want_derivatives;
    together[RANK_STATEMENT_DISPLACEMENT] = rank_statement_number_in_order(statement->displacement);
    for (int k = 0; k < 3; k++) {
        together[RANK_STATEMENT_LOW + k] = rank_statement_number_in_order(-statement->low[k]);
        together[RANK_STATEMENT_HIGH + k] = rank_statement_number_in_order(statement->high[k]);
    }
}

static void rank_statement_summarise(const int64_t together[RANK_STATEMENT_COUNT],
                                     struct dgnn_rank_statement_summary *s)
{
    s->has_ids = together[RANK_STATEMENT_IDS] > 0;
    s->may_reuse = !together[RANK_STATEMENT_NO_REUSE];
    s->want_atom_virial = together[RANK_STATEMENT_ATOM_VIRIAL] != 0;
    s->want_derivatives = together[RANK_STATEMENT_DERIVATIVES] != 0;
    s->displacement = rank_statement_number(together[RANK_STATEMENT_DISPLACEMENT]);
    for (int k = 0; k < 3; k++) {
        s->low[k] = -rank_statement_number(together[RANK_STATEMENT_LOW + k]);
        s->high[k] = rank_statement_number(together[RANK_STATEMENT_HIGH + k]);
    }
    for (int k = 0; k < 3 && s->low[k] > s->high[k]; k++) {
        s->low[k] = s->high[k] = 0;
    }
}

/* The type of the atom with the lowest id, on the lowest rank that has it. */
static int rank_statement_first_type(const struct dgnn_rank_statement *statement, int64_t lowest,
                                     struct dgnn_comm *comm, int32_t *type, struct dgnn_error *error)
{
    int64_t rank = dgnn_transport_rank(comm), first = INT64_MAX;
    if (statement->natoms && statement->first_id == lowest) {
        first = rank << 32 | (uint32_t)(statement->first_type + 1);
    }
    DGNN_TRY(dgnn_transport_reduce(comm, &first, 1, DGNN_REDUCE_MIN, error));
    *type = first == INT64_MAX ? -1 : (int32_t)(first & UINT32_MAX) - 1;
    return DGNN_OK;
}

int dgnn_rank_statement_share(const struct dgnn_rank_statement *statement, struct dgnn_comm *comm,
                              struct dgnn_rank_statement *all, struct dgnn_rank_statement_summary *summary,
                              struct dgnn_error *error)
{
    int32_t nrank = dgnn_transport_nrank(comm);
    int64_t together[RANK_STATEMENT_COUNT];
    *summary = (struct dgnn_rank_statement_summary){0};
    rank_statement_fill(statement, together);
    DGNN_TRY(dgnn_transport_reduce(comm, together, RANK_STATEMENT_COUNT, DGNN_REDUCE_MAX, error));
    if (together[RANK_STATEMENT_SAME] != -together[RANK_STATEMENT_SAME_NEGATIVE] ||
        (together[RANK_STATEMENT_IDS] && together[RANK_STATEMENT_NO_IDS])) {
        DGNN_TRY(dgnn_transport_allgather(comm, statement, sizeof(*statement), all,
                                          error)); /* to say who and what */
        DGNN_TRY(rank_statement_compare(all, nrank, error));
        DGNN_TRY(rank_statement_ids(all, nrank, error));
    }
    rank_statement_summarise(together, summary);
    if (!summary->has_ids) {
        DGNN_TRY(dgnn_transport_scan(comm, statement->natoms, &summary->first_id, error));
    }
    return rank_statement_first_type(statement, -together[RANK_STATEMENT_FIRST], comm, &summary->first_type,
                                     error);
}
