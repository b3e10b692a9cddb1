/* dgnn: deepmd-kit's message-passing potentials on one rank or many, without torch.
 *
 * The only public header. It compiles alone as C11 and as C++17 and names no MPI, CUDA or Python type.
 *
 * Units are eV and Angstrom throughout. Arrays are row-major, contiguous and owned by the caller, unless a
 * declaration says otherwise. Every struct that may grow begins with its own size: set it to sizeof the
 * struct and zero the rest. A newer library reads the struct of an older caller as far as it goes, and writes
 * nothing beyond. It grows at its end only; structs without a size are frozen: they never change.
 *
 * Every function that can fail returns an enum dgnn_status (0 is success) and, on failure, fills *error
 * (which may be NULL). A failed call leaves the model usable, except after DGNN_ERROR_COMM: then the
 * communicator is not used again. Nothing is printed, and nothing aborts.
 *
 * A model does not change once it is loaded: several threads may compute with it at the same time. What a
 * call needs beside the weights is in a session; dgnn_model_compute works in sessions of the model's own. A
 * session, and a communicator, serve one call at a time: a second one at the same moment gets DGNN_ERROR_BUSY
 * (with a communicator, on all ranks). Different sessions are independent. Worker threads belong to the
 * process, and are shared by all sessions.
 */
#ifndef DGNN_H
#define DGNN_H

#include <stddef.h>
#include <stdint.h>

#define DGNN_VERSION "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define DGNN_API __attribute__((visibility("default")))
#else
#define DGNN_API
#endif

/* ------------------------------------------------------------------ errors */

enum dgnn_status {
    DGNN_OK = 0,
    DGNN_ERROR_FORMAT,      /* the archive is damaged, or is no model */
    DGNN_ERROR_UNSUPPORTED, /* a sound model with something that dgnn does not evaluate; named in the message
                             */
    DGNN_ERROR_INPUT,       /* an argument of this call; named in the message with what was expected */
    DGNN_ERROR_COMM,        /* a message failed or its deadline passed; the communicator is not used again */
    DGNN_ERROR_MEMORY,      /* an allocation failed; nothing was leaked */
    DGNN_ERROR_SYSTEM,      /* the operating system refused; system_errno says why */
    DGNN_ERROR_BUSY,        /* the session, or the communicator, is in use by another thread */
    DGNN_ERROR_INTERNAL,    /* a broken promise inside dgnn; please report it */
    DGNN_ERROR_INTERRUPTED  /* the caller wished that the call end early: dgnn_model_set_stop */
};

#define DGNN_MESSAGE_LENGTH 1024

struct dgnn_error {
    int32_t status;       /* enum dgnn_status */
    int32_t system_errno; /* with DGNN_ERROR_SYSTEM, else 0 */
    char message[DGNN_MESSAGE_LENGTH];
};

/* The name of a status, such as "DGNN_ERROR_INPUT". Never NULL. */
DGNN_API const char *dgnn_status_name(int32_t status);

/* "MAJOR.MINOR.PATCH". */
DGNN_API const char *dgnn_version(void);

/* ------------------------------------------------------------------ models */

enum dgnn_dtype { DGNN_DTYPE_ARCHIVE = 0, DGNN_DTYPE_FLOAT32 = 1, DGNN_DTYPE_FLOAT64 = 2 };
enum dgnn_memory { DGNN_MEMORY_FAST = 0, DGNN_MEMORY_SMALL = 1 };
enum dgnn_radial { DGNN_RADIAL_EXACT = 0, DGNN_RADIAL_TABLE = 1 };
enum dgnn_semantics { DGNN_SEMANTICS_ARCHIVE = 0, DGNN_SEMANTICS_DENSE = 1, DGNN_SEMANTICS_GRAPH = 2 };

struct dgnn_model; /* opaque; freed with dgnn_model_free */

struct dgnn_load_options {
    size_t size;    /* sizeof(struct dgnn_load_options) */
    int32_t dtype;  /* enum dgnn_dtype: what the network computes in; geometry and sums are float64 always */
    int32_t memory; /* enum dgnn_memory: keep intermediates (about 3 MB an atom) or recompute (about 1) */
    int32_t semantics; /* enum dgnn_semantics: neighbour-list semantics, where the model has both */
    int32_t threads;   /* worker threads; 0: OMP_NUM_THREADS, else this rank's share of the cores */
    double skin; /* Angstrom by which lists outlive motion; < 0: the default, 0.5; 0: rebuild at each call */
    const char *device; /* NULL or "cpu" */
    const char *head;   /* which model of a checkpoint with several, by name or alias; NULL: the only one */
    int32_t radial;     /* enum dgnn_radial: DPA4C's radial network as it is, or as a table of it */
};

