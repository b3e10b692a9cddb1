/* The allocator's counters and injected faults, for tests: the one file of bind that sees headers of base. */
#include "bind/state.h"

#include "base/alloc.h"
#include "base/falsify.h"

static PyObject *pyalloc_count(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyLong_FromLongLong(dgnn_alloc_count());
}

static PyObject *pyalloc_live(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyLong_FromLongLong(dgnn_alloc_live());
}

static PyObject *pyalloc_needed(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyLong_FromLongLong(dgnn_buffer_needed());
}

static PyObject *pyalloc_fail_at(PyObject *module, PyObject *arguments)
{
    long long nth;
    int persistent = 0;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "L|p:_alloc_fail_at", &nth, &persistent)) {
        return NULL;
    }
    dgnn_alloc_fail_at(nth, persistent);
    Py_RETURN_NONE;
}

static PyObject *pyalloc_falsify(PyObject *module, PyObject *arguments)
{
    const char *name;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "s:_falsify", &name)) {
        return NULL;
    }
    dgnn_falsify(name);
    Py_RETURN_NONE;
}

PyMethodDef dgnn_pyalloc_methods[] = {
    {"_falsify", pyalloc_falsify, METH_VARARGS,
     "_falsify(instruction_set, /)\n--\n\nMakes the kernels of an instruction set wrong for models that are "
     "loaded "
     "from now on; '': none."},
    {"_alloc_count", pyalloc_count, METH_NOARGS, "_alloc_count()\n--\n\nAllocations of the core so far."},
    {"_alloc_live", pyalloc_live, METH_NOARGS, "_alloc_live()\n--\n\nBlocks of the core that are not freed."},
    {"_alloc_needed", pyalloc_needed, METH_NOARGS,
     "_alloc_needed()\n--\n\nBytes that buffers of this thread's calls need."},
    {"_alloc_fail_at", pyalloc_fail_at, METH_VARARGS,
     "_alloc_fail_at(nth, persistent=False, /)\n--\n\nMakes the nth allocation from now fail (1: the next "
     "one), with "
     "persistent all that follow too; 0: none."},
    {NULL, NULL, 0, NULL},
};
