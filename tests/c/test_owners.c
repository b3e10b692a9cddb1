/* dgnn_direct_from_owners: plans by hand, what is refused on all ranks, memory that ends, lists of random
 * owners. */
#include "check.h"
#include "random.h"
#include "ranks.h"

#include "base/alloc.h"
#include "comm/plan.h"

enum { RANKS_MAX = 5, GHOSTS_MAX = 64 };

struct owners_job {
    struct {
        int64_t nlocal, nghost;
        int32_t rank[GHOSTS_MAX], row[GHOSTS_MAX];
    } given[RANKS_MAX];
    struct dgnn_ghost_plan *plan[RANKS_MAX];
    int32_t status[RANKS_MAX];
    char message[RANKS_MAX][DGNN_MESSAGE_LENGTH];
};

static void owners_body(struct ranks_rank *rank)
{
    struct owners_job *job = rank->data;
    int32_t r = rank->rank;
    struct dgnn_error error = {0};
    struct dgnn_owners owners = {.size = sizeof(owners),
                                 .nlocal = job->given[r].nlocal,
                                 .nall = job->given[r].nlocal + job->given[r].nghost,
                                 .rank = job->given[r].rank,
                                 .row = job->given[r].row};
    job->plan[r] = NULL;
    job->status[r] = dgnn_direct_from_owners(&owners, rank->comm, &job->plan[r], &error);
    snprintf(job->message[r], sizeof(job->message[r]), "%s", error.message);
}

static void job_free(struct owners_job *job)
{
    for (int r = 0; r < RANKS_MAX; r++) {
        dgnn_ghost_plan_free(job->plan[r]);
        job->plan[r] = NULL;
    }
}

/* Is it a plan, with one row for each remote atom, that tells both ends the same? */
static int job_good(const struct owners_job *job, int32_t nrank)
{
    int good = 1;
    for (int32_t r = 0; r < nrank; r++) {
        const struct dgnn_ghost_plan *p = job->plan[r];
        const struct dgnn_direct *d = p->direct;
        int64_t nlocal = job->given[r].nlocal, nghost = job->given[r].nghost, k = 0;
        for (int64_t i = 0; i < nlocal + nghost; i++) {
            good &= i >= nlocal || p->mapping[i] == i;
            good &= p->mapping[p->mapping[i]] == p->mapping[i];
        }
        for (int64_t a = 0; a < nghost; a++) {
            if (job->given[r].rank[a] == r) {
                good &= p->mapping[nlocal + a] == job->given[r].row[a];
                continue;
            }
            for (int64_t b = 0; b < nghost; b++) {
                int same = job->given[r].rank[a] == job->given[r].rank[b] &&
                           job->given[r].row[a] == job->given[r].row[b];
                good &= (p->mapping[nlocal + a] == p->mapping[nlocal + b]) == same;
            }
        }
        for (int32_t n = 0; n < d->nneighbour; n++) {
            const struct dgnn_direct *other = job->plan[d->rank[n]]->direct;
            int32_t back = 0;
            while (other->rank[back] != r) {
                back++;
            }
            int64_t sent = other->send_first[back];
            good &= d->rank[n] != r &&
                    other->send_first[back + 1] - sent == d->recv_first[n + 1] - d->recv_first[n];
            for (; k < d->recv_first[n + 1]; k++, sent++) {
                int64_t ghost = d->recv_row[k] - nlocal;
                good &= p->mapping[d->recv_row[k]] == d->recv_row[k] &&
                        job->given[r].rank[ghost] == d->rank[n] &&
                        job->given[r].row[ghost] == other->send_row[sent];
            }
        }
        good &= k == p->nremote && p->size == sizeof(*p);
    }
    return good;
}

static void test_random(void)
{
    uint64_t seed = 3;
    for (int round = 0; round < 40; round++) {
        struct owners_job job = {0};
        int32_t nrank = 1 + round % RANKS_MAX;
        for (int32_t r = 0; r < nrank; r++) {
            job.given[r].nlocal = 1 + random_below(&seed, 9);
        }
        for (int32_t r = 0; r < nrank; r++) {
            job.given[r].nghost = random_below(&seed, GHOSTS_MAX);
            for (int64_t k = 0; k < job.given[r].nghost; k++) {
                int32_t owner = (int32_t)random_below(&seed, nrank);
                job.given[r].rank[k] = owner;
                job.given[r].row[k] = (int32_t)random_below(&seed, job.given[owner].nlocal);
            }
        }
        ranks_run(nrank, 30, owners_body, &job);
        for (int32_t r = 0; r < nrank; r++) {
            CHECK_TEXT(job.status[r], DGNN_OK, job.message[r], "", "random");
        }
        CHECK(job_good(&job, nrank));
        job_free(&job);
    }
}

