/* What a call would take, as a dict. */
#include "bind/state.h"

static PyObject *pyestimate_dict(const struct dgnn_estimate *e)
{
    return Py_BuildValue("{sLsLsLsLsLsdsdsd}", "nedges", (long long)e->nedges, "nghosts",
                         (long long)e->nghosts, "nangle_edge", (long long)e->nangle_edge, "nangle",
                         (long long)e->nangle, "nbytes", (long long)e->nbytes, "cost", e->cost, "flop",
                         e->flop, "split_flop", e->split_flop);
}

static PyObject *pyestimate_call(struct dgnn_pymodel_call *call, struct dgnn_model *model,
                                 const struct dgnn_pymodel_arguments *in, struct dgnn_comm *comm)
{
    struct dgnn_system system;
    struct dgnn_estimate estimate = {.size = sizeof estimate};
    struct dgnn_error error = {0};
    int status;
    if (dgnn_pymodel_take(call, in, &system)) {
        dgnn_pyerror_agree(call->state, comm, "compute");
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = dgnn_model_estimate(model, &system, comm, &estimate, &error);
    Py_END_ALLOW_THREADS
    return status ? dgnn_pyerror_raise(call->state, &error) : pyestimate_dict(&estimate);
}

PyObject *dgnn_pyestimate(PyObject *object, PyObject *arguments, PyObject *keywords)
{
    struct dgnn_pymodel_call call = {.state = dgnn_module_state_of(object)};
    struct dgnn_pymodel_arguments in = {0};
    struct dgnn_comm *comm;
    PyObject *dict = NULL;
    if (dgnn_pymodel_parse(arguments, keywords, &in)) {
        return dgnn_pymodel_refuse(call.state, keywords, "compute");
    }
    if (dgnn_pycomm_hold(call.state, in.comm, &comm)) {
        return NULL;
    }
    struct dgnn_model *model = dgnn_pymodel_borrow(call.state, object);
    if (model) {
        dict = pyestimate_call(&call, model, &in, comm);
        dgnn_pymodel_give_back(object);
    } else {
        dgnn_pyerror_agree(call.state, comm, "compute");
    }
    dgnn_pycomm_release(in.comm);
    dgnn_pymodel_call_end(&call);
    return dict;
}
