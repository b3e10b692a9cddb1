/* The allocator's counters and its fault injection, for tests: the one file of bind that sees a header of
 * base. */
#include "bind/state.h"

#include "base/alloc.h"

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

PyMethodDef dgnn_pyalloc_methods[] = {
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