/* Reads a deepmd-kit archive (.pt2, .pte, .json), a checkpoint (.pt) or TorchScript archive (.pth) of its pt
 * and pt_expt backends, or dgnn's own (.dgnn). Nothing in the archive is executed. options may be NULL.
 * *model is set on success only. threads: at most 1024; skin: at most 100; an option that is out of range is
 * INPUT, by name. Errors: FORMAT, UNSUPPORTED, INPUT (a head that is not there; several and none chosen, with
 * the list), MEMORY, SYSTEM. */
DGNN_API int dgnn_model_load(const char *path, const struct dgnn_load_options *options,
                             struct dgnn_model **model, struct dgnn_error *error);

/* The same from the bytes of an archive, which are only read during the call. name is used in messages. */
DGNN_API int dgnn_model_load_memory(const char *name, const void *data, size_t length,
                                    const struct dgnn_load_options *options, struct dgnn_model **model,
                                    struct dgnn_error *error);

/* The heads of a checkpoint: *json is a JSON object, name or alias to {"type_map": [...], "elements":
 * [symbols] or null, "alias_of": null or the head's own name}; {} where the file holds one model. elements
 * are those that the model saw in training: the checkpoint's note of them (info.observed_type in
 * model_params, which deepmd-kit's trainer writes), else the types whose out_bias is beyond 1e-6 from zero,
 * as deepmd-kit judges; null where neither is there. *json is freed with dgnn_heads_free. Errors: FORMAT,
 * UNSUPPORTED, INPUT, MEMORY, SYSTEM. */
DGNN_API int dgnn_heads(const char *path, char **json, struct dgnn_error *error);
/* The same from the bytes of a file; name is used in messages. */
DGNN_API int dgnn_heads_memory(const char *name, const void *data, size_t length, char **json,
                               struct dgnn_error *error);
DGNN_API void dgnn_heads_free(char *json);

/* Writes dgnn's own archive (.dgnn): the model as it was read, whatever dtype and semantics it was loaded
 * with. Whatever happens, path is afterwards the old file or the new one, whole. May run beside
 * dgnn_model_compute. Errors: SYSTEM, UNSUPPORTED (more than 4 GiB), MEMORY. */
DGNN_API int dgnn_model_save(const struct dgnn_model *model, const char *path, struct dgnn_error *error);

/* One array of a model tree that was read elsewhere (the Python side reads .dp and .yaml). */
struct dgnn_array {
    int32_t dtype; /* element type: 'f' float32, 'd' float64, 'i' int32, 'l' int64, '?' bool (1 byte) */
    int32_t ndim;  /* at most 8 */
    int64_t shape[8];
    const void *data; /* C order, aligned to its element; only read during the call */
};

/* Loads from a JSON text in which array k stands as {"@class": "np.ndarray", "@index": k}. name is used in
 * messages. Errors as dgnn_model_load. */
DGNN_API int dgnn_model_load_tree(const char *name, const char *json, size_t json_length,
                                  const struct dgnn_array *arrays, size_t narrays,
                                  const struct dgnn_load_options *options, struct dgnn_model **model,
                                  struct dgnn_error *error);

/* What dgnn_model_load_tree takes, from a model: for writing it in other formats. */
struct dgnn_model_tree {
    size_t size; /* sizeof(struct dgnn_model_tree) */
    char *json;
    size_t json_length;
    struct dgnn_array *arrays; /* their data belongs to the model */
    size_t narrays;
};

/* Fills *tree, which is freed with dgnn_model_tree_free. Errors: MEMORY. */
DGNN_API int dgnn_model_tree(const struct dgnn_model *model, struct dgnn_model_tree *tree,
                             struct dgnn_error *error);
DGNN_API void dgnn_model_tree_free(struct dgnn_model_tree *tree);

/* NULL is allowed. */
DGNN_API void dgnn_model_free(struct dgnn_model *model);

/* A JSON object that describes the model: type_map, cutoff, dtype, semantics, has_message_passing,
 * has_message_passing_across_ranks, is_spin, virtual_scale (of each type; null without spins), dim_fparam,
 * dim_aparam, dim_descriptor, dim_last_layer, dim_charge_spin, has_default_fparam, has_default_charge_spin,
 * parameters, instruction_set, threads, memory, descriptor (its hyper-parameters), archive (format, digest,
 * flags), elements (symbols with statistics, as dgnn_heads tells them, or null), notes (things a user should
 * know). Owned by the model. */
