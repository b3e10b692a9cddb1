/* The type Model: a struct dgnn_model for Python. Arguments arrive in the order of the keywords;
 * dgnn/model.py has the defaults, frames and symbols. */
#include "bind/state.h"

struct pymodel {
    PyObject_HEAD struct dgnn_model *model; /* NULL once closed */
    int in_use;                             /* calls under way; changed only with the GIL held */
};

void dgnn_pymodel_call_end(struct dgnn_pymodel_call *call)
{
    while (call->nheld > 0) {
        Py_DECREF(call->held[--call->nheld]);
    }
}

/* Takes over the reference; NULL passes through. */
static PyObject *pymodel_hold(struct dgnn_pymodel_call *call, PyObject *object)
{
    if (object) {
        call->held[call->nheld++] = object;
    }
    return object;
}

/* value as a checked array that lives until the end of the call; its data (NULL for None) goes to *field. */
static int pymodel_take(struct dgnn_pymodel_call *call, PyObject *value, const struct dgnn_pyarray_want *want,
                        void *field, PyObject **array)
{
    PyObject *taken = pymodel_hold(call, dgnn_pyarray_take(call->state, value, want));
    if (!taken) {
        return -1;
    }
    const void *address = dgnn_pyarray_data(taken);
    memcpy(field, &address, sizeof address); /* field: a pointer of any type */
    if (array) {
        *array = taken;
    }
    return 0;
}

#define PYMODEL_TAKE(call, value, field, array, ...)                                                         \
    pymodel_take(call, value, &(struct dgnn_pyarray_want){__VA_ARGS__}, &(field), array)

PyObject *dgnn_pymodel_wrap(PyTypeObject *type, struct dgnn_model *model)
{
    struct pymodel *self = (struct pymodel *)PyType_GenericAlloc(type, 0);
    if (!self) {
        dgnn_model_free(model);
        return NULL;
    }
    self->model = model;
    dgnn_model_set_stop(model, dgnn_pysignal_wanted, NULL, NULL); /* cannot fail: nobody else has it yet */
    return (PyObject *)self;
}

static int pymodel_begin(struct pymodel *self, const struct dgnn_state *state)
{
    if (!self->model) {
        dgnn_pyerror_input(state, "this model was closed");
        return -1;
    }
    self->in_use++;
    return 0;
}

struct dgnn_model *dgnn_pymodel_borrow(const struct dgnn_state *state, PyObject *value)
{
    if (!PyObject_TypeCheck(value, state->model_type)) {
        dgnn_pyerror_found(PyExc_TypeError, "expected a dgnn._core.Model", value);
        return NULL;
    }
    struct pymodel *self = (struct pymodel *)value;
    return pymodel_begin(self, state) ? NULL : self->model;
}

void dgnn_pymodel_give_back(PyObject *value)
{
    ((struct pymodel *)value)->in_use--;
}

/* ------------------------------------------------------------------ compute */

int dgnn_pymodel_parse(PyObject *arguments, PyObject *keywords, struct dgnn_pymodel_arguments *in)
{
    static char *names[] = {"coords", "types",       "box",     "pbc",         "spins", "fparam",
                            "aparam", "charge_spin", "ids",     "grid",        "comm",  "replicated",
                            "atomic", "profile",     "request", "derivatives", NULL};
    return PyArg_ParseTupleAndKeywords(
               arguments, keywords, "OOO(iii)OOOOO(iii)Opp|pip:compute", names, &in->coords, &in->types,
               &in->box, &in->pbc[0], &in->pbc[1], &in->pbc[2], &in->spins, &in->fparam, &in->aparam,
               &in->charge_spin, &in->ids, &in->grid[0], &in->grid[1], &in->grid[2], &in->comm,
               &in->replicated, &in->atomic, &in->profile, &in->request, &in->derivatives)
               ? 0
               : -1;
}

