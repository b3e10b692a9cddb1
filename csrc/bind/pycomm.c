/* Communicators: from a transport that another extension module made, or ranks as threads for tests. */
#include "bind/state.h"

struct pycomm {
    PyObject_HEAD struct dgnn_comm *comm; /* NULL once closed */
    int in_use;                           /* calls under way; changed only with the GIL held */
    int is_open;                          /* was a call begun that has not come to its agreement? */
};

static PyObject *pycomm_wrap(PyTypeObject *type, struct dgnn_comm *comm)
{
    struct pycomm *self = (struct pycomm *)PyType_GenericAlloc(type, 0);
    if (!self) {
        dgnn_comm_free(comm);
        return NULL;
    }
    self->comm = comm;
    return (PyObject *)self;
}

static PyObject *pycomm_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"transport", "deadline", NULL};
    const struct dgnn_state *state = PyType_GetModuleState(type);
    PyObject *capsule;
    double deadline = 0.0;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|d:Comm", names, &capsule, &deadline)) {
        return NULL;
    }
    const struct dgnn_transport *transport = PyCapsule_GetPointer(capsule, "dgnn.transport");
    if (!transport) {
        return NULL;
    }
    struct dgnn_comm *comm = NULL;
    struct dgnn_error error = {0};
    int status;
    Py_BEGIN_ALLOW_THREADS
    status = dgnn_comm_create(transport, deadline, &comm, &error);
    Py_END_ALLOW_THREADS
    /* The core owns the context now, on failure too. The capsule's destructor goes by this name. */
    if (PyCapsule_SetName(capsule, "dgnn.transport.taken")) {
        dgnn_comm_free(comm);
        return NULL;
    }
    return status ? dgnn_pyerror_raise(state, &error) : pycomm_wrap(type, comm);
}

