/* Sessions of several models on a host's rows, in the one-rank form and on two bricks with a border: each
 * model has the bits that it gives alone. */
#include "brick.h"
#include "session_case.h"

struct rows_case {
    struct dgnn_model *model[NRANK][MODELS_MAX];
    int32_t n, with_mapping;
    struct brick_world *world;
    int32_t status[NRANK], wrong[NRANK];
    char message[NRANK][DGNN_MESSAGE_LENGTH];
};

enum { ROWS_MAX = 2048 };

/* What a model gives for a host's rows, ghosts' forces among them. */
struct rows_answer {
    double energy, virial[9], forces[3 * ROWS_MAX], atom_energy[ROWS_MAX], atom_virial[9 * ROWS_MAX];
};

static struct dgnn_result rows_result(struct rows_answer *answer)
{
    memset(answer, 0, sizeof(*answer));
    return (struct dgnn_result){.size = sizeof(struct dgnn_result),
                                .forces = answer->forces,
                                .atom_energy = answer->atom_energy,
                                .atom_virial = answer->atom_virial};
}

static void rows_totals(const struct dgnn_result *result, struct rows_answer *answer)
{
    answer->energy = result->energy;
    memcpy(answer->virial, result->virial, sizeof(answer->virial));
}

/* Bricks of a host, at rest and after a small move of the same list: the session's models, and each alone. */
static void rows_body(struct ranks_rank *rank)
{
    struct rows_case *c = rank->data;
    int32_t r = rank->rank, row_types[ROWS_MAX];
    const struct brick_rank *b = &c->world->rank[r];
    struct rows_answer *all = calloc(MODELS_MAX + 1, sizeof(*all)), *alone = all + MODELS_MAX;
    double (*x)[3] = calloc(ROWS_MAX, sizeof(*x));
    int64_t *mapping = calloc(ROWS_MAX, sizeof(*mapping));
    struct dgnn_session *session = NULL, *one[MODELS_MAX] = {NULL};
    struct dgnn_error error = {0};
    int status = b->nnode > ROWS_MAX;
    status = status ? status : dgnn_session_create(c->model[r], c->n, NULL, &session, &error);
    for (int32_t k = 0; k < c->n && !status; k++) {
        status = dgnn_session_create(&c->model[r][k], 1, NULL, &one[k], &error);
    }
    for (int step = 0; step < 2 && !status; step++) {
        struct dgnn_result results[MODELS_MAX];
        for (int64_t i = 0; i < b->nnode; i++) {
            row_types[i] = types[b->id[i]];
            mapping[i] = c->world->owner_row[b->id[i]];
            for (int d = 0; d < 3; d++) {
                x[i][d] = b->x[i][d] + step * 0.02 * sin((double)(3 * b->id[i] + d));
            }
        }
        struct dgnn_ghosted g = {.size = sizeof(g),
                                 .nlocal = b->nowned,
                                 .nall = b->nnode,
                                 .coords = x[0],
                                 .types = row_types,
                                 .border = c->with_mapping ? NULL : &b->border,
                                 .mapping = c->with_mapping ? mapping : NULL,
                                 .same_list = step,
                                 .add_ghost_forces = 1};
        for (int32_t k = 0; k < c->n; k++) {
            results[k] = rows_result(&all[k]);
        }
        status = dgnn_session_compute_ghosted(session, &g, rank->comm, results, &error);
        for (int32_t k = 0; k < c->n && !status; k++) {
            struct dgnn_result own = rows_result(alone);
            status = dgnn_session_compute_ghosted(one[k], &g, rank->comm, &own, &error);
            rows_totals(&results[k], &all[k]);
            rows_totals(&own, alone);
            c->wrong[r] += !status && (!same_numbers((const double *)&all[k], (const double *)alone,
                                                     sizeof(*alone) / sizeof(double)) ||
                                       fabs(alone->forces[0]) < 1e-9);
        }
    }
    c->status[r] = status;
    snprintf(c->message[r], sizeof(c->message[r]), "%s", error.message);
    dgnn_session_free(session);
    for (int32_t k = 0; k < c->n; k++) {
        dgnn_session_free(one[k]);
    }
    free(all), free(x), free(mapping);
}

/* nrank 1 is the one-rank form, with a mapping. */
static void test_rows(const struct committee *committee, int32_t nrank)
{
    static struct rows_case c;
    const struct brick_grid grid = {.ranks = {nrank, 1, 1},
                                    .box = {box[0] + 4, box[4] + 4, box[8] + 4},
                                    .periodic = {1, 1, 1},
                                    .cutoff = 5.5};
    double inside[NATOMS][3];
    memset(&c, 0, sizeof(c));
    for (int i = 0; i < 3 * NATOMS; i++) {
        inside[i / 3][i % 3] = coords[0][i] + 2;
    }
    c.with_mapping = nrank == 1;
    c.world = brick_create(&grid, NATOMS, (const double (*)[3])inside);
    for (int32_t r = 0; r < nrank; r++) {
        c.n = load_all(committee, c.model[r]);
    }
    ranks_run(nrank, 60, rows_body, &c);
    for (int32_t r = 0; r < nrank; r++) {
        CHECK(!c.status[r] && !c.wrong[r]);
        if (c.status[r] || c.wrong[r]) {
            fprintf(stderr, "    rank %d of %d, %s: %d wrong; %s\n", r, nrank, committee->member[0].name,
                    c.wrong[r], c.message[r]);
        }
        free_all(c.model[r], c.n);
    }
    brick_free(c.world);
}

int main(void)
{
    make_system();
    for (size_t k = 2; k < sizeof(committees) / sizeof(committees[0]); k++) { /* those that differ most */
        test_rows(&committees[k], 1);
        test_rows(&committees[k], 2);
    }
    return check_report();
}