int dgnn_pymodel_take(struct dgnn_pymodel_call *call, const struct dgnn_pymodel_arguments *in,
                      struct dgnn_system *system)
{
    PyObject *coords, *fparam, *aparam;
    *system =
        (struct dgnn_system){.size = sizeof *system, .replicated = in->replicated, .request = in->request};
    for (int axis = 0; axis < 3; axis++) {
        system->pbc[axis] = in->pbc[axis];
        system->grid[axis] = in->grid[axis];
    }
    if (PYMODEL_TAKE(call, in->coords, system->coords, &coords, "coords", 'd', 2, {-1, 3}, "(natoms, 3)")) {
        return -1;
    }
    Py_ssize_t n = dgnn_pyarray_length(coords, 0);
    if (PYMODEL_TAKE(call, in->types, system->types, NULL, "types", 'i', 1, {n}, "(natoms,)") ||
        PYMODEL_TAKE(call, in->box, system->box, NULL, "box", 'd', 2, {3, 3},
                     "three lattice vectors as rows") ||
        PYMODEL_TAKE(call, in->spins, system->spins, NULL, "spins", 'd', 2, {n, 3}, "(natoms, 3)") ||
        PYMODEL_TAKE(call, in->fparam, system->fparam, &fparam, "fparam", 'd', 1, {-1}, "(dim_fparam,)") ||
        PYMODEL_TAKE(call, in->aparam, system->aparam, &aparam, "aparam", 'd', 2, {n, -1},
                     "(natoms, dim_aparam)") ||
        PYMODEL_TAKE(call, in->charge_spin, system->charge_spin, NULL, "charge_spin", 'd', 1, {2},
                     "charge and spin") ||
        PYMODEL_TAKE(call, in->ids, system->ids, NULL, "ids", 'l', 1, {n}, "(natoms,)")) {
        return -1;
    }
    system->natoms = n;
    system->nfparam = dgnn_pyarray_length(fparam, 0);
    system->naparam = dgnn_pyarray_length(aparam, 1);
    return 0;
}

/* The core's call for a system or for a host's rows (the other is NULL). */
struct pymodel_evaluation {
    const struct dgnn_system *system;
    const struct dgnn_ghosted *ghosted;
    struct dgnn_comm *comm;
    struct dgnn_result *result;
    struct dgnn_error error;
};

/* -1 with a Python error, which is that of all ranks. Other threads of Python's go on meanwhile, in calls of
 * this model too. */
static int pymodel_evaluate(struct pymodel *self, const struct dgnn_state *state,
                            struct pymodel_evaluation *e)
{
    int status;
    Py_BEGIN_ALLOW_THREADS
    status = e->system ? dgnn_model_compute(self->model, e->system, e->comm, e->result, &e->error)
                       : dgnn_model_compute_ghosted(self->model, e->ghosted, e->comm, e->result, &e->error);
    Py_END_ALLOW_THREADS
    if (status) {
        dgnn_pyerror_raise(state, &e->error);
        return -1;
    }
    return 0;
}

PyObject *dgnn_pymodel_refuse(const struct dgnn_state *state, PyObject *keywords, const char *operation)
{
    PyObject *type, *value, *traceback;
    struct dgnn_comm *comm = NULL;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *given = keywords ? PyDict_GetItemString(keywords, "comm") : NULL;
    int held = given && PyObject_TypeCheck(given, state->comm_type) && !dgnn_pycomm_hold(state, given, &comm);
    PyErr_Clear();
    PyErr_Restore(type, value, traceback);
    if (held) {
        dgnn_pyerror_agree(state, comm, operation);
        dgnn_pycomm_release(given);
    }
    return NULL;
}

