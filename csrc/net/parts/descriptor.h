/* What the model knows of a descriptor: how to load it, and forward and backward. A descriptor is weights and
 * settings, which do not change once they are loaded. A call writes into a workspace; each session that
 * evaluates the descriptor has one. Each family has one const struct dgnn_descriptor_kind, which
 * net/energy/registry.c lists. A new family needs its own room, a table of parameters and a line in the
 * registry. */
#ifndef DGNN_NET_DESCRIPTOR_H
#define DGNN_NET_DESCRIPTOR_H

#include "base/profile.h"
#include "comm/exchange.h"
#include "geom/graph.h"
#include "io/tree.h"
#include "ops/ops.h"

struct dgnn_descriptor;           /* the struct of a kind, which begins with struct dgnn_descriptor_base */
struct dgnn_descriptor_workspace; /* the struct of a kind */
struct dgnn_cuda_device;          /* cuda/cuda_device.h */
struct dgnn_text;                 /* base/text.h: a growing string */

/* What load needs beside the tree. */
struct dgnn_load_context {
    int32_t dtype;  /* enum dgnn_dtype; ARCHIVE: each part has its own precision */
    int32_t memory; /* enum dgnn_memory */
    int32_t ntypes;
    const char *const *type_map; /* ntypes element names */
    int32_t threads;             /* worker threads, >= 1 */
    enum dgnn_cpu cpu;
    int32_t radial;                  /* enum dgnn_radial, for families with a network of the distance alone */
    int32_t compressed;              /* enum dgnn_compressed, for families that deepmd-kit compresses */
    int32_t wants_rotation;          /* will evaluations take the rotation matrix? */
    struct dgnn_cuda_device *device; /* NULL: the CPU */
};

/* What the model must know of a descriptor. */
struct dgnn_descriptor_properties {
    double cutoff;                        /* Angstrom, of the neighbour list that it needs */
    int32_t mixed_types;                  /* 1: sel counts neighbours of all types together, and nsel is 1 */
    int32_t nsel;                         /* length of sel: 1, or ntypes */
    const int64_t *sel;                   /* owned by the descriptor */
    int32_t nangle;                       /* how many parts form angles */
    const struct dgnn_angle_limit *angle; /* nangle: which neighbours form them; owned by the descriptor */
    int64_t dim_out;
    int64_t dim_rotation;              /* rows of its rotation matrix; 0: it has none */
    int64_t parameters;                /* numbers in its weights */
    int32_t dtype;                     /* enum dgnn_dtype of its network */
    int32_t dim_charge_spin;           /* 0 or 2 */
    const double *default_charge_spin; /* 2, or NULL */
    int32_t has_message_passing;
    int32_t has_message_passing_across_ranks; /* deepmd-kit's answer; dgnn evaluates all descriptors on many
                                                 ranks */
    int32_t has_graph_form;                   /* 1: graph semantics may be chosen */
    int32_t uses_first_type; /* 1: empty slots have the type embedding of the frame's first atom */
    int32_t has_native_spin; /* 1: it takes the atoms' spins themselves */
    int32_t sums_rows;       /* 1: backward can fill an evaluation's row_sums */
    const char *note;        /* a sentence that a user should read, without quotes, or NULL */
};

/* Sides of backward: what it is given, and gives, of each quantity. The first is the gradient, dE/dvector of
 * an edge in the end. With moments there are three more. For a quantity q of the atom at x_q, a = sum_i
 * dE_i/dq is its gradient and M = sum_i dE_i/dq (x) (x_q - r_i) its moment, whose columns x, y, z are the
 * sides 1 to 3. At the energies a = 1 and M = 0. Where q depends on p of the atom at x_p, J = dq/dp:
 *
 *     a_p += J' a_q    M_p += J' (M_q + a_q (x) (x_p - x_q))
 *
 * Backward is linear, so each side goes through the same code. Features of a centre's edges and angles belong
 * to the centre: sides meet only where a centre reads a neighbour's row, whose side k then gets a_q times the
 * displacement's component k (dgnn_graph_displacement) beside M's. What goes to other ranks goes with all its
 * sides. An edge's vector ends as gradient g and moment M; its virial is in dgnn_gradient_add_moments. */