DGNN_API const char *dgnn_model_describe(const struct dgnn_model *model);

/* What a model's answer is. */
enum dgnn_output {
    DGNN_OUTPUT_ENERGY = 0,   /* with forces and virial */
    DGNN_OUTPUT_DIPOLE = 1,   /* 3 numbers, with derivatives on request */
    DGNN_OUTPUT_POLAR = 2,    /* 3 x 3 numbers: a polarisability */
    DGNN_OUTPUT_DOS = 3,      /* a density of states, on a grid that the model does not know */
    DGNN_OUTPUT_PROPERTY = 4, /* whatever its output_name says */
    DGNN_OUTPUT_COUNT
};

/* "energy", "dipole", "polar", "dos", "property"; NULL for what is none. */
DGNN_API const char *dgnn_output_name(int32_t output);

/* What a host must know of a model. Pointers belong to the model. */
struct dgnn_model_info {
    size_t size;   /* sizeof(struct dgnn_model_info), set by the caller */
    double cutoff; /* Angstrom; with spins, a host's ghosts reach further: dgnn_model_compute_ghosted */
    int32_t ntypes;
    int32_t output;                /* enum dgnn_output */
    const char *const *type_names; /* ntypes */
    int32_t dtype;     /* enum dgnn_dtype: what the network computes in, never DGNN_DTYPE_ARCHIVE */
    int32_t semantics; /* enum dgnn_semantics, never DGNN_SEMANTICS_ARCHIVE */
    int32_t memory;    /* enum dgnn_memory */
    int32_t threads;
    int32_t has_message_passing; /* then a host's ghosts need a border, a direct plan or a mapping */
    int32_t has_message_passing_across_ranks; /* as deepmd-kit answers */
    int64_t dim_fparam;                       /* 0: takes none */
    const double *default_fparam;             /* dim_fparam, or NULL: each call brings it */
    int64_t dim_aparam;                       /* numbers of each atom; without a default */
    int32_t is_spin;
    int32_t dim_charge_spin;           /* 0, or 2 */
    const double *default_charge_spin; /* 2, or NULL */
    const double *virtual_scale; /* ntypes: Angstrom per unit of spin, 0 for types without; NULL without spins
                                  */
    double skin;                 /* Angstrom */
    int64_t parameters;          /* numbers in the weights */
    int32_t nsel;                /* 1: neighbours of all types together; else ntypes */
    const int64_t *sel;          /* nsel: most neighbours, in dense semantics */
    int64_t dim_descriptor;      /* numbers of an atom's descriptor; 0: a sum of models, which has several */
    int64_t dim_last_layer;      /* of its fitting net's last hidden layer; 0 where there is none */
    int64_t output_width; /* numbers of an atom's answer, and of the whole's: 1 of energies, 3 of dipoles, ...
                           */
    const char *output_name; /* of a property, what its training data called it; else dgnn_output_name */
    int32_t output_is_mean;  /* 1: the whole is the mean over atoms (an intensive property), not their sum */
};

/* Fills *info. Errors: INPUT (NULL, or no size). */
DGNN_API int dgnn_model_get_info(const struct dgnn_model *model, struct dgnn_model_info *info,
                                 struct dgnn_error *error);

/* ------------------------------------------------------------------ one system */

/* Bits of what a call is to do beside, or instead of, energy and forces. */
enum dgnn_request {
    DGNN_REQUEST_DESCRIPTOR = 1, /* result.descriptor */
    DGNN_REQUEST_LAST_LAYER = 2, /* result.last_layer */
    DGNN_REQUEST_NO_FORCES = 4,  /* no gradients: forces and virials are zeros, and a call takes a third */
    DGNN_REQUEST_ALONE = 8 /* the thread that calls does all the work, with the same bits: for hosts that
                              have a thread for each of many small systems */
};

struct dgnn_comm; /* ranks that compute together; below */

