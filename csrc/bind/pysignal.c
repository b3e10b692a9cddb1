/* Signals whose handlers are Python's, which may raise at any line of Python: KeyboardInterrupt, a timeout of
 * SIGALRM.
 *
 * A call on one rank asks for them between pieces of its work, and ends early where a handler raised. Around
 * a call that ranks make together they are held back from before the first line of Python to the call's end,
 * as a rank that left in between would be out of step with the others: Python's own C handler is replaced by
 * one that only notes the signal, and what was noted is delivered at the end. Signals with handlers of others
 * (a library's, faulthandler's) are left alone, and so are threads other than the main one, in which no
 * handler of Python's ever runs. */
#include "bind/state.h"

#include <signal.h>
#include <stddef.h>
#include <structmember.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __APPLE__
#include <pthread.h>
#endif

static const int pysignal_number[] = {SIGHUP,  SIGINT,  SIGQUIT,   SIGUSR1, SIGUSR2,
                                      SIGALRM, SIGTERM, SIGVTALRM, SIGPROF, SIGXCPU};

enum { PYSIGNAL_KINDS = sizeof pysignal_number / sizeof *pysignal_number };

/* Signals belong to the process, so this does too. All but seen is changed by the main thread alone, with the
 * GIL. */
static struct {
    volatile sig_atomic_t seen[PYSIGNAL_KINDS];
    int depth; /* calls inside calls */
    int replaced[PYSIGNAL_KINDS];
    struct sigaction before[PYSIGNAL_KINDS];
    void (*pythons)(int); /* Python's C handler, the same for each signal; NULL until one is found */
    PyObject *raised;     /* by a handler that ran during the call */
} pysignal;

static int pysignal_is_main_thread(void)
{
#ifdef __APPLE__
    return pthread_main_np();
#else
    return syscall(SYS_gettid) == getpid();
#endif
}

int dgnn_pysignal_wanted(void *unused)
{
    (void)unused;
    if (!pysignal_is_main_thread()) {
        return 0; /* without a fight for the GIL, as no handler would run */
    }
    PyGILState_STATE gil = PyGILState_Ensure();
    int raised = PyErr_CheckSignals() != 0; /* the exception stays set */
    PyGILState_Release(gil);
    return raised;
}

/* ------------------------------------------------------------------ holding back */

static void pysignal_note(int number)
{
    for (int k = 0; k < PYSIGNAL_KINDS; k++) {
        if (pysignal_number[k] == number) {
            pysignal.seen[k] = 1;
        }
    }
}

static int pysignal_has_function(const struct sigaction *action)
{
    return !(action->sa_flags & SA_SIGINFO) && action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
}

/* A function in C behind a signal that has a handler in Python is Python's. */
static void pysignal_find_pythons(void)
{
    PyObject *module = PyImport_ImportModule("_signal");
    for (int k = 0; module && !pysignal.pythons && k < PYSIGNAL_KINDS; k++) {
        struct sigaction action;
        PyObject *handler = PyObject_CallMethod(module, "getsignal", "i", pysignal_number[k]);
        if (handler && PyCallable_Check(handler) && !PyLong_Check(handler) &&
            !sigaction(pysignal_number[k], NULL, &action) && pysignal_has_function(&action)) {
            pysignal.pythons = action.sa_handler;
        }
        Py_XDECREF(handler);
    }
    Py_XDECREF(module);
    PyErr_Clear();
}

/* Runs the handlers of signals that have come; keeps the first exception. */
static void pysignal_run(void)
{
    PyObject *type, *value, *traceback;
    if (!PyErr_CheckSignals()) {
        return;
    }
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (value && traceback) {
        PyException_SetTraceback(value, traceback);
    }
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    if (pysignal.raised) {
        Py_XDECREF(value);
    } else {
        pysignal.raised = value;
    }
}