static PyObject *pymodel_compute_call(struct pymodel *self, struct dgnn_pymodel_call *call,
                                      const struct dgnn_pymodel_arguments *in, struct dgnn_comm *comm)
{
    struct dgnn_system system;
    struct dgnn_result result;
    struct pymodel_evaluation evaluation = {.system = &system, .comm = comm, .result = &result};
    PyObject *dict = NULL;
    if (dgnn_pymodel_take(call, in, &system) ||
        !(dict = dgnn_pyresult_new(&(struct dgnn_pyresult_shape){self->model, system.natoms, system.natoms,
                                                                 system.spins != NULL, in->atomic,
                                                                 in->request, in->derivatives},
                                   &result))) {
        dgnn_pyerror_agree(call->state, comm, "compute");
        return NULL;
    }
    struct dgnn_profile profile = {.size = sizeof profile};
    result.profile = in->profile ? &profile : NULL;
    if (pymodel_evaluate(self, call->state, &evaluation) || dgnn_pyresult_finish(dict, &result)) {
        Py_CLEAR(dict);
    }
    return dict;
}

static PyObject *pymodel_compute(PyObject *object, PyObject *arguments, PyObject *keywords)
{
    struct pymodel *self = (struct pymodel *)object;
    struct dgnn_pymodel_call call = {.state = dgnn_module_state_of(object)};
    struct dgnn_pymodel_arguments in = {0};
    struct dgnn_comm *comm;
    if (dgnn_pymodel_parse(arguments, keywords, &in)) {
        return dgnn_pymodel_refuse(call.state, keywords, "compute");
    }
    if (dgnn_pycomm_hold(call.state, in.comm, &comm)) {
        return NULL;
    }
    PyObject *dict = NULL;
    if (pymodel_begin(self, call.state)) {
        dgnn_pyerror_agree(call.state, comm, "compute");
    } else {
        dict = pymodel_compute_call(self, &call, &in, comm);
        self->in_use--;
    }
    dgnn_pycomm_release(in.comm);
    dgnn_pymodel_call_end(&call);
    return dict;
}

/* ------------------------------------------------------------------ compute_ghosted */

struct pymodel_ghosted_arguments {
    PyObject *coords, *types, *spins, *fparam, *aparam, *charge_spin, *border, *direct, *mapping, *neighbours,
        *comm;
    Py_ssize_t nlocal;
    int add_ghost_forces, same_list, atomic, request, derivatives;
};

static int pymodel_ghosted_parse(PyObject *arguments, PyObject *keywords,
                                 struct pymodel_ghosted_arguments *in)
{
    static char *names[] = {"coords",      "types",  "nlocal", "spins",   "fparam",      "aparam",
                            "charge_spin", "border", "direct", "mapping", "neighbours",  "add_ghost_forces",
                            "same_list",   "atomic", "comm",   "request", "derivatives", NULL};
    return PyArg_ParseTupleAndKeywords(arguments, keywords, "OOnOOOOOOOOpppO|ip:compute_ghosted", names,
                                       &in->coords, &in->types, &in->nlocal, &in->spins, &in->fparam,
                                       &in->aparam, &in->charge_spin, &in->border, &in->direct, &in->mapping,
                                       &in->neighbours, &in->add_ghost_forces, &in->same_list, &in->atomic,
                                       &in->comm, &in->request, &in->derivatives)
               ? 0
               : -1;
}

/* The rows to send in each swap: held arrays, and an array of their addresses (in a held bytes object). */
static int pymodel_border_lists(struct dgnn_pymodel_call *call, PyObject *lists, struct dgnn_border *border)
{
    Py_ssize_t nswap = border->nswap;
    PyObject *held = pymodel_hold(call, PyTuple_New(nswap));
    PyObject *addresses =
        pymodel_hold(call, PyBytes_FromStringAndSize(NULL, nswap * (Py_ssize_t)sizeof(void *)));
    if (!held || !addresses) {
        return -1;
    }
    for (Py_ssize_t swap = 0; swap < nswap; swap++) {
        char name[48];
        PyOS_snprintf(name, sizeof name, "border.sendlists[%zd]", swap);
        struct dgnn_pyarray_want want = {name, 'i', 1, {border->sendnum[swap]}, "(sendnum of this swap,)"};
        PyObject *list = PySequence_GetItem(lists, swap);
        PyObject *rows = list ? dgnn_pyarray_take(call->state, list, &want) : NULL;
        Py_XDECREF(list);
        if (!rows) {
            return -1;
        }
        PyTuple_SetItem(held, swap, rows);
        const void *address = dgnn_pyarray_data(rows);
        memcpy(PyBytes_AsString(addresses) + swap * (Py_ssize_t)sizeof address, &address, sizeof address);
    }
    border->sendlist = (const int32_t *const *)(void *)PyBytes_AsString(addresses);
    return 0;
}