static void make_three(struct owners_job *job)
{
    memset(job, 0, sizeof(*job));
    for (int32_t r = 0; r < 3; r++) {
        job->given[r].nlocal = 4;
        job->given[r].nghost = 3;
        for (int32_t k = 0; k < 3; k++) {
            job->given[r].rank[k] = k;
            job->given[r].row[k] = k + 1;
        }
    }
}

static void test_refused(void)
{
    static const struct {
        int32_t rank, row;
        int64_t nlocal;
        const char *text;
    } wrong[] = {
        {3, 0, 4,
         "rank 1: owners: ghost row 4 belongs to row 0 of rank 3; expected a row of a rank in [0, 3)"},
        {-1, 0, 4, "rank 1: owners: ghost row 4 belongs to row 0 of rank -1"},
        {0, -2, 4, "rank 1: owners: ghost row 4 belongs to row -2 of rank 0"},
        {0, 4, 4, "rank 0: owners: rank 1 has a ghost of row 4 of this rank, which owns 4 rows"},
        {1, 4, 4, "rank 1: owners: ghost row 4 belongs to row 4 of rank 1, which is this rank"},
        {0, 0, -1, "rank 1: owners: -1 owned of 2 rows"},
    };
    for (size_t k = 0; k < sizeof(wrong) / sizeof(wrong[0]); k++) {
        struct owners_job job;
        make_three(&job);
        job.given[1].rank[0] = wrong[k].rank;
        job.given[1].row[0] = wrong[k].row;
        job.given[1].nlocal = wrong[k].nlocal;
        ranks_run(3, 30, owners_body, &job);
        for (int32_t r = 0; r < 3; r++) {
            CHECK_TEXT(job.status[r], DGNN_ERROR_INPUT, job.message[r], wrong[k].text, "refused");
            CHECK(!job.plan[r]);
        }
        job_free(&job);
    }
    struct dgnn_error error;
    struct dgnn_ghost_plan *plan = NULL;
    struct dgnn_owners owners = {.size = sizeof(owners) - 1};
    CHECK_STATUS(dgnn_direct_from_owners(&owners, NULL, &plan, &error), DGNN_ERROR_INPUT,
                 "owners: its size is");
    CHECK_STATUS(dgnn_direct_from_owners(NULL, NULL, &plan, &error), DGNN_ERROR_INPUT, "an argument is NULL");
    CHECK_STATUS(dgnn_direct_from_owners(&owners, NULL, NULL, NULL), DGNN_ERROR_INPUT, "");
    owners.size++;
    CHECK_STATUS(dgnn_direct_from_owners(&owners, NULL, &plan, NULL), DGNN_OK, ""); /* nothing at all */
    CHECK(plan && plan->nremote == 0 && plan->direct->nneighbour == 0);
    dgnn_ghost_plan_free(plan);
    owners.size += 16; /* what a later header has is left alone */
    CHECK_STATUS(dgnn_direct_from_owners(&owners, NULL, &plan, NULL), DGNN_OK, "");
    dgnn_ghost_plan_free(plan);
    dgnn_ghost_plan_free(NULL);
}

/* The nth allocation from now fails, of whatever rank: all ranks hear of it, none waits, nothing is leaked.
 */
static void test_memory(void)
{
    int failed = 0;
    for (int64_t at = 1; at < 60; at++) {
        struct owners_job job;
        int64_t before = dgnn_alloc_live();
        make_three(&job);
        struct dgnn_comm *comm[3];
        struct dgnn_error error;
        struct ranks_rank rank[3];
        CHECK_STATUS(dgnn_comm_create_threads(3, 30, comm, &error), DGNN_OK, "");
        dgnn_alloc_fail_at(at, 0);
        for (int32_t r = 0; r < 3; r++) {
            rank[r] = (struct ranks_rank){r, 3, comm[r], &job, owners_body, 0};
            pthread_create(&rank[r].thread, NULL, ranks_thread, &rank[r]);
        }
        for (int32_t r = 0; r < 3; r++) {
            pthread_join(rank[r].thread, NULL);
            dgnn_comm_free(comm[r]);
        }
        dgnn_alloc_fail_at(0, 0);
        CHECK(job.status[0] == job.status[1] && job.status[0] == job.status[2]);
        CHECK(job.status[0] == DGNN_OK || job.status[0] == DGNN_ERROR_MEMORY);
        failed += job.status[0] != DGNN_OK;
        job_free(&job);
        CHECK(dgnn_alloc_live() == before);
    }
    CHECK(failed >= 30); /* 10 allocations of each rank and that of what it sends */
}

int main(void)
{
    test_random();
    test_refused();
    test_memory();
    return check_report();
}