static PyObject *pycomm_close(PyObject *object, PyObject *unused)
{
    struct pycomm *self = (struct pycomm *)object;
    (void)unused;
    struct dgnn_comm *comm = self->comm;
    if (self->in_use) {
        PyErr_SetString(dgnn_module_state_of(object)->busy_error, "comm: a call that uses it is under way");
        return NULL;
    }
    self->comm = NULL;
    Py_BEGIN_ALLOW_THREADS
    dgnn_comm_free(comm);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static void pycomm_dealloc(PyObject *object)
{
    struct pycomm *self = (struct pycomm *)object;
    PyTypeObject *type = Py_TYPE(object);
    dgnn_comm_free(self->comm);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyObject *pycomm_counts(PyObject *object, PyObject *arguments)
{
    struct pycomm *self = (struct pycomm *)object;
    struct dgnn_comm *comm;
    struct dgnn_comm_count count = {0};
    int reset = 0, is_open = self->is_open;
    if (!PyArg_ParseTuple(arguments, "|p:counts", &reset) ||
        dgnn_pycomm_hold(dgnn_module_state_of(object), object, &comm)) {
        return NULL;
    }
    self->is_open = is_open;
    dgnn_comm_counts(comm, &count, reset);
    dgnn_pycomm_release(object);
    return Py_BuildValue("{s:L,s:L,s:L,s:L,s:L,s:L,s:L}", "forward_messages",
                         (long long)count.forward_messages, "reverse_messages",
                         (long long)count.reverse_messages, "position_messages",
                         (long long)count.position_messages, "force_messages",
                         (long long)count.force_messages, "other_messages", (long long)count.other_messages,
                         "bytes", (long long)count.bytes, "feature_bytes", (long long)count.feature_bytes);
}

/* Takes part in an agreement, with the error where failure is an exception. *vote: as dgnn_comm_vote has it.
 */
static int pycomm_take_part(const struct dgnn_state *state, struct dgnn_comm *comm, const char *operation,
                            PyObject *failure, int32_t *vote)
{
    struct dgnn_error error = {0};
    int status = 0;
    if (failure != Py_None) {
        PyErr_Restore(Py_NewRef(Py_TYPE(failure)), Py_NewRef(failure), PyException_GetTraceback(failure));
        dgnn_pyerror_agree(state, comm, operation);
    } else {
        Py_BEGIN_ALLOW_THREADS
        status = dgnn_comm_vote(comm, operation, DGNN_OK, vote, &error);
        Py_END_ALLOW_THREADS
    }
    if (status) {
        dgnn_pyerror_raise(state, &error);
    }
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *pycomm_agree(PyObject *object, PyObject *arguments)
{
    const struct dgnn_state *state = dgnn_module_state_of(object);
    const char *operation;
    PyObject *failure = Py_None;
    struct dgnn_comm *comm;
    int vote = 0;
    if (!PyArg_ParseTuple(arguments, "s|Oi:agree", &operation, &failure, &vote)) {
        return NULL;
    }
    if (failure != Py_None && !PyExceptionInstance_Check(failure)) {
        return dgnn_pyerror_found(PyExc_TypeError, "failure: expected an exception or None", failure);
    }
    if (dgnn_pycomm_hold(state, object, &comm)) {
        return NULL;
    }
    int32_t largest = vote;
    int failed = pycomm_take_part(state, comm, operation, failure, &largest);
    dgnn_pycomm_release(object);
    return failed ? NULL : PyLong_FromLong(largest);
}

static PyObject *pycomm_begin(PyObject *object, PyObject *unused)
{
    struct pycomm *self = (struct pycomm *)object;
    const struct dgnn_state *state = dgnn_module_state_of(object);
    struct dgnn_error error = {0};
    (void)unused;
    if (!self->comm) {
        return dgnn_pyerror_input(state, "comm: this communicator was closed");
    }
    if (self->is_open) {
        PyErr_SetString(state->busy_error, "the communicator is in use by another thread");
        return NULL;
    }
    if (dgnn_comm_begin(self->comm, &error)) {
        return dgnn_pyerror_raise(state, &error);
    }
    self->is_open = 1;
    Py_RETURN_NONE;
}

static PyObject *pycomm_place(PyObject *object, PyObject *unused)
{
    struct pycomm *self = (struct pycomm *)object;
    int32_t rank, nrank;
    (void)unused;
    if (!self->comm) {
        return dgnn_pyerror_input(dgnn_module_state_of(object), "comm: this communicator was closed");
    }
    dgnn_comm_place(self->comm, &rank, &nrank);
    return Py_BuildValue("ii", (int)rank, (int)nrank);
}

/* out: the bytes of all ranks, in a new bytes object. */
static PyObject *pycomm_allgather(PyObject *object, PyObject *data)
{
    const struct dgnn_state *state = dgnn_module_state_of(object);
    struct dgnn_comm *comm;
    struct dgnn_error error = {0};
    int32_t nrank;
    int status;
    if (!PyBytes_Check(data)) {
        return dgnn_pyerror_found(PyExc_TypeError, "expected bytes", data);
    }
    if (dgnn_pycomm_hold(state, object, &comm)) {
        return NULL;
    }
    dgnn_comm_place(comm, NULL, &nrank);
    Py_ssize_t length = PyBytes_Size(data);
    PyObject *all =
        length <= PY_SSIZE_T_MAX / nrank ? PyBytes_FromStringAndSize(NULL, length * nrank) : PyErr_NoMemory();
    if (all) {
        const char *own = PyBytes_AsString(data);
        char *gathered = PyBytes_AsString(all);
        Py_BEGIN_ALLOW_THREADS
        status = dgnn_comm_allgather(comm, own, length, gathered, &error);
        Py_END_ALLOW_THREADS
        if (status) {
            Py_CLEAR(all);
            dgnn_pyerror_raise(state, &error);
        }
    }
    dgnn_pycomm_release(object);
    return all;
}

static PyObject *pycomm_is_open(PyObject *object, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(((struct pycomm *)object)->is_open);
}

int dgnn_pycomm_hold(const struct dgnn_state *state, PyObject *value, struct dgnn_comm **comm)
{
    *comm = NULL;
    if (value == Py_None) {
        return 0;
    }
    if (!PyObject_TypeCheck(value, state->comm_type)) {
        dgnn_pyerror_found(PyExc_TypeError, "comm: expected a dgnn._core.Comm or None", value);
        return -1;
    }
    *comm = ((struct pycomm *)value)->comm;
    if (!*comm) {
        dgnn_pyerror_input(state, "comm: this communicator was closed");
        return -1;
    }
    ((struct pycomm *)value)->in_use++;
    ((struct pycomm *)value)->is_open = 0; /* whoever uses it comes to an agreement */
    return 0;
}

void dgnn_pycomm_release(PyObject *value)
{
    if (value != Py_None) {
        ((struct pycomm *)value)->in_use--;
    }
}

static PyMethodDef pycomm_methods[] = {
    {"agree", pycomm_agree, METH_VARARGS,
     "agree($self, operation, failure=None, vote=0, /)\n--\n\n"
     "Collective. Where an exception is passed as failure by any rank, that of the lowest is raised on all;\n"
     "also an error where ranks pass another operation, or are in another call. The largest vote."},
    {"begin", pycomm_begin, METH_NOARGS,
     "begin($self, /)\n--\n\nLocal. Counts a call, which is open until an agreement of this communicator."},
    {"place", pycomm_place, METH_NOARGS, "place($self, /)\n--\n\n(rank, number of ranks)."},
    {"allgather", pycomm_allgather, METH_O,
     "allgather($self, data, /)\n--\n\nCollective. The bytes of all ranks, which pass as many each, end to "
     "end."},
    {"is_open", pycomm_is_open, METH_NOARGS,
     "is_open($self, /)\n--\n\nWas a call begun that has not come to its agreement?"},
    {"close", pycomm_close, METH_NOARGS, "close($self, /)\n--\n\nFrees it; local."},
    {"counts", pycomm_counts, METH_VARARGS,
     "counts($self, reset=False, /)\n--\n\nTraffic of this rank since creation or the last reset."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot pycomm_slots[] = {
    {Py_tp_doc, "Comm(transport, deadline=0.0)\n--\n\n"
                "Ranks that compute together, from a capsule dgnn.transport."},
    {Py_tp_new, pycomm_new},
    {Py_tp_dealloc, pycomm_dealloc},
    {Py_tp_methods, pycomm_methods},
    {0, NULL},
};

static PyType_Spec pycomm_spec = {
    .name = "dgnn._core.Comm",
    .basicsize = sizeof(struct pycomm),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = pycomm_slots,
};

enum { PYCOMM_MOST_THREADS = 1024 };

/* _comm_threads(nrank, deadline=0.0): a list of Comm, one for each thread that stands for a rank. */
static PyObject *pycomm_threads(PyObject *module, PyObject *arguments)
{
    const struct dgnn_state *state = dgnn_module_state(module);
    int nrank;
    double deadline = 0.0;
    if (!PyArg_ParseTuple(arguments, "i|d:_comm_threads", &nrank, &deadline)) {
        return NULL;
    }
    if (nrank < 1 || nrank > PYCOMM_MOST_THREADS) {
        return dgnn_pyerror_input(state, "nrank: expected 1 to %d, found %d", PYCOMM_MOST_THREADS, nrank);
    }
    struct dgnn_comm *comm[PYCOMM_MOST_THREADS] = {NULL};
    struct dgnn_error error = {0};
    if (dgnn_comm_create_threads(nrank, deadline, comm, &error)) {
        return dgnn_pyerror_raise(state, &error);
    }
    PyObject *list = PyList_New(nrank);
    for (int rank = 0; rank < nrank; rank++) {
        PyObject *item = list ? pycomm_wrap(state->comm_type, comm[rank]) : NULL;
        if (!item) {
            if (!list) {
                dgnn_comm_free(comm[rank]);
            }
            Py_CLEAR(list);
            continue;
        }
        PyList_SetItem(list, rank, item);
    }
    return list;
}

static PyMethodDef pycomm_functions[] = {
    {"_comm_threads", pycomm_threads, METH_VARARGS,
     "_comm_threads(nrank, deadline=0.0, /)\n--\n\n"
     "Communicators for threads of this process that stand for ranks."},
    {NULL, NULL, 0, NULL},
};

int dgnn_pycomm_setup(PyObject *module, struct dgnn_state *state)
{
    state->comm_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &pycomm_spec, NULL);
    return state->comm_type
               ? PyModule_AddType(module, state->comm_type) || PyModule_AddFunctions(module, pycomm_functions)
               : -1;
}