struct dgnn_system {
    size_t size;          /* sizeof(struct dgnn_system) */
    int64_t natoms;       /* n >= 0; with a communicator: the atoms this rank passes */
    const double *coords; /* n x 3 */
    const int32_t *types; /* n, indices into type_map; -1: a NULL atom (no edges, zero results) */
    const double *box;    /* 3 x 3, rows are lattice vectors; NULL: no box, pbc is ignored */
    int32_t pbc[3];       /* periodic along each lattice vector? */
    const double *spins;  /* n x 3 for a spin model, else NULL */
    const double *fparam; /* nfparam, or NULL for the model's default */
    int64_t nfparam;
    const double *aparam;      /* n x dim_aparam, or NULL where dim_aparam is 0 */
    int64_t naparam;           /* columns given per atom */
    const double *charge_spin; /* 2, or NULL for the model's default */
    const int64_t *ids;        /* n distinct ids >= 0, or NULL; order decides ties between equal distances */
    int32_t grid[3];           /* ranks along each lattice vector; all 0: chosen */
    int32_t replicated;        /* with a communicator: every rank passes the same whole system */
    int32_t request;           /* bits of enum dgnn_request, with a communicator the same on all ranks */
    int32_t nmodel; /* of a session with several models: the first ones, so many, are evaluated; 0: all */
};

/* Stages of a call, in the order of the calculation. Of DPA3, nodes, edges and angles are told apart (with
 * sequential_update edges are angles, too); of the others all is DGNN_PHASE_FORWARD and DGNN_PHASE_BACKWARD.
 */
enum dgnn_phase {
    DGNN_PHASE_ATOMS = 0, /* checks, atoms to nodes, with ranks: who owns and who needs which */
    DGNN_PHASE_LIST,      /* neighbours, or their motion */
    DGNN_PHASE_GRAPH,     /* edges, nearest first; counts and memory */
    DGNN_PHASE_GEOMETRY_FORWARD,
    DGNN_PHASE_NODE_FORWARD,
    DGNN_PHASE_EDGE_FORWARD,
    DGNN_PHASE_ANGLE_FORWARD,
    DGNN_PHASE_FORWARD,
    DGNN_PHASE_FITTING, /* both ways */
    DGNN_PHASE_BACKWARD,
    DGNN_PHASE_NODE_BACKWARD,
    DGNN_PHASE_EDGE_BACKWARD,
    DGNN_PHASE_ANGLE_BACKWARD,
    DGNN_PHASE_GEOMETRY_BACKWARD,
    DGNN_PHASE_MESSAGES, /* waiting for other ranks, and packing for them; of DPA3 and of what follows it */
    DGNN_PHASE_GRADIENT, /* edge gradients to forces and virials, and results to the caller's order */
    DGNN_PHASE_COUNT
};

#define DGNN_PHASE_ROOM 32 /* room for phases to come */

/* "node forward", ...; NULL for what is no phase. */
DGNN_API const char *dgnn_phase_name(int32_t phase);

/* Bits: whose numbers before the activations DPA3 keeps from forward for backward, which makes the others
 * anew; the results are the same bits. With DGNN_MEMORY_FAST the first evaluations find out which is faster,
 * with DGNN_MEMORY_SMALL none is kept (docs/performance.md). Those of the first layer's angles, and of its
 * edges where they start from the distance, are made anew in any case, unless layers are sequential. */
enum dgnn_kept { DGNN_KEPT_EDGES = 1, DGNN_KEPT_ANGLES = 2 };

/* Where the time of one call goes: seconds by the clock on the wall, of the thread that called. */
struct dgnn_profile {
    size_t size;                     /* sizeof(struct dgnn_profile) */
    double clock;                    /* dgnn's own: when the running phase began */
    double seconds[DGNN_PHASE_ROOM]; /* by enum dgnn_phase */
    double flop[DGNN_PHASE_ROOM];    /* in matrix products that the energy depends on; DPA3 only, else 0 */
    double split_flop;   /* in those of the layers' split form, whether needed or not (docs/performance.md) */
    int64_t nangle_edge; /* edges that form angles */
    int64_t nangle;      /* angles: ordered pairs of these, at one centre */
    int32_t kept;        /* bits of enum dgnn_kept, of this call and rank; DPA3 only, else 0 */
};

