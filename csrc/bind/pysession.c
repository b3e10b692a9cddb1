/* The type Session: several models that compute together, with one list, decomposition and plan. */
#include "bind/state.h"

struct pysession {
    PyObject_HEAD struct dgnn_session *session; /* NULL once closed */
    PyObject *models; /* a tuple; those that were borrowed are given back at the end */
    Py_ssize_t nborrowed;
    int in_use;
};

static void pysession_clear(struct pysession *self)
{
    dgnn_session_free(self->session);
    self->session = NULL;
    while (self->nborrowed > 0) {
        dgnn_pymodel_give_back(PyTuple_GetItem(self->models, --self->nborrowed));
    }
    Py_CLEAR(self->models);
}

/* self->models is set. -1 with a Python error. */
static int pysession_fill(struct pysession *self, const struct dgnn_state *state)
{
    Py_ssize_t n = PyTuple_Size(self->models);
    struct dgnn_error error = {0};
    struct dgnn_model **model = PyMem_New(struct dgnn_model *, n ? n : 1);
    if (!model) {
        PyErr_NoMemory();
        return -1;
    }
    int status = 0;
    while (!PyErr_Occurred() && self->nborrowed < n) {
        model[self->nborrowed] = dgnn_pymodel_borrow(state, PyTuple_GetItem(self->models, self->nborrowed));
        self->nborrowed += model[self->nborrowed] != NULL;
    }
    if (!PyErr_Occurred()) {
        int32_t count = n > INT32_MAX ? INT32_MAX : (int32_t)n;
        status = dgnn_session_create(model, count, NULL, &self->session, &error);
        status = status ? status : dgnn_session_set_stop(self->session, dgnn_pysignal_wanted, NULL, &error);
    }
    PyMem_Free(model);
    if (status) {
        dgnn_pyerror_raise(state, &error);
    }
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *pysession_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"models", NULL};
    const struct dgnn_state *state = PyType_GetModuleState(type);
    PyObject *models;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O!:Session", names, &PyTuple_Type, &models)) {
        return NULL;
    }
    struct pysession *self = (struct pysession *)PyType_GenericAlloc(type, 0);
    if (!self) {
        return NULL;
    }
    self->models = Py_NewRef(models);
    if (pysession_fill(self, state)) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

/* ------------------------------------------------------------------ compute */

/* A list of a dict for each model, and their results. NULL with a Python error. */
static PyObject *pysession_results(const struct dgnn_state *state, struct pysession *self,
                                   const struct dgnn_pyresult_shape *shape, struct dgnn_result *results)
{
    PyObject *list = PyList_New(PyTuple_Size(self->models));
    for (Py_ssize_t k = 0; list && k < PyList_Size(list); k++) {
        struct dgnn_pyresult_shape own = *shape;
        PyObject *model = PyTuple_GetItem(self->models, k), *dict = NULL;
        own.model = dgnn_pymodel_borrow(state, model);
        if (own.model) {
            dgnn_pymodel_give_back(model);
            dict = dgnn_pyresult_new(&own, &results[k]);
        }
        if (!dict) {
            Py_CLEAR(list);
        } else {
            PyList_SetItem(list, k, dict);
        }
    }
    return list;
}

static int pysession_evaluate(struct pysession *self, const struct dgnn_state *state,
                              const struct dgnn_system *system, struct dgnn_comm *comm,
                              struct dgnn_result *results)
{
    struct dgnn_error error = {0};
    int status;
    Py_BEGIN_ALLOW_THREADS
    status = dgnn_session_compute(self->session, system, comm, results, &error);
    Py_END_ALLOW_THREADS
    if (status) {
        dgnn_pyerror_raise(state, &error);
    }
    return status ? -1 : 0;
}

static PyObject *pysession_call(struct pysession *self, struct dgnn_pymodel_call *call,
                                const struct dgnn_pymodel_arguments *in, struct dgnn_comm *comm)
{
    struct dgnn_system system;
    PyObject *list = NULL;
    Py_ssize_t n = PyTuple_Size(self->models);
    struct dgnn_result *results = PyMem_New(struct dgnn_result, n);
    if (!results) {
        PyErr_NoMemory();
    } else if (!dgnn_pymodel_take(call, in, &system)) {
        struct dgnn_pyresult_shape shape = {NULL,       system.natoms, system.natoms,  system.spins != NULL,
                                            in->atomic, in->request,   in->derivatives};
        list = pysession_results(call->state, self, &shape, results);
    }
    if (!list) {
        dgnn_pyerror_agree(call->state, comm, "compute");
    } else if (pysession_evaluate(self, call->state, &system, comm, results)) {
        Py_CLEAR(list);
    }
    for (Py_ssize_t k = 0; list && k < n; k++) {
        if (dgnn_pyresult_finish(PyList_GetItem(list, k), &results[k])) {
            Py_CLEAR(list);
        }
    }
    PyMem_Free(results);
    return list;
}

static PyObject *pysession_compute(PyObject *object, PyObject *arguments, PyObject *keywords)
{
    struct pysession *self = (struct pysession *)object;
    struct dgnn_pymodel_call call = {.state = dgnn_module_state_of(object)};
    struct dgnn_pymodel_arguments in = {0};
    struct dgnn_comm *comm;
    if (dgnn_pymodel_parse(arguments, keywords, &in)) {
        return dgnn_pymodel_refuse(call.state, keywords, "compute");
    }
    if (dgnn_pycomm_hold(call.state, in.comm, &comm)) {
        return NULL;
    }
    PyObject *list = NULL;
    if (!self->session || in.profile) {
        dgnn_pyerror_input(call.state, in.profile ? "profile: found True; a committee measures nothing"
                                                  : "this committee was closed");
        dgnn_pyerror_agree(call.state, comm, "compute");
    } else {
        self->in_use++;
        list = pysession_call(self, &call, &in, comm);
        self->in_use--;
    }
    dgnn_pycomm_release(in.comm);
    dgnn_pymodel_call_end(&call);
    return list;
}

/* ------------------------------------------------------------------ the type */

static PyObject *pysession_close(PyObject *object, PyObject *unused)
{
    struct pysession *self = (struct pysession *)object;
    (void)unused;
    if (self->in_use) {
        PyErr_SetString(dgnn_module_state_of(object)->busy_error,
                        "the committee is in use by another thread");
        return NULL;
    }
    pysession_clear(self);
    Py_RETURN_NONE;
}

static void pysession_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    pysession_clear((struct pysession *)object);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyMethodDef pysession_methods[] = {
    {"compute", (PyCFunction)(void (*)(void))pysession_compute, METH_VARARGS | METH_KEYWORDS,
     "compute($self, coords, types, box, pbc, spins, fparam, aparam, charge_spin, ids, grid, comm, "
     "replicated, atomic, profile=False, request=0, derivatives=False)\n--\n\nOne frame; a list of a dict "
     "for each model."},
    {"close", pysession_close, METH_NOARGS, "close($self, /)\n--\n\nLets go of its models."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot pysession_slots[] = {
    {Py_tp_doc, "Session(models)\n--\n\nModels (a tuple) that compute together."},
    {Py_tp_new, pysession_new},
    {Py_tp_dealloc, pysession_dealloc},
    {Py_tp_methods, pysession_methods},
    {0, NULL},
};

static PyType_Spec pysession_spec = {
    .name = "dgnn._core.Session",
    .basicsize = sizeof(struct pysession),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = pysession_slots,
};

int dgnn_pysession_setup(PyObject *module, struct dgnn_state *state)
{
    state->session_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &pysession_spec, NULL);
    return state->session_type ? PyModule_AddType(module, state->session_type) : -1;
}