/* value: (sendlists, sendproc, recvproc, sendnum, recvnum, firstrecv or None). */
static int pymodel_border_take(struct dgnn_pymodel_call *call, PyObject *value, struct dgnn_border *border)
{
    PyObject *lists, *sendproc, *recvproc, *sendnum, *recvnum, *firstrecv, *taken;
    if (!PyArg_ParseTuple(value, "OOOOOO:border", &lists, &sendproc, &recvproc, &sendnum, &recvnum,
                          &firstrecv)) {
        return -1;
    }
    Py_ssize_t nswap = PySequence_Size(lists);
    if (nswap < 0) {
        return -1;
    }
    if (nswap > INT32_MAX) {
        dgnn_pyerror_input(call->state, "border: found %zd swaps, expected fewer than 2^31", nswap);
        return -1;
    }
    *border = (struct dgnn_border){.nswap = (int32_t)nswap};
    if (PYMODEL_TAKE(call, sendproc, border->sendproc, &taken, "border.sendproc", 'i', 1, {nswap},
                     "(nswap,)") ||
        PYMODEL_TAKE(call, recvproc, border->recvproc, &taken, "border.recvproc", 'i', 1, {nswap},
                     "(nswap,)") ||
        PYMODEL_TAKE(call, sendnum, border->sendnum, &taken, "border.sendnum", 'i', 1, {nswap}, "(nswap,)") ||
        PYMODEL_TAKE(call, recvnum, border->recvnum, &taken, "border.recvnum", 'i', 1, {nswap}, "(nswap,)") ||
        PYMODEL_TAKE(call, firstrecv, border->firstrecv, &taken, "border.firstrecv", 'i', 1, {nswap},
                     "(nswap,)")) {
        return -1;
    }
    if (!border->sendproc || !border->recvproc || !border->sendnum || !border->recvnum) {
        dgnn_pyerror_input(call->state,
                           "border: sendproc, recvproc, sendnum and recvnum are needed, found None");
        return -1;
    }
    for (Py_ssize_t swap = 0; swap < nswap; swap++) {
        if (border->sendnum[swap] < 0) {
            dgnn_pyerror_input(call->state, "border.sendnum[%zd]: expected 0 or more, found %d", swap,
                               (int)border->sendnum[swap]);
            return -1;
        }
    }
    return pymodel_border_lists(call, lists, border);
}

/* CSR arrays: first (n + 1, ascending from 0) and index (as many as first ends with). */
static int pymodel_csr_take(struct dgnn_pymodel_call *call, const char *names[2], PyObject *values[2],
                            Py_ssize_t n, const int64_t **first, const int32_t **index)
{
    if (PYMODEL_TAKE(call, values[0], *first, NULL, names[0], 'l', 1, {n + 1},
                     "one more than there are lists")) {
        return -1;
    }
    if (!*first) {
        dgnn_pyerror_input(call->state, "%s: expected an array, found None", names[0]);
        return -1;
    }
    for (Py_ssize_t k = 0; k <= n; k++) {
        if (k == 0 ? (*first)[0] != 0 : (*first)[k] < (*first)[k - 1]) {
            dgnn_pyerror_input(call->state, "%s[%zd]: expected ascending places from 0, found %lld", names[0],
                               k, (long long)(*first)[k]);
            return -1;
        }
    }
    Py_ssize_t total = (Py_ssize_t)(*first)[n];
    return PYMODEL_TAKE(call, values[1], *index, NULL, names[1], 'i', 1, {total},
                        "as many as the last place says");
}

