/* What one instance of the module holds, and what its files offer each other. The binding uses dgnn.h alone,
 * as any other C program would. */
#ifndef DGNN_BIND_STATE_H
#define DGNN_BIND_STATE_H

#define PY_SSIZE_T_CLEAN
/* The limited API: one module for every CPython from 3.10 on, unless it has no global lock. */
#if !defined(Py_LIMITED_API) && !defined(DGNN_WHOLE_API)
#define Py_LIMITED_API 0x030a0000
#endif
#include <Python.h>

#include "dgnn.h"

struct dgnn_state {
    PyObject *error; /* dgnn.Error, the parent of the others */
    PyObject *model_format_error;
    PyObject *unsupported_model_error;
    PyObject *input_error;
    PyObject *comm_error;
    PyObject *busy_error;
    PyTypeObject *model_type;
    PyTypeObject *comm_type;
    PyTypeObject *session_type;
    PyObject *method_type; /* types.MethodType */
};

/* Never NULL for a module or a type of this library. */
struct dgnn_state *dgnn_module_state(PyObject *module);
struct dgnn_state *dgnn_module_state_of(PyObject *self);

/* ------------------------------------------------------------------ pyerror.c */

/* Creates the exceptions and adds them to module. -1 with a Python error on failure. */
int dgnn_pyerror_setup(PyObject *module, struct dgnn_state *state);
/* The one way from a status to a Python exception. Returns NULL. */
PyObject *dgnn_pyerror_raise(const struct dgnn_state *state, const struct dgnn_error *error);
/* The exception that is set becomes the error of all ranks: takes part, with it, in the agreement on
 * operation that they are in or come to. Sets what was agreed on, which it is the cause of. Nothing without a
 * communicator. */
void dgnn_pyerror_agree(const struct dgnn_state *state, struct dgnn_comm *comm, const char *operation);
/* Sets kind: "EXPECTED, found TYPE", of value. Returns NULL. */
PyObject *dgnn_pyerror_found(PyObject *kind, const char *expected, PyObject *value);
/* InputError with a formatted message (PyUnicode_FromFormat's). Returns NULL. */
PyObject *dgnn_pyerror_input(const struct dgnn_state *state, const char *format, ...);

/* ------------------------------------------------------------------ pyarray.c */

/* What an argument must be. */
struct dgnn_pyarray_want {
    const char *name;    /* of the argument, in messages */
    char kind;           /* 'd' float64, 'i' int32, 'l' int64 */
    int ndim;            /* 1 or 2 */
    Py_ssize_t shape[2]; /* -1: any length */
    const char *meaning; /* of the shape, in messages: "(natoms, 3)" */
};

int dgnn_pyarray_setup(void); /* imports NumPy; -1 with a Python error on failure */
/* A private, contiguous copy of value with the wanted type and shape, so that nobody changes it while the GIL
 * is released. None gives None. NULL with an InputError that names the argument for anything else that
 * doesn't fit. */
PyObject *dgnn_pyarray_take(const struct dgnn_state *state, PyObject *value,
                            const struct dgnn_pyarray_want *want);
/* A copy of the array as a NumPy array. */
PyObject *dgnn_pyarray_copy(const struct dgnn_array *array);
/* float64 zeros. */
PyObject *dgnn_pyarray_zeros(int ndim, const Py_ssize_t *shape);
/* Of an array made by the two above; NULL and 0 for None. */
void *dgnn_pyarray_data(PyObject *array);
Py_ssize_t dgnn_pyarray_length(PyObject *array, int axis);
/* An array of any dtype for dgnn_model_load_tree: fills *out, and keeps it alive through the new reference
 * that is returned. */
PyObject *dgnn_pyarray_tensor(const struct dgnn_state *state, PyObject *value, Py_ssize_t index,
                              struct dgnn_array *out);

/* ------------------------------------------------------------------ pysignal.c */

int dgnn_pysignal_setup(PyObject *module, struct dgnn_state *state);
/* For dgnn_model_set_stop: has the handler of a signal raised? The exception is set then. */
int dgnn_pysignal_wanted(void *unused);

/* ------------------------------------------------------------------ pymodel.c, pyload.c, pycomm.c, pyalloc.c
 */

int dgnn_pymodel_setup(PyObject *module, struct dgnn_state *state);
/* A Model of Python's, which takes model over (on failure it is freed). */
PyObject *dgnn_pymodel_wrap(PyTypeObject *type, struct dgnn_model *model);
/* The core's model, which is not closed until it is given back. NULL with a Python error: no Model, or
 * closed.
 */
struct dgnn_model *dgnn_pymodel_borrow(const struct dgnn_state *state, PyObject *value);
void dgnn_pymodel_give_back(PyObject *value);

/* One call: what it holds until its end. */
enum { DGNN_PYMODEL_HELD_MAX = 24 };
struct dgnn_pymodel_call {
    const struct dgnn_state *state;
    PyObject *held[DGNN_PYMODEL_HELD_MAX];
    int nheld;
};
void dgnn_pymodel_call_end(struct dgnn_pymodel_call *call);

/* Arguments of compute, of a model and of a session: borrowed. */
struct dgnn_pymodel_arguments {
    PyObject *coords, *types, *box, *spins, *fparam, *aparam, *charge_spin, *ids, *comm;
    int pbc[3], grid[3], replicated, atomic, profile, request, derivatives;
};
/* -1 with a Python error. */
int dgnn_pymodel_parse(PyObject *arguments, PyObject *keywords, struct dgnn_pymodel_arguments *in);
/* After a failed parse: an error of all ranks too, where a communicator is among the keywords. NULL. */
PyObject *dgnn_pymodel_refuse(const struct dgnn_state *state, PyObject *keywords, const char *operation);
/* Checked arrays, which the call holds. -1 with a Python error. */
int dgnn_pymodel_take(struct dgnn_pymodel_call *call, const struct dgnn_pymodel_arguments *in,
                      struct dgnn_system *system);

/* What a result has room for. */
struct dgnn_pyresult_shape {
    const struct dgnn_model *model;
    Py_ssize_t nall, nowned; /* rows of forces; of answers and features */
    int has_spins, atomic, request, derivatives;
};
/* A new dict with the result's arrays; NULL with a Python error. */
PyObject *dgnn_pyresult_new(const struct dgnn_pyresult_shape *shape, struct dgnn_result *result);
/* The rest of the dict, after the call, with its profile if it has one. -1 with a Python error. */
int dgnn_pyresult_finish(PyObject *dict, const struct dgnn_result *result);

/* A method of Model (pyestimate.c). */
PyObject *dgnn_pyestimate(PyObject *object, PyObject *arguments, PyObject *keywords);

/* The type Session (pysession.c): several models, one list. */
int dgnn_pysession_setup(PyObject *module, struct dgnn_state *state);
extern PyMethodDef dgnn_pyload_methods[];
int dgnn_pycomm_setup(PyObject *module, struct dgnn_state *state);
/* The communicator of an argument that is a Comm or None (NULL then), kept from being closed until the
 * release. -1 with a Python error for anything else. */
int dgnn_pycomm_hold(const struct dgnn_state *state, PyObject *value, struct dgnn_comm **comm);
void dgnn_pycomm_release(PyObject *value);
/* Allocation counters and fault injection, for tests. */
extern PyMethodDef dgnn_pyalloc_methods[];

#endif