enum { DGNN_SIDES = 4 };

/* What a host makes of edges' gradients (geom/gradient.h), from a backward that makes it itself, as a device
 * does, and adds it: of rows, which are nodes, or images where the graph has such. */
struct dgnn_row_sums {
    double factor;       /* of what is added */
    double *forces;      /* nrow x 3 */
    double *virial;      /* 9 */
    double *atom_virial; /* nrow x 9, or NULL */
};

/* What forward and backward of one frame share. */
struct dgnn_evaluation {
    const struct dgnn_graph *graph;
    struct dgnn_exchange *exchange; /* NULL: no ghosts */
    const double *charge_spin;      /* 2, or NULL */
    double *edge_gradient;          /* nedge x 3, or 4 x nedge x 3 with want_moments; backward adds to it */
    const struct dgnn_row_sums *row_sums; /* NULL, or, where the descriptor sums_rows, what backward adds to
                                             in place of edge_gradient */
    int32_t want_gradient;                /* 0: backward will not be called */
    int32_t want_moments;    /* 1: backward has four sides (below), of a descriptor that passes messages */
    int64_t nwithout_energy; /* the last owned nodes, whose outputs are not used and have a gradient of 0 */
    struct dgnn_profile *profile; /* NULL: nothing is measured */
    /* Of what energies are made, for who asked; NULL for others. */
    double *descriptor; /* nowned x dim_out */
    double *last_layer; /* nowned x dim_last_layer of the fitting net */
    /* For descriptors with native spins; NULL for others. */
    const double *spins;        /* nnode x 3 */
    double *node_spin_gradient; /* nowned x 3; backward adds the gradient through an atom's own spin */
    double *edge_spin_gradient; /* nedge x 3; backward adds dE/dspin of the edge's other node */
    /* Where loading said that it is wanted, nowned x dim_rotation x 3 each; else NULL. */
    double *rotation;          /* forward writes the rotation matrix: equivariant rows of each node */
    double *rotation_gradient; /* backward reads the gradient by it */
    /* Where a device's failure is noted, which is this rank's alone: the evaluation goes through all its
     * messages, and its numbers mean nothing. NULL: forward and backward return it. */
    struct dgnn_failure *failure;
};

/* Where no messages pass, an evaluation can treat one chunk of centres after another, each from its edges to
 * its energies and back, so that little must be kept. These functions are called after prepare. Several
 * threads may call them at the same time, and none can fail. */
struct dgnn_descriptor_chunks {
    /* Returns the number of chunks. Chunk c is the centres [(*first)[c], (*first)[c + 1]). */
    int64_t (*chunks)(const struct dgnn_descriptor_workspace *workspace, const int64_t **first);
    /* Writes output, which is centres of the chunk x dim_out. */
    void (*forward)(struct dgnn_descriptor_workspace *workspace, const struct dgnn_evaluation *evaluation,
                    int64_t chunk, int32_t thread, double *output);
    /* Must follow forward of the same chunk on the same thread, without another chunk between. */
    void (*backward)(struct dgnn_descriptor_workspace *workspace, const struct dgnn_evaluation *evaluation,
                     int64_t chunk, int32_t thread, const double *output_gradient);
};

struct dgnn_descriptor_kind {
    const char *type;           /* as in "type" of the tree, and in what describes a model */
    const char *const *aliases; /* further names that a tree may give it, then NULL; NULL: there is none */