static void pysignal_deliver(void)
{
    for (int k = 0; k < PYSIGNAL_KINDS; k++) {
        if (pysignal.seen[k]) {
            pysignal.seen[k] = 0;
            PyErr_SetInterruptEx(pysignal_number[k]);
        }
    }
    pysignal_run();
}

static void pysignal_hold(void)
{
    if (pysignal.depth++) {
        return;
    }
    if (!pysignal.pythons) {
        pysignal_find_pythons();
    }
    for (int k = 0; k < PYSIGNAL_KINDS; k++) {
        struct sigaction *before = &pysignal.before[k];
        pysignal.replaced[k] = pysignal.pythons && !sigaction(pysignal_number[k], NULL, before) &&
                               pysignal_has_function(before) && before->sa_handler == pysignal.pythons;
        if (pysignal.replaced[k]) {
            struct sigaction own = *before;
            own.sa_handler = pysignal_note;
            pysignal.replaced[k] = !sigaction(pysignal_number[k], &own, NULL);
        }
    }
    pysignal_run(); /* what came before, and was not delivered yet */
}

/* The exception of a handler takes the place of result or of the exception that is set. */
static PyObject *pysignal_release(PyObject *result)
{
    PyObject *type, *value, *traceback;
    if (--pysignal.depth) {
        return result;
    }
    PyErr_Fetch(&type, &value, &traceback);
    for (int k = 0; k < PYSIGNAL_KINDS; k++) {
        struct sigaction now;
        if (pysignal.replaced[k] && !sigaction(pysignal_number[k], NULL, &now) &&
            now.sa_handler == pysignal_note) {
            sigaction(pysignal_number[k], &pysignal.before[k], NULL);
        }
    }
    pysignal_deliver();
    PyObject *raised = pysignal.raised;
    pysignal.raised = NULL;
    if (!raised) {
        PyErr_Restore(type, value, traceback);
        return result;
    }
    Py_XDECREF(result);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    PyErr_SetObject((PyObject *)Py_TYPE(raised), raised);
    Py_DECREF(raised);
    return NULL;
}

/* interrupted(): the exception of a handler whose signal came since the call that holds them began, or None.
 */
static PyObject *pysignal_interrupted(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    if (pysignal.depth && pysignal_is_main_thread()) {
        pysignal_deliver();
        return Py_NewRef(pysignal.raised ? pysignal.raised : Py_None);
    }
    Py_RETURN_NONE;
}

static PyMethodDef pysignal_functions[] = {
    {"interrupted", pysignal_interrupted, METH_NOARGS,
     "interrupted()\n--\n\nInside an Uninterrupted call: what a signal's handler raised since it began, or "
     "None."},
    {NULL, NULL, 0, NULL},
};

/* ------------------------------------------------------------------ a callable that holds signals back */

struct pysignal_callable {
    PyObject_HEAD PyObject *function;
    PyObject *attribute; /* of its first argument: the communicator; NULL: an argument */
    Py_ssize_t place;    /* of that argument, where it may come without its name; else -1 */
    PyObject *dict;      /* __name__, __doc__ and their like */
};

static PyObject *pysignal_callable_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"function", "attribute", "place", NULL};
    PyObject *function, *attribute = Py_None;
    Py_ssize_t place = -1;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|On:Uninterrupted", names, &function, &attribute,
                                     &place)) {
        return NULL;
    }
    struct pysignal_callable *self = (struct pysignal_callable *)PyType_GenericAlloc(type, 0);
    if (self) {
        self->function = Py_NewRef(function);
        self->attribute = attribute == Py_None ? NULL : Py_NewRef(attribute);
        self->place = place;
        self->dict = PyDict_New();
        if (!self->dict) {
            Py_CLEAR(self);
        }
    }
    return (PyObject *)self;
}