struct dgnn_result {
    size_t size;         /* sizeof(struct dgnn_result) */
    double energy;       /* eV; the total, the same bits on every rank */
    double virial[9];    /* eV; row: gradient component, column: displacement; stress = -virial/volume */
    double *forces;      /* n x 3, or NULL */
    double *forces_mag;  /* n x 3, or NULL: -dE/dspin, 0 for types without spin; zeros where the model has no
                            spins */
    double *atom_energy; /* n, or NULL */
    /* n x 9, or NULL: W_j = - sum_i dE_i/dr_j (x) (r_j - r_i) (row: of the gradient, column: of the
     * displacement), with the displacement of each path of messages, spins held fixed. With message passing a
     * call that asks for it takes two to three times as long. */
    double *atom_virial;
    int64_t nedges;      /* edges of this rank's atoms inside the cutoff, after truncation */
    int64_t ntruncated;  /* centres that had more than sel neighbours; dgnn_model_compute: of all ranks */
    int64_t nghosts;     /* remote rows on this rank */
    int32_t list_reused; /* was the neighbour list of an earlier call reused? */
    int64_t nangle_truncated;     /* as ntruncated, of the neighbours that may form angles */
    struct dgnn_profile *profile; /* NULL: nothing is measured. Zeroed and filled; a few clock reads for each
                                     layer */
    /* With DGNN_REQUEST_DESCRIPTOR, DGNN_REQUEST_LAST_LAYER: what the descriptor and the fitting net's last
     * hidden layer give for each atom; zeros for NULL atoms, in spin models rows of the real atoms. A host's
     * ghosts have none: nlocal rows. */
    double *descriptor; /* n x dim_descriptor of struct dgnn_model_info, or NULL */
    double *last_layer; /* n x dim_last_layer, or NULL */
    /* Of a model whose output is not energy; others leave these alone. Its energy and virial are 0, and so
     * are atom_energy, forces, forces_mag and atom_virial. */
    double *output;      /* output_width numbers, or NULL: the whole's answer, the same bits on every rank */
    double *atom_output; /* n x output_width, or NULL: each atom's; 0 of NULL atoms and excluded types */
    double *output_forces;    /* n x 3 x 3, or NULL: of dipoles, -d output[k]/dr as [atom][k][xyz] */
    double output_virial[27]; /* 3 x 3 x 3, with output_forces: of each output[k], as virial */
};

/* Energy, forces and virial. comm NULL: one rank. With a communicator the call is collective, and an error on
 * one rank is returned on all. Buffers in *result belong to the caller; NULL ones are not computed where that
 * saves work. Errors: INPUT, COMM, MEMORY, BUSY (the communicator is in use by another thread).
 *
 * Any number of threads may call with one model at the same time. Each call takes a free session of the
 * model's, the one whose last call had the same atoms if there is one; the model keeps one for good, and
 * frees others, in a later call, once no call has used them for a second. Without a communicator, as many
 * calls as the machine has cores (at least two) are at work at a time, and further ones wait. */
DGNN_API int dgnn_model_compute(struct dgnn_model *model, const struct dgnn_system *system,
                                struct dgnn_comm *comm, struct dgnn_result *result, struct dgnn_error *error);

/* ------------------------------------------------------------------ a host code's own ghosts */

/* A host's swap sequence: docs/exchange.md has the contract. Indices are rows of the host's arrays. Frozen.
 */
struct dgnn_border {
    int32_t nswap;                  /* the same on every rank */
    const int32_t *sendproc;        /* nswap */
    const int32_t *recvproc;        /* nswap */
    const int32_t *sendnum;         /* nswap */
    const int32_t *recvnum;         /* nswap */
    const int32_t *const *sendlist; /* nswap lists of sendnum[s] rows */
    const int32_t *firstrecv;       /* nswap, or NULL; checked against the counts */
};

/* A host's direct plan, for hosts without swaps: one message to and from each neighbour. Frozen. */
struct dgnn_direct {
    int32_t nneighbour;
    const int32_t *rank;       /* nneighbour */
    const int64_t *send_first; /* nneighbour + 1, CSR into send_row */
    const int32_t *send_row;   /* owned rows to send */
    const int64_t *recv_first; /* nneighbour + 1, CSR into recv_row */
    const int32_t *recv_row;   /* ghost rows, each exactly once */
};

struct dgnn_ghosted {
    size_t size;          /* sizeof(struct dgnn_ghosted) */
    int64_t nlocal;       /* owned rows, first */
    int64_t nall;         /* owned and ghost rows */
    const double *coords; /* nall x 3, ghosts at their image's place */
    const int32_t *types; /* nall */
    const double *spins;  /* nall x 3, ghosts' among them, for a spin model; else NULL */
    const double *fparam;
    int64_t nfparam;
    const double *aparam; /* nlocal x dim_aparam */
    int64_t naparam;
    const double *charge_spin;
    const struct dgnn_border *border; /* alone, or: */
    const struct dgnn_direct *direct; /* with or without a mapping */
    const int64_t *mapping; /* nall: the row that stands for each row's atom. Alone, the one-rank form: an
                               owned row for each. With direct, a ghost that direct brings stands for itself,
                               and the others are images of such a ghost or of an owned row: recv_row names
                               one row for each remote atom, however many of its images are here */
    const int64_t *neighbour_first; /* nlocal + 1, or NULL: dgnn searches */
    const int32_t *neighbour;       /* rows; -1: an empty place */
    int32_t same_list; /* ghosts, lists and border are those of the last call (dgnn_model_compute_ghosted: of
                          this thread's last call with the model); only positions and spins moved */
    int32_t add_ghost_forces; /* 1: ghost forces are sent home and added; 0: returned in their rows */
    int32_t request;          /* bits of enum dgnn_request */
    int32_t nmodel;           /* as in struct dgnn_system; one call may differ from the next */
};