    /* Loads a descriptor from its object. Unknown members are refused by name. */
    int (*load)(const struct dgnn_value *value, const struct dgnn_load_context *context,
                struct dgnn_descriptor **descriptor, struct dgnn_error *error);
    void (*free)(struct dgnn_descriptor *descriptor);
    void (*properties)(const struct dgnn_descriptor *descriptor,
                       struct dgnn_descriptor_properties *properties);
    /* Appends the hyper-parameters as members of a JSON object, without braces. */
    int (*describe)(const struct dgnn_descriptor *descriptor, struct dgnn_text *text,
                    struct dgnn_error *error);
    /* Returns about how many multiplications and additions a centre with n neighbours at these distances,
     * nearest first, needs. Ranks get atoms of equal cost. NULL: the cost is proportional to the number of
     * neighbours. */
    double (*cost)(const struct dgnn_descriptor *descriptor, int64_t n, const double *distance);

    /* Creates the memory that evaluations write. It grows to the largest system that it has seen. Workspaces
     * of one descriptor are independent, so threads may use different ones at the same time. The descriptor
     * must outlive them. Errors: MEMORY. */
    int (*workspace_create)(const struct dgnn_descriptor *descriptor,
                            struct dgnn_descriptor_workspace **workspace, struct dgnn_error *error);
    /* Frees a workspace. An exchange of its rows must have settled before, or be freed. NULL is allowed. */
    void (*workspace_free)(struct dgnn_descriptor_workspace *workspace);

    /* Does everything of an evaluation that can fail, on this rank alone and without messages: it checks the
     * evaluation, reserves the memory of forward and backward, and calls dgnn_exchange_prepare for the rows
     * that they exchange. The ranks agree on its status before they go on, since a later failure on one rank,
     * between two exchanges, would leave the others waiting. It is always called before forward, with the
     * same evaluation. */
    int (*prepare)(const struct dgnn_descriptor *descriptor, struct dgnn_descriptor_workspace *workspace,
                   const struct dgnn_evaluation *evaluation, struct dgnn_error *error);
    /* Writes output, nowned x dim_out, and keeps in the workspace what backward needs. It is collective where
     * there is an exchange, and always does all exchanges, whatever the numbers are. */
    int (*forward)(const struct dgnn_descriptor *descriptor, struct dgnn_descriptor_workspace *workspace,
                   const struct dgnn_evaluation *evaluation, double *output, struct dgnn_error *error);
    /* output_gradient is dE/doutput, nowned x dim_out. Must follow one forward with the same evaluation.
     * Where the context had wants_rotation it may be called again, for another gradient after the same
     * forward: an answer with a rotation matrix may be of several numbers. */
    int (*backward)(const struct dgnn_descriptor *descriptor, struct dgnn_descriptor_workspace *workspace,
                    const struct dgnn_evaluation *evaluation, const double *output_gradient,
                    struct dgnn_error *error);
    int32_t runs_on_device;                        /* may the context's device be another than the CPU? */
    const struct dgnn_descriptor_chunks *by_chunk; /* NULL: all centres must be evaluated at once; otherwise
                                                      there is no exchange */
};

static inline int32_t dgnn_evaluation_sides(const struct dgnn_evaluation *evaluation)
{
    return evaluation->want_moments ? DGNN_SIDES : 1;
}

struct dgnn_descriptor_base {
    const struct dgnn_descriptor_kind *kind;
};

static inline const struct dgnn_descriptor_kind *dgnn_descriptor_kind(
    const struct dgnn_descriptor *descriptor)
{
    return ((const struct dgnn_descriptor_base *)descriptor)->kind;
}

/* Returns how many of n neighbours, nearest first, are within a cutoff. */
static inline int64_t dgnn_descriptor_within(int64_t n, const double *distance, double cutoff)
{
    while (n > 0 && distance[n - 1] > cutoff) {
        n--;
    }
    return n;
}

static inline double dgnn_descriptor_cost(const struct dgnn_descriptor *descriptor, int64_t n,
                                          const double *distance)
{
    const struct dgnn_descriptor_kind *kind = dgnn_descriptor_kind(descriptor);
    struct dgnn_descriptor_properties own;
    if (kind->cost) {
        return kind->cost(descriptor, n, distance);
    }
    kind->properties(descriptor, &own);
    return 4.0 * (double)own.parameters * (double)n;
}

#endif