/* value: (rank, send_first, send_row, recv_first, recv_row). */
static int pymodel_direct_take(struct dgnn_pymodel_call *call, PyObject *value, struct dgnn_direct *direct)
{
    PyObject *rank, *send[2], *receive[2], *taken;
    if (!PyArg_ParseTuple(value, "OOOOO:direct", &rank, &send[0], &send[1], &receive[0], &receive[1]) ||
        PYMODEL_TAKE(call, rank, direct->rank, &taken, "direct.rank", 'i', 1, {-1}, "(nneighbour,)")) {
        return -1;
    }
    Py_ssize_t n = dgnn_pyarray_length(taken, 0);
    direct->nneighbour = (int32_t)n;
    return pymodel_csr_take(call, (const char *[]){"direct.send_first", "direct.send_row"}, send, n,
                            &direct->send_first, &direct->send_row) ||
           pymodel_csr_take(call, (const char *[]){"direct.recv_first", "direct.recv_row"}, receive, n,
                            &direct->recv_first, &direct->recv_row);
}

static int pymodel_ghosted_rows(struct dgnn_pymodel_call *call, const struct pymodel_ghosted_arguments *in,
                                struct dgnn_ghosted *system)
{
    PyObject *coords, *fparam, *aparam;
    if (PYMODEL_TAKE(call, in->coords, system->coords, &coords, "coords", 'd', 2, {-1, 3}, "(nall, 3)")) {
        return -1;
    }
    Py_ssize_t nall = dgnn_pyarray_length(coords, 0), nlocal = in->nlocal;
    if (nlocal < 0 || nlocal > nall) {
        dgnn_pyerror_input(call->state, "nlocal: expected 0 to %zd (the rows of coords), found %zd", nall,
                           nlocal);
        return -1;
    }
    if (PYMODEL_TAKE(call, in->types, system->types, NULL, "types", 'i', 1, {nall}, "(nall,)") ||
        PYMODEL_TAKE(call, in->spins, system->spins, NULL, "spins", 'd', 2, {nall, 3}, "(nall, 3)") ||
        PYMODEL_TAKE(call, in->fparam, system->fparam, &fparam, "fparam", 'd', 1, {-1}, "(dim_fparam,)") ||
        PYMODEL_TAKE(call, in->aparam, system->aparam, &aparam, "aparam", 'd', 2, {nlocal, -1},
                     "(nlocal, dim_aparam)") ||
        PYMODEL_TAKE(call, in->charge_spin, system->charge_spin, NULL, "charge_spin", 'd', 1, {2},
                     "charge and spin") ||
        PYMODEL_TAKE(call, in->mapping, system->mapping, NULL, "mapping", 'l', 1, {nall}, "(nall,)")) {
        return -1;
    }
    system->nall = nall;
    system->nlocal = nlocal;
    system->nfparam = dgnn_pyarray_length(fparam, 0);
    system->naparam = dgnn_pyarray_length(aparam, 1);
    return 0;
}

static int pymodel_ghosted_take(struct dgnn_pymodel_call *call, const struct pymodel_ghosted_arguments *in,
                                struct dgnn_ghosted *system, struct dgnn_border *border,
                                struct dgnn_direct *direct)
{
    PyObject *lists[2];
    *system = (struct dgnn_ghosted){.size = sizeof *system,
                                    .same_list = in->same_list,
                                    .add_ghost_forces = in->add_ghost_forces,
                                    .request = in->request};
    if (pymodel_ghosted_rows(call, in, system)) {
        return -1;
    }
    if (in->border != Py_None) {
        system->border = border;
        if (pymodel_border_take(call, in->border, border)) {
            return -1;
        }
    }
    if (in->direct != Py_None) {
        system->direct = direct;
        if (pymodel_direct_take(call, in->direct, direct)) {
            return -1;
        }
    }
    return in->neighbours == Py_None
               ? 0
               : !PyArg_ParseTuple(in->neighbours, "OO:neighbours", &lists[0], &lists[1]) ||
                     pymodel_csr_take(call, (const char *[]){"neighbours.first", "neighbours.index"}, lists,
                                      (Py_ssize_t)system->nlocal, &system->neighbour_first,
                                      &system->neighbour);
}