/* Who owns the ghosts of a host. */
struct dgnn_owners {
    size_t size;         /* sizeof(struct dgnn_owners) */
    int64_t nlocal;      /* owned rows, first */
    int64_t nall;        /* owned and ghost rows */
    const int32_t *rank; /* nall - nlocal: the rank that owns each ghost's atom; it may be this one */
    const int32_t *row;  /* nall - nlocal: the row there, below that rank's nlocal */
};

/* What struct dgnn_ghosted takes as direct and mapping; its arrays are its own. */
struct dgnn_ghost_plan {
    size_t size; /* set by dgnn */
    const struct dgnn_direct *direct;
    const int64_t *mapping;
    int64_t nremote; /* rows that direct brings: one for each remote atom, the first of its ghosts */
};

/* A direct plan and a mapping from the owners of a host's ghosts, valid until rows are distributed anew.
 * Collective where comm is given; without, all ghosts are images of owned rows. *plan is set on success only,
 * and freed with dgnn_ghost_plan_free. Errors, on all ranks: INPUT (a rank or a row that is not there), COMM,
 * MEMORY; BUSY. */
DGNN_API int dgnn_direct_from_owners(const struct dgnn_owners *owners, struct dgnn_comm *comm,
                                     struct dgnn_ghost_plan **plan, struct dgnn_error *error);
/* Local; NULL is allowed. */
DGNN_API void dgnn_ghost_plan_free(struct dgnn_ghost_plan *plan);

/* As dgnn_model_compute, for rows that a host code distributed. forces, forces_mag and atom_virial have nall
 * rows; energy and virial are this rank's share. Collective where comm is given.
 *
 * Of a spin model, each row is a real atom and its virtual one. Without neighbours, dgnn searches among all
 * of them: dgnn_model_compute's results, if ghosts reach as far as the cutoff plus twice the longest
 * displacement (virtual_scale times spin). With neighbours, a list of atoms becomes one of both kinds: each
 * atom's own other one, its neighbours and their virtual ones, for the real and for the virtual atom; of
 * these, those within the cutoff count. That is deepmd-kit's list in LAMMPS. */
DGNN_API int dgnn_model_compute_ghosted(struct dgnn_model *model, const struct dgnn_ghosted *system,
                                        struct dgnn_comm *comm, struct dgnn_result *result,
                                        struct dgnn_error *error);

/* ------------------------------------------------------------------ sessions */

/* What calls need beside the weights: atoms to nodes, the neighbour list, the exchange, and the numbers of
 * each model's layers. Its memory grows with the systems that it has seen, and a second call of the same size
 * allocates nothing.
 *
 * Several models on one session share the list (which reaches as far as the largest cutoff) and, of a host's
 * rows, the messages' plan; each model's numbers are the bits that it gives alone, whatever the cutoffs, sel,
 * type maps and dtypes of the others. On many ranks those that count the work of an atom alike, as a
 * committee of one architecture, share decomposition, list and plan too; others have their own in the
 * session, since the order of sums over ranks follows from the decomposition. */
struct dgnn_session;

struct dgnn_session_options {
    size_t size;                 /* sizeof(struct dgnn_session_options) */
    const char *const *type_map; /* what types of a call stand for; NULL: the first model's */
    int32_t ntypes;              /* names in type_map */
};

/* models: nmodel in [1, 1024], which outlive the session; one may be there twice. Types are matched by name:
 * a type that a model lacks may be in the map, and an atom of it is INPUT. Models that take fparam, aparam or
 * charge_spin get what the call brings, and agree on its width. Skin and threads of the list are the first
 * model's. options may be NULL. Errors: INPUT, UNSUPPORTED (models with and without spins, or with different
 * virtual_scale), MEMORY. */
