/* A host in C whose ranks are threads of one process: two models in one session on each, over the host's own
 * ghosts.
 *
 *     threads RANKS MODEL MODEL SYSTEM      writes a line for each model: energy, and the forces of all atoms
 */
#include <pthread.h>

#include "slabs.h"

struct job {
    struct dgnn_model *models[2];
    const struct host_system *system;
    double reach;
    struct dgnn_comm *comm;
    int32_t rank, nrank;
    pthread_t thread;
    double energy[2];
    double *forces[2]; /* natoms x 3, of all ranks: each writes its own atoms */
    int status;
    struct dgnn_error error;
};

static int fail(const struct dgnn_error *error)
{
    fprintf(stderr, "%s: %s\n", dgnn_status_name(error->status), error->message);
    return 1;
}

static void hear(void *context, const struct dgnn_notice *notice)
{
    fprintf(stderr, "notice of rank %d, model %d: %s\n", *(const int32_t *)context, (int)notice->model,
            notice->message);
}

static void *run(void *argument)
{
    struct job *job = argument;
    struct dgnn_session *session = NULL;
    struct host_rows rows = host_distribute(job->system, job->reach, job->rank, job->nrank);
    double *forces = host_alloc(6 * rows.nall, sizeof(double));
    job->status = dgnn_session_create(job->models, 2, NULL, &session, &job->error);
    if (!job->status) {
        job->status = dgnn_set_notice(session, hear, &job->rank, &job->error);
    }
    if (!job->status) {
        job->status = host_compute(session, &rows, job->comm, job->energy, forces, &job->error);
    }
    for (int k = 0; k < 2 && !job->status; k++) {
        for (int64_t i = 0; i < rows.nlocal; i++) {
            memcpy(job->forces[k] + 3 * rows.atom[i], forces + 3 * (k * rows.nall + i), 3 * sizeof(double));
        }
    }
    dgnn_session_free(session);
    dgnn_comm_free(job->comm);
    host_rows_free(&rows);
    free(forces);
    return NULL;
}

static int run_all(struct job *first, int32_t nrank)
{
    struct job *jobs = host_alloc(nrank, sizeof(*jobs));
    struct dgnn_comm **comms = host_alloc(nrank, sizeof(*comms));
    double energy[2] = {0, 0};
    int status = dgnn_comm_create_threads(nrank, 60, comms, &first->error);
    if (status) {
        return fail(&first->error);
    }
    for (int32_t r = 0; r < nrank; r++) {
        jobs[r] = *first;
        jobs[r].rank = r;
        jobs[r].nrank = nrank;
        jobs[r].comm = comms[r];
        if (pthread_create(&jobs[r].thread, NULL, run, &jobs[r])) {
            fprintf(stderr, "no thread for rank %d\n", r);
            exit(1);
        }
    }
    for (int32_t r = 0; r < nrank; r++) {
        pthread_join(jobs[r].thread, NULL);
        energy[0] += jobs[r].energy[0];
        energy[1] += jobs[r].energy[1];
        status = status || jobs[r].status ? fail(&jobs[r].error) : 0;
    }
    for (int k = 0; k < 2 && !status; k++) {
        host_print(energy[k], first->forces[k], first->system->natoms);
    }
    free(jobs);
    free(comms);
    return status;
}

int main(int argc, char **argv)
{
    struct dgnn_load_options options = {.size = sizeof(options), .threads = 1, .skin = -1};
    struct host_system system;
    struct job job = {.system = &system};
    struct dgnn_model_info info[2] = {{.size = sizeof(info[0])}, {.size = sizeof(info[1])}};
    int32_t nrank = argc == 5 ? atoi(argv[1]) : 0;
    if (nrank < 1) {
        fprintf(stderr, "usage: threads RANKS MODEL MODEL SYSTEM\n");
        return 2;
    }
    for (int k = 0; k < 2; k++) {
        if (dgnn_model_load(argv[2 + k], &options, &job.models[k], &job.error) ||
            dgnn_model_get_info(job.models[k], &info[k], &job.error)) {
            return fail(&job.error);
        }
        fprintf(stderr, "model %d: cutoff %g Angstrom, %d types, the first is %s, %s\n", k, info[k].cutoff,
                info[k].ntypes, info[k].type_names[0],
                info[k].has_message_passing ? "passes messages" : "local");
    }
    if (info[0].is_spin || info[1].is_spin || info[0].dim_aparam || info[1].dim_aparam) {
        fprintf(stderr, "this host has no spins and no parameters of atoms\n");
        return 1;
    }
    if (host_read(argv[4], &info[0], &system)) {
        return 1;
    }
    job.reach = info[0].cutoff > info[1].cutoff ? info[0].cutoff : info[1].cutoff;
    job.forces[0] = host_alloc(3 * system.natoms, sizeof(double));
    job.forces[1] = host_alloc(3 * system.natoms, sizeof(double));
    int status = run_all(&job, nrank);
    free(job.forces[0]);
    free(job.forces[1]);
    host_free(&system);
    dgnn_model_free(job.models[0]);
    dgnn_model_free(job.models[1]);
    return status;
}