static PyObject *pymodel_ghosted_call(struct pymodel *self, struct dgnn_pymodel_call *call,
                                      const struct pymodel_ghosted_arguments *in, struct dgnn_comm *comm)
{
    struct dgnn_ghosted system;
    struct dgnn_border border = {0};
    struct dgnn_direct direct = {0};
    struct dgnn_result result;
    struct pymodel_evaluation evaluation = {.ghosted = &system, .comm = comm, .result = &result};
    PyObject *dict = NULL;
    if (pymodel_ghosted_take(call, in, &system, &border, &direct) ||
        !(dict = dgnn_pyresult_new(&(struct dgnn_pyresult_shape){self->model, system.nall, system.nlocal,
                                                                 system.spins != NULL, in->atomic,
                                                                 in->request, in->derivatives},
                                   &result))) {
        dgnn_pyerror_agree(call->state, comm, "compute_ghosted");
        return NULL;
    }
    if (pymodel_evaluate(self, call->state, &evaluation) || dgnn_pyresult_finish(dict, &result)) {
        Py_CLEAR(dict);
    }
    return dict;
}

static PyObject *pymodel_ghosted(PyObject *object, PyObject *arguments, PyObject *keywords)
{
    struct pymodel *self = (struct pymodel *)object;
    struct dgnn_pymodel_call call = {.state = dgnn_module_state_of(object)};
    struct pymodel_ghosted_arguments in = {0};
    struct dgnn_comm *comm;
    if (pymodel_ghosted_parse(arguments, keywords, &in)) {
        return dgnn_pymodel_refuse(call.state, keywords, "compute_ghosted");
    }
    if (dgnn_pycomm_hold(call.state, in.comm, &comm)) {
        return NULL;
    }
    PyObject *dict = NULL;
    if (pymodel_begin(self, call.state)) {
        dgnn_pyerror_agree(call.state, comm, "compute_ghosted");
    } else {
        dict = pymodel_ghosted_call(self, &call, &in, comm);
        self->in_use--;
    }
    dgnn_pycomm_release(in.comm);
    dgnn_pymodel_call_end(&call);
    return dict;
}

/* ------------------------------------------------------------------ saving */

static PyObject *pymodel_save(PyObject *object, PyObject *value)
{
    struct pymodel *self = (struct pymodel *)object;
    const struct dgnn_state *state = dgnn_module_state_of(object);
    PyObject *path;
    if (!PyUnicode_FSConverter(value, &path)) {
        return NULL;
    }
    if (pymodel_begin(self, state)) {
        Py_DECREF(path);
        return NULL;
    }
    struct dgnn_error error = {0};
    int status;
    const char *name = PyBytes_AsString(path);
    Py_BEGIN_ALLOW_THREADS
    status = dgnn_model_save(self->model, name, &error);
    Py_END_ALLOW_THREADS
    self->in_use--;
    Py_DECREF(path);
    return status ? dgnn_pyerror_raise(state, &error) : Py_NewRef(Py_None);
}

/* (json, arrays), where the arrays are copies. */
static PyObject *pymodel_tree_object(const struct dgnn_model_tree *tree)
{
    PyObject *arrays = PyList_New((Py_ssize_t)tree->narrays);
    for (size_t k = 0; arrays && k < tree->narrays; k++) {
        PyObject *array = dgnn_pyarray_copy(&tree->arrays[k]);
        if (!array) {
            Py_CLEAR(arrays);
        } else {
            PyList_SetItem(arrays, (Py_ssize_t)k, array);
        }
    }
    return arrays ? Py_BuildValue("(s#N)", tree->json, (Py_ssize_t)tree->json_length, arrays) : NULL;
}