DGNN_API int dgnn_session_create(struct dgnn_model *const *models, int32_t nmodel,
                                 const struct dgnn_session_options *options, struct dgnn_session **session,
                                 struct dgnn_error *error);

/* As dgnn_model_compute, for all models, or the first nmodel of them where the system says so: results has
 * one for each that is evaluated, whose sizes are the same. A session may be
 * used with and without communicators. Where an error is returned, the contents of results are not defined.
 * Errors: as there, and BUSY where the session computes in another thread. */
DGNN_API int dgnn_session_compute(struct dgnn_session *session, const struct dgnn_system *system,
                                  struct dgnn_comm *comm, struct dgnn_result *results,
                                  struct dgnn_error *error);

/* As dgnn_model_compute_ghosted; same_list refers to the session's last call. */
DGNN_API int dgnn_session_compute_ghosted(struct dgnn_session *session, const struct dgnn_ghosted *system,
                                          struct dgnn_comm *comm, struct dgnn_result *results,
                                          struct dgnn_error *error);

/* What a session may tell its host, each kind once, at the first call that went well and met it. */
enum dgnn_notice_kind {
    DGNN_NOTICE_TRUNCATED = 0,    /* atoms have more neighbours than sel, and the farthest are left out */
    DGNN_NOTICE_ANGLES_TRUNCATED, /* ... than may form angles */
    DGNN_NOTICE_SMALL_SPINS, /* magnetic atoms whose virtual atoms stand nearer than 0.05 Angstrom: nearly
                                singular */
    DGNN_NOTICE_COUNT
};

struct dgnn_notice {
    size_t size;         /* set by dgnn */
    int32_t kind;        /* enum dgnn_notice_kind */
    int32_t model;       /* which of the session's */
    int64_t count;       /* atoms: of all ranks with dgnn_session_compute, but for spins; else of this rank */
    const char *message; /* a sentence; valid during the call of notice */
};

/* From now on calls of the session tell what a user should know: notice(context, ...) in the thread that
 * computes, before the call returns; it must not use the session or its communicator. NULL: nobody is told,
 * as after creation. Kinds that were told are told again after this. Errors: INPUT, BUSY. */
DGNN_API int dgnn_set_notice(struct dgnn_session *session,
                             void (*notice)(void *context, const struct dgnn_notice *notice), void *context,
                             struct dgnn_error *error);

/* Before its models and, with a message library, before that ends. NULL is allowed. */
DGNN_API void dgnn_session_free(struct dgnn_session *session);

/* ------------------------------------------------------------------ ranks */

enum dgnn_reduction { DGNN_REDUCE_MAX = 0, DGNN_REDUCE_MIN = 1, DGNN_REDUCE_SUM = 2 };

/* What dgnn needs of a message library. MPI is one filling (the Python package carries one per MPI), ranks as
 * threads of one process another. Each function returns 0 or an enum dgnn_status and fills *error.
 * Requests are persistent: made once, started many times; at most one start is outstanding for each. */
struct dgnn_transport {
    size_t size;   /* sizeof(struct dgnn_transport) */
    void *context; /* passed back to each function */
    int32_t rank;
    int32_t nrank;
    int (*send_create)(void *context, const void *data, int64_t nbytes, int32_t to, int32_t tag,
                       void **request, struct dgnn_error *error);
    int (*receive_create)(void *context, void *data, int64_t nbytes, int32_t from, int32_t tag,
                          void **request, struct dgnn_error *error);
    int (*start)(void *context, void *request, struct dgnn_error *error);
    /* Waits for all of them; DGNN_ERROR_COMM after deadline_s seconds. NULL requests are skipped. */
    int (*wait)(void *context, void **requests, int64_t nrequest, double deadline_s,
                struct dgnn_error *error);
    void (*request_free)(void *context, void *request);
    /* in: nbytes of this rank; out: nrank x nbytes in rank order. */
    int (*allgather)(void *context, const void *in, int64_t nbytes, void *out, double deadline_s,
                     struct dgnn_error *error);
    /* counts and places in bytes, nrank each. */
    int (*alltoallv)(void *context, const void *send, const int64_t *send_count, const int64_t *send_place,
                     void *receive, const int64_t *receive_count, const int64_t *receive_place,
                     double deadline_s, struct dgnn_error *error);
    void (*free)(void *context); /* local; called once, by dgnn_comm_free */

    /* A transport may end here, or leave what follows 0. */

