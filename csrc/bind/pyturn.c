/* One call at a time for each model, for Python's threads: the core says BUSY to a second one, and here that one waits. */
#include "bind/state.h"

#include <unistd.h>

int dgnn_pyturn_setup(struct dgnn_pyturn *turn)
{
    *turn = (struct dgnn_pyturn){.lock = PyThread_allocate_lock(), .process = (long)getpid()};
    if (!turn->lock) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

void dgnn_pyturn_free(struct dgnn_pyturn *turn)
{
    if (turn->lock) {
        PyThread_free_lock(turn->lock);
        turn->lock = NULL;
    }
}

/* A child of fork has a copy of a call that was under way, and nobody who ends it. */
static int pyturn_check_process(const struct dgnn_state *state, struct dgnn_pyturn *turn)
{
    long process = (long)getpid();
    if (turn->process != process && turn->ncall) {
        PyErr_SetString(state->busy_error, "the model was computing in another thread when this process was forked; load "
                                           "it again here");
        return -1;
    }
    turn->process = process;
    return 0;
}

/* With the GIL held at both ends only: while this thread waits and while the core computes, others go on. No code of
 * Python's runs between taking the lock and giving it back, so that a call inside another one's arguments can't wait for
 * itself. */
static PyLockStatus pyturn_try(struct dgnn_pyturn *turn, int may_wait, const struct dgnn_pyturn_work *work, int *status)
{
    PyLockStatus taken;
    Py_BEGIN_ALLOW_THREADS
    taken = PyThread_acquire_lock_timed(turn->lock, may_wait ? -1 : 0, may_wait);
    if (taken == PY_LOCK_ACQUIRED) {
        *status = work->run(work->of);
        PyThread_release_lock(turn->lock);
    }
    Py_END_ALLOW_THREADS
    return taken;
}

int dgnn_pyturn_run(const struct dgnn_state *state, struct dgnn_pyturn *turn, int may_wait,
                    const struct dgnn_pyturn_work *work, int *status)
{
    PyLockStatus taken = PY_LOCK_INTR;
    if (pyturn_check_process(state, turn)) {
        return -1;
    }
    turn->ncall++;
    while (taken == PY_LOCK_INTR) {
        taken = pyturn_try(turn, may_wait, work, status);
        if (taken == PY_LOCK_INTR && PyErr_CheckSignals()) {
            turn->ncall--;
            return -1;
        }
    }
    turn->ncall--;
    if (taken != PY_LOCK_ACQUIRED) {
        PyErr_SetString(state->busy_error, "the model is computing in another thread");
        return -1;
    }
    return 0;
}
