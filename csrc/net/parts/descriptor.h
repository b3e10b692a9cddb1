/* What a descriptor is to the model: load, forward, backward. A descriptor is weights and settings, and
 * nothing changes in it once it is loaded; what a call writes is in a workspace, one for each session that
 * evaluates it. One const struct dgnn_descriptor_kind per family, listed in net/energy/registry.c. Adding one
 * touches its own room, its table of parameters and the registry. */
#ifndef DGNN_NET_DESCRIPTOR_H
#define DGNN_NET_DESCRIPTOR_H

#include "base/profile.h"
#include "comm/exchange.h"
#include "geom/graph.h"
#include "io/tree.h"
#include "ops/ops.h"

struct dgnn_descriptor;           /* each kind's own struct begins with struct dgnn_descriptor_base */
struct dgnn_descriptor_workspace; /* each kind's own */
struct dgnn_text;                 /* base/text.h: a growing string */

/* What loading needs beside the tree. */
struct dgnn_load_context {
    int32_t dtype;  /* enum dgnn_dtype: ARCHIVE takes each part's own precision */
    int32_t memory; /* enum dgnn_memory */
    int32_t ntypes;
    const char *const *type_map; /* ntypes element names */
    int32_t threads;             /* worker threads, >= 1 */
    enum dgnn_cpu cpu;
    int32_t radial;         /* enum dgnn_radial: of families that have a net of the distance alone */
    int32_t wants_rotation; /* will evaluations take the rotation matrix? */
};

/* What the model must know of a descriptor. */
struct dgnn_descriptor_properties {
    double cutoff;                        /* of the neighbour list it needs */
    int32_t mixed_types;                  /* 1: sel counts all types together, nsel is 1 */
    int32_t nsel;                         /* lengths of sel: 1, or ntypes */
    const int64_t *sel;                   /* owned by the descriptor */
    int32_t nangle;                       /* parts that form angles */
    const struct dgnn_angle_limit *angle; /* nangle: of which neighbours; owned by the descriptor */
    int64_t dim_out;
    int64_t dim_rotation;              /* rows of its rotation matrix; 0: it has none */
    int64_t parameters;                /* numbers in its weights */
    int32_t dtype;                     /* what it computes in */
    int32_t dim_charge_spin;           /* 0 or 2 */
    const double *default_charge_spin; /* 2, or NULL */
    int32_t has_message_passing;
    int32_t has_message_passing_across_ranks; /* as deepmd-kit answers; dgnn runs all on many ranks */
    int32_t has_graph_form;                   /* may graph semantics be chosen? */
    int32_t uses_first_type; /* do empty slots carry the type embedding of the frame's first atom? */
    int32_t has_native_spin; /* does it take the atoms' spins themselves? */
    const char *note;        /* what a user should know of it, without quotes; NULL */
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

/* One evaluation: what forward and backward of one frame share. */
struct dgnn_evaluation {
    const struct dgnn_graph *graph;
    struct dgnn_exchange *exchange; /* NULL: no ghosts */
    const double *charge_spin;      /* 2, or NULL */
    double *edge_gradient;          /* nedge x 3, or 4 x nedge x 3 with want_moments; backward adds to it */
    int32_t want_gradient;          /* 0: backward will not be called */
    int32_t want_moments; /* 1: backward has four sides (below), of a descriptor that passes messages */
    int64_t nidle; /* outputs of so many owned nodes, the last ones, are not used, and their gradients are 0
                    */
    struct dgnn_profile *profile; /* NULL: nothing is measured */
    /* Of what energies are made, for who asked; NULL for others. */
    double *descriptor; /* nowned x dim_out */
    double *last_layer; /* nowned x dim_last_layer of the fitting net */
    /* Of descriptors with native spins; NULL for others. */
    const double *spins;        /* nnode x 3 */
    double *node_spin_gradient; /* nowned x 3, backward adds what comes through an atom's own spin */
    double *edge_spin_gradient; /* nedge x 3, backward adds dE/dspin of the edge's other node */
    /* Where loading said that it is wanted, nowned x dim_rotation x 3 each; else NULL. */
    double *rotation;          /* forward writes the rotation matrix: equivariant rows of each node */
    double *rotation_gradient; /* backward reads the gradient by it */
};

/* Where no message passes, an evaluation can go chunk of centres by chunk, each from its edges to its
 * energies and back before the next, so that little is kept. After prepare; calls of different threads may
 * run at once, and none can fail. */
struct dgnn_descriptor_chunks {
    /* How many there are; *first: so many + 1, chunk c is the centres [first[c], first[c + 1]). */
    int64_t (*chunks)(const struct dgnn_descriptor_workspace *workspace, const int64_t **first);
    /* output: centres of the chunk x dim_out. */
    void (*forward)(struct dgnn_descriptor_workspace *workspace, const struct dgnn_evaluation *evaluation,
                    int64_t chunk, int32_t thread, double *output);
    /* After forward of the same chunk on the same thread, with no other chunk between. */
    void (*backward)(struct dgnn_descriptor_workspace *workspace, const struct dgnn_evaluation *evaluation,
                     int64_t chunk, int32_t thread, const double *output_gradient);
};

struct dgnn_descriptor_kind {
    const char *type;           /* as in "type" of the tree, and in what describes a model */
    const char *const *aliases; /* further names that a tree may give it, then NULL; NULL: there is none */