    /* values, nvalue of them, become on each rank those of all ranks taken together: enum dgnn_reduction.
     * NULL: dgnn does it with alltoallv, up and down a tree of ranks: twice as many waits. */
    int (*allreduce)(void *context, int64_t *values, int64_t nvalue, int32_t reduction, double deadline_s,
                     struct dgnn_error *error);
    int32_t node_rank;  /* this rank's number among those of its machine, in [0, node_nrank) */
    int32_t node_nrank; /* ranks on its machine; 0: not known */
};

/* Takes over the transport (also on failure, where it is freed at once). deadline_s: how long a wait may
 * take, in seconds; <= 0: 300. */
DGNN_API int dgnn_comm_create(const struct dgnn_transport *transport, double deadline_s,
                              struct dgnn_comm **comm, struct dgnn_error *error);
DGNN_API void dgnn_comm_free(struct dgnn_comm *comm);

/* nrank communicators of one process, for threads that stand for ranks; each is freed on its own. */
DGNN_API int dgnn_comm_create_threads(int32_t nrank, double deadline_s, struct dgnn_comm **comm,
                                      struct dgnn_error *error);

/* All ranks agree on how it went with each; collective. status and *error: this rank's. Returns on all ranks
 * the lowest failing rank's status, with its message behind "rank 2: ". operation (at most 63 characters):
 * what this rank is about to do; ranks about to do different things get INPUT that names both. Errors: any
 * that a rank passes, INPUT, COMM, BUSY.
 *
 * dgnn_model_compute begins with an agreement on "compute", and dgnn_model_compute_ghosted on
 * "compute_ghosted": a rank that cannot make the call that the others make passes its error to that agreement
 * instead, and nobody waits. */
DGNN_API int dgnn_comm_agree(struct dgnn_comm *comm, const char *operation, int32_t status,
                             struct dgnn_error *error);

/* Traffic of this rank since creation or the last reset; not during another call that uses the communicator.
 * Frozen. */
struct dgnn_comm_count {
    int64_t forward_messages; /* feature rows to ghosts */
    int64_t reverse_messages; /* their gradients back */
    int64_t position_messages;
    int64_t force_messages;
    int64_t other_messages; /* plans, agreement, migration */
    int64_t bytes;
    int64_t feature_bytes; /* of them, in forward and reverse messages */
};
DGNN_API void dgnn_comm_counts(struct dgnn_comm *comm, struct dgnn_comm_count *count, int32_t reset);

/* As dgnn_comm_agree, and *vote becomes the largest that a rank passes (each 0 or more). */
DGNN_API int dgnn_comm_vote(struct dgnn_comm *comm, const char *operation, int32_t status, int32_t *vote,
                            struct dgnn_error *error);

/* This rank's number, and how many there are. NULL places are left out. */
DGNN_API void dgnn_comm_place(const struct dgnn_comm *comm, int32_t *rank, int32_t *nrank);

/* in: nbytes of this rank, as many on all of them; out: nrank x nbytes, in the order of ranks. Collective;
 * ranks have agreed on nbytes before. Errors: INPUT, COMM, BUSY. */
DGNN_API int dgnn_comm_allgather(struct dgnn_comm *comm, const void *in, int64_t nbytes, void *out,
                                 struct dgnn_error *error);

/* Local: this rank begins another call, for which it will come to an agreement. Agreements compare the
 * numbers of calls begun: ranks of which one began a call and left it get COMM on all, not the results of
 * different calls. A host whose calls may be left before they agree (by an exception, say) begins each with
 * this. Errors: INPUT, BUSY. */
DGNN_API int dgnn_comm_begin(struct dgnn_comm *comm, struct dgnn_error *error);

/* ------------------------------------------------------------------ ending a call early */

/* From now on a thread that computes with the model asks wanted(context) between pieces of its work, every 50
 * ms at most. Where the answer is not 0, the call ends within a piece with DGNN_ERROR_INTERRUPTED, and the
 * model goes on as after any error. wanted may be what a signal handler or another thread has set; it must
 * not use the model, and calls side by side ask it side by side. NULL: nobody is asked, as after loading. A
 * call with a communicator never asks: it ends for all ranks together. Errors: INPUT. */
DGNN_API int dgnn_model_set_stop(struct dgnn_model *model, int (*wanted)(void *context), void *context,
                                 struct dgnn_error *error);

/* The same for calls of a session. Errors: INPUT, BUSY. */
DGNN_API int dgnn_session_set_stop(struct dgnn_session *session, int (*wanted)(void *context), void *context,
                                   struct dgnn_error *error);

#ifdef __cplusplus
}
#endif
#endif