/* Is there a communicator among the arguments? No line of Python is run for the answer. */
static int pysignal_callable_has_comm(const struct pysignal_callable *self, PyObject *arguments,
                                      PyObject *keywords)
{
    PyObject *comm = NULL;
    if (self->attribute) {
        comm =
            PyTuple_Size(arguments) ? PyObject_GetAttr(PyTuple_GetItem(arguments, 0), self->attribute) : NULL;
        Py_XDECREF(comm); /* the instance keeps it */
        PyErr_Clear();
    } else if (keywords) {
        comm = PyDict_GetItemString(keywords, "comm");
    }
    if (!self->attribute && !comm && self->place >= 0 && PyTuple_Size(arguments) > self->place) {
        comm = PyTuple_GetItem(arguments, self->place);
    }
    return comm && comm != Py_None;
}

static PyObject *pysignal_callable_call(PyObject *object, PyObject *arguments, PyObject *keywords)
{
    struct pysignal_callable *self = (struct pysignal_callable *)object;
    if (!pysignal_callable_has_comm(self, arguments, keywords) || !pysignal_is_main_thread()) {
        return PyObject_Call(self->function, arguments, keywords);
    }
    pysignal_hold();
    return pysignal_release(PyObject_Call(self->function, arguments, keywords));
}

static PyObject *pysignal_callable_bind(PyObject *self, PyObject *instance, PyObject *type)
{
    (void)type;
    return instance
               ? PyObject_CallFunctionObjArgs(dgnn_module_state_of(self)->method_type, self, instance, NULL)
               : Py_NewRef(self);
}

/* As a function does: by its name, under which its module has it. */
static PyObject *pysignal_callable_reduce(PyObject *object, PyObject *unused)
{
    (void)unused;
    return PyObject_GetAttrString(object, "__qualname__");
}

static PyMethodDef pysignal_callable_methods[] = {
    {"__reduce__", pysignal_callable_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static int pysignal_callable_traverse(PyObject *object, visitproc visit, void *arg)
{
    struct pysignal_callable *self = (struct pysignal_callable *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->function);
    Py_VISIT(self->attribute);
    Py_VISIT(self->dict);
    return 0;
}

static int pysignal_callable_clear(PyObject *object)
{
    struct pysignal_callable *self = (struct pysignal_callable *)object;
    Py_CLEAR(self->function);
    Py_CLEAR(self->attribute);
    Py_CLEAR(self->dict);
    return 0;
}

static void pysignal_callable_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    pysignal_callable_clear(object);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyMemberDef pysignal_callable_members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(struct pysignal_callable, dict), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef pysignal_callable_getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot pysignal_callable_slots[] = {
    {Py_tp_doc,
     "Uninterrupted(function, attribute=None, place=-1)\n--\n\n"
     "The function; where it is given a communicator (as its keyword comm or at that place, or as that\n"
     "attribute of its first argument), handlers of signals run when it is over."},
    {Py_tp_new, pysignal_callable_new},
    {Py_tp_call, pysignal_callable_call},
    {Py_tp_descr_get, pysignal_callable_bind},
    {Py_tp_traverse, pysignal_callable_traverse},
    {Py_tp_clear, pysignal_callable_clear},
    {Py_tp_dealloc, pysignal_callable_dealloc},
    {Py_tp_members, pysignal_callable_members},
    {Py_tp_methods, pysignal_callable_methods},
    {Py_tp_getset, pysignal_callable_getset},
    {0, NULL},
};

static PyType_Spec pysignal_callable_spec = {
    .name = "dgnn._core.Uninterrupted",
    .basicsize = sizeof(struct pysignal_callable),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = pysignal_callable_slots,
};

int dgnn_pysignal_setup(PyObject *module, struct dgnn_state *state)
{
    PyObject *types = PyImport_ImportModule("types");
    state->method_type = types ? PyObject_GetAttrString(types, "MethodType") : NULL;
    Py_XDECREF(types);
    if (!state->method_type) {
        return -1;
    }
    PyObject *type = PyType_FromModuleAndSpec(module, &pysignal_callable_spec, NULL);
    int status = type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
    Py_XDECREF(type);
    return status || PyModule_AddFunctions(module, pysignal_functions) ? -1 : 0;
}
