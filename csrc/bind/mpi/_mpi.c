/* The Python module of one MPI: from an mpi4py communicator's address to a capsule with a transport.
 *
 * Compiled once per MPI with -DDGNN_MPI_NAME=_mpi_mpich or _mpi_openmpi; dgnn/mpi.py imports the one whose
 * MPI mpi4py loaded. */
#define PY_SSIZE_T_CLEAN
#if !defined(Py_LIMITED_API) && !defined(DGNN_WHOLE_API)
#define Py_LIMITED_API 0x030a0000 /* as bind/state.h */
#endif
#include <Python.h>

#include "mpi/mpi_transport.h"

#include <stdlib.h>

#ifndef DGNN_MPI_NAME
#error "DGNN_MPI_NAME is the name of the module, such as _mpi_mpich"
#endif

#define MODULE_TEXT_(name) #name
#define MODULE_TEXT(name)  MODULE_TEXT_(name)
#define MODULE_INIT_(name) PyInit_##name
#define MODULE_INIT(name)  MODULE_INIT_(name)

/* Who takes the transport over (dgnn_comm_create) gives the capsule another name: the context is theirs. */
static const char mpi_capsule_name[] = "dgnn.transport";

static void mpi_capsule_destroy(PyObject *capsule)
{
    struct dgnn_transport *transport = PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule));
    if (PyCapsule_IsValid(capsule, mpi_capsule_name)) {
        transport->free(transport->context);
    }
    free(transport);
}

static PyObject *mpi_raise(const struct dgnn_error *error)
{
    PyObject *type = error->status == DGNN_ERROR_INPUT    ? PyExc_ValueError
                     : error->status == DGNN_ERROR_MEMORY ? PyExc_MemoryError
                                                          : PyExc_ConnectionError;
    PyErr_SetString(type, error->message);
    return NULL;
}

static PyObject *mpi_transport(PyObject *module, PyObject *arguments)
{
    long long address;
    double deadline_s = 0.0;
    struct dgnn_error error;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "L|d:transport", &address, &deadline_s)) {
        return NULL;
    }
    if (address == 0) {
        PyErr_SetString(PyExc_ValueError, "address: expected that of a communicator's handle, found 0");
        return NULL;
    }
    struct dgnn_transport *transport = calloc(1, sizeof(*transport));
    if (!transport) {
        return PyErr_NoMemory();
    }
    int status;
    Py_BEGIN_ALLOW_THREADS
    status = dgnn_mpi_transport_create((const MPI_Comm *)(uintptr_t)address, deadline_s, transport, &error);
    Py_END_ALLOW_THREADS
    if (status) {
        free(transport);
        return mpi_raise(&error);
    }
    PyObject *capsule = PyCapsule_New(transport, mpi_capsule_name, mpi_capsule_destroy);
    if (!capsule) {
        transport->free(transport->context);
        free(transport);
    }
    return capsule;
}

/* (whether MPI runs, its text): this module's MPI must be the one that mpi4py loaded, not a second copy. */
static PyObject *mpi_library(PyObject *module, PyObject *unused)
{
    char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length = 0;
    int initialised = 0;
    (void)module;
    (void)unused;
    if (MPI_Initialized(&initialised) || MPI_Get_library_version(text, &length)) {
        PyErr_SetString(PyExc_RuntimeError, "MPI does not say what it is");
        return NULL;
    }
    return Py_BuildValue("Os#", initialised ? Py_True : Py_False, text, (Py_ssize_t)length);
}

static PyMethodDef mpi_methods[] = {
    {"transport", mpi_transport, METH_VARARGS,
     "transport(address, deadline=0.0, /)\n--\n\n"
     "Collective: a capsule dgnn.transport on a duplicate of the communicator\n"
     "whose handle is at this address."},
    {"library", mpi_library, METH_NOARGS,
     "library()\n--\n\nWhether this module's MPI is initialised, and its library version."},
    {NULL, NULL, 0, NULL},
};

static int mpi_exec(PyObject *module)
{
    return PyModule_AddIntConstant(module, "HANDLE_SIZE", sizeof(MPI_Comm));
}

static PyModuleDef_Slot mpi_slots[] = {{Py_mod_exec, mpi_exec}, {0, NULL}};

static struct PyModuleDef mpi_definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = MODULE_TEXT(DGNN_MPI_NAME),
    .m_doc = "Messages of dgnn over one MPI.",
    .m_methods = mpi_methods,
    .m_slots = mpi_slots,
};

PyMODINIT_FUNC MODULE_INIT(DGNN_MPI_NAME)(void)
{
    return PyModuleDef_Init(&mpi_definition);
}