    /* value: the descriptor's object. Unknown members are refused by name. */
    int (*load)(const struct dgnn_value *value, const struct dgnn_load_context *context,
                struct dgnn_descriptor **descriptor, struct dgnn_error *error);
    void (*free)(struct dgnn_descriptor *descriptor);
    void (*properties)(const struct dgnn_descriptor *descriptor,
                       struct dgnn_descriptor_properties *properties);
    /* Appends its hyper-parameters as members of a JSON object, without the braces. */
    int (*describe)(const struct dgnn_descriptor *descriptor, struct dgnn_text *text,
                    struct dgnn_error *error);
    /* About how many multiplications and additions a centre with n neighbours at these distances, nearest
     * first, takes. Ranks get equal sums of it. NULL: it goes by the number of neighbours. */
    double (*work)(const struct dgnn_descriptor *descriptor, int64_t n, const double *distance);

    /* What evaluations write: memory that grows with the systems that it has seen. Workspaces of one
     * descriptor are independent: each may be at work in a thread of its own. The descriptor outlives them.
     * Errors: MEMORY. */
    int (*workspace_create)(const struct dgnn_descriptor *descriptor,
                            struct dgnn_descriptor_workspace **workspace, struct dgnn_error *error);
    /* NULL is allowed. An exchange that had its rows is settled before, or freed. */
    void (*workspace_free)(struct dgnn_descriptor_workspace *workspace);

    /* Does all of an evaluation that can fail, on this rank alone and without messages: checks of what the
     * evaluation brings, memory of forward and backward, dgnn_exchange_prepare of the rows that they
     * exchange. The ranks agree on its status before one of them goes on, so what follows must not fail on
     * one rank between two exchanges. Always called before forward, with the same evaluation. */
    int (*prepare)(const struct dgnn_descriptor *descriptor, struct dgnn_descriptor_workspace *workspace,
                   const struct dgnn_evaluation *evaluation, struct dgnn_error *error);
    /* output: nowned x dim_out. Keeps in the workspace what backward needs. Collective where there is an
     * exchange: all exchanges are gone through whatever the numbers are. */
    int (*forward)(const struct dgnn_descriptor *descriptor, struct dgnn_descriptor_workspace *workspace,
                   const struct dgnn_evaluation *evaluation, double *output, struct dgnn_error *error);
    /* output_gradient: nowned x dim_out, dE/doutput. After one forward, with the same evaluation. */
    int (*backward)(const struct dgnn_descriptor *descriptor, struct dgnn_descriptor_workspace *workspace,
                    const struct dgnn_evaluation *evaluation, const double *output_gradient,
                    struct dgnn_error *error);
    const struct dgnn_descriptor_chunks *by_chunk; /* NULL: all at once only. Without exchanges. */
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

/* Those of n neighbours that are within a cutoff. */
static inline int64_t dgnn_descriptor_within(int64_t n, const double *distance, double cutoff)
{
    while (n > 0 && distance[n - 1] > cutoff) {
        n--;
    }
    return n;
}

static inline double dgnn_descriptor_work(const struct dgnn_descriptor *descriptor, int64_t n,
                                          const double *distance)
{
    const struct dgnn_descriptor_kind *kind = dgnn_descriptor_kind(descriptor);
    struct dgnn_descriptor_properties own;
    if (kind->work) {
        return kind->work(descriptor, n, distance);
    }
    kind->properties(descriptor, &own);
    return 4.0 * (double)own.parameters * (double)n;
}

#endif