static PyObject *pymodel_tree(PyObject *object, PyObject *unused)
{
    struct pymodel *self = (struct pymodel *)object;
    const struct dgnn_state *state = dgnn_module_state_of(object);
    struct dgnn_model_tree tree = {.size = sizeof tree};
    struct dgnn_error error = {0};
    (void)unused;
    if (!self->model) {
        return dgnn_pyerror_input(state, "this model was closed");
    }
    if (dgnn_model_tree(self->model, &tree, &error)) {
        return dgnn_pyerror_raise(state, &error);
    }
    PyObject *result = pymodel_tree_object(&tree);
    dgnn_model_tree_free(&tree);
    return result;
}

/* ------------------------------------------------------------------ the type */

static PyObject *pymodel_describe(PyObject *object, PyObject *unused)
{
    struct pymodel *self = (struct pymodel *)object;
    (void)unused;
    if (!self->model) {
        return dgnn_pyerror_input(dgnn_module_state_of(object), "this model was closed");
    }
    return PyUnicode_FromString(dgnn_model_describe(self->model));
}

static PyObject *pymodel_close(PyObject *object, PyObject *unused)
{
    struct pymodel *self = (struct pymodel *)object;
    (void)unused;
    if (self->in_use) {
        PyErr_SetString(dgnn_module_state_of(object)->busy_error, "the model is in use by another thread");
        return NULL;
    }
    struct dgnn_model *model = self->model;
    self->model = NULL;
    dgnn_model_free(model);
    Py_RETURN_NONE;
}

static void pymodel_dealloc(PyObject *object)
{
    struct pymodel *self = (struct pymodel *)object;
    PyTypeObject *type = Py_TYPE(object);
    dgnn_model_free(self->model);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyMethodDef pymodel_methods[] = {
    {"compute", (PyCFunction)(void (*)(void))pymodel_compute, METH_VARARGS | METH_KEYWORDS,
     "compute($self, coords, types, box, pbc, spins, fparam, aparam, charge_spin, ids, grid, comm, "
     "replicated, "
     "atomic, profile=False, request=0, derivatives=False)\n--\n\nOne frame; a dict of results."},
    {"compute_ghosted", (PyCFunction)(void (*)(void))pymodel_ghosted, METH_VARARGS | METH_KEYWORDS,
     "compute_ghosted($self, coords, types, nlocal, spins, fparam, aparam, charge_spin, border, direct, "
     "mapping, "
     "neighbours, add_ghost_forces, same_list, atomic, comm, request=0, derivatives=False)\n--\n\nRows that "
     "a host code "
     "distributed."},
    {"estimate", (PyCFunction)(void (*)(void))dgnn_pyestimate, METH_VARARGS | METH_KEYWORDS,
     "estimate($self, coords, types, box, pbc, spins, fparam, aparam, charge_spin, ids, grid, comm, "
     "replicated, "
     "atomic, profile=False, request=0, derivatives=False)\n--\n\nWhat compute would take; a dict."},
    {"save", pymodel_save, METH_O, "save($self, path, /)\n--\n\nWrites a .dgnn archive."},
    {"tree", pymodel_tree, METH_NOARGS, "tree($self, /)\n--\n\n(json, arrays), as load_tree takes them."},
    {"describe", pymodel_describe, METH_NOARGS, "describe($self, /)\n--\n\nA JSON text."},
    {"close", pymodel_close, METH_NOARGS, "close($self, /)\n--\n\nFrees the model's memory."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot pymodel_slots[] = {
    {Py_tp_doc, "A loaded model; made by load and load_tree."},
    {Py_tp_dealloc, pymodel_dealloc},
    {Py_tp_methods, pymodel_methods},
    {0, NULL},
};

static PyType_Spec pymodel_spec = {
    .name = "dgnn._core.Model",
    .basicsize = sizeof(struct pymodel),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = pymodel_slots,
};

int dgnn_pymodel_setup(PyObject *module, struct dgnn_state *state)
{
    state->model_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &pymodel_spec, NULL);
    return state->model_type ? PyModule_AddType(module, state->model_type) : -1;
}
