/* dgnn: deepmd-kit's message-passing potentials on one rank or many, without torch.
 *
 * This is the only public header. It compiles alone, as C11 and as C++17, and names no MPI, CUDA or Python
 * type.
 *
 * Units are eV and Angstrom throughout. Arrays are row-major and contiguous. The caller owns them, unless a
 * declaration says otherwise. A struct that may grow begins with its own size: the caller sets it to sizeof
 * the struct and zeroes the rest. Such a struct grows at its end only. A newer library reads the shorter
 * struct of an older caller as far as it goes, and writes nothing beyond its end. Structs without a size are
 * frozen: they never change.
 *
 * A function that can fail returns an enum dgnn_status, where 0 is success. On failure it fills *error, which
 * may be NULL. The model stays usable after a failed call. After DGNN_ERROR_COMM the communicator must not be
 * used again. The library prints nothing and never aborts.
 *
 * A model does not change once it is loaded, so several threads may compute with it at the same time. A
 * session holds what a call needs beside the weights; dgnn_model_compute uses sessions of the model's own. A
 * session serves one call at a time, and so does a communicator: a second call at the same moment gets
 * DGNN_ERROR_BUSY (with a communicator, on all ranks). Different sessions are independent. Worker threads
 * belong to the process, and all sessions share them. */
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
    DGNN_ERROR_FORMAT,      /* the archive is damaged, or holds no model */
    DGNN_ERROR_UNSUPPORTED, /* the model is sound, but has something that dgnn does not evaluate; the message
                               names it */
    DGNN_ERROR_INPUT, /* an argument of this call is wrong; the message names it and says what was expected */
    DGNN_ERROR_COMM,  /* a message failed or its deadline passed; the communicator must not be used again */
    DGNN_ERROR_MEMORY,     /* an allocation failed; nothing was leaked */
    DGNN_ERROR_SYSTEM,     /* the operating system refused; system_errno says why */
    DGNN_ERROR_BUSY,       /* the session, or the communicator, is in use by another thread */
    DGNN_ERROR_INTERNAL,   /* dgnn broke a promise of its own; please report it */
    DGNN_ERROR_INTERRUPTED /* the caller asked the call to end early (dgnn_model_set_stop) */
};

#define DGNN_MESSAGE_LENGTH 1024

struct dgnn_error {
    int32_t status;       /* enum dgnn_status */
    int32_t system_errno; /* errno with DGNN_ERROR_SYSTEM, otherwise 0 */
    char message[DGNN_MESSAGE_LENGTH];
};

/* Returns the name of a status, such as "DGNN_ERROR_INPUT". The result is never NULL. */
DGNN_API const char *dgnn_status_name(int32_t status);

/* Returns "MAJOR.MINOR.PATCH". */
DGNN_API const char *dgnn_version(void);

/* ------------------------------------------------------------------ models */

enum dgnn_dtype { DGNN_DTYPE_ARCHIVE = 0, DGNN_DTYPE_FLOAT32 = 1, DGNN_DTYPE_FLOAT64 = 2 };
enum dgnn_memory { DGNN_MEMORY_FAST = 0, DGNN_MEMORY_SMALL = 1 };
enum dgnn_radial { DGNN_RADIAL_EXACT = 0, DGNN_RADIAL_TABLE = 1 };
enum dgnn_compressed { DGNN_COMPRESSED_TABLE = 0, DGNN_COMPRESSED_NET = 1, DGNN_COMPRESSED_COMPARE = 2 };
enum dgnn_semantics { DGNN_SEMANTICS_ARCHIVE = 0, DGNN_SEMANTICS_DENSE = 1, DGNN_SEMANTICS_GRAPH = 2 };

struct dgnn_model; /* opaque; freed with dgnn_model_free */

struct dgnn_load_options {
    size_t size;    /* sizeof(struct dgnn_load_options) */
    int32_t dtype;  /* enum dgnn_dtype: the network's type; geometry and sums are always float64 */
    int32_t memory; /* enum dgnn_memory: FAST keeps intermediates (about 3 MB per atom), SMALL computes them
                       again (about 1 MB) */
    int32_t semantics; /* enum dgnn_semantics: of the neighbour list, where the model has both */
    int32_t threads;   /* worker threads, at most 1024; 0: OMP_NUM_THREADS, or without it this rank's share of
                          the cores */
    double skin; /* Angstrom, at most 100: lists reach further by it, so that they survive motion; < 0: 0.5,
                    the default; 0: each call builds its list */
    const char *device; /* "cpu"; "cuda", by this process's number among MPI's on its machine; "cuda:N";
                           "auto", a device where there is one and the model runs on it; NULL: DGNN_DEVICE,
                           else "cpu" */
    const char *head; /* name or alias of one model in a checkpoint of several; NULL: the file's only model */
    int32_t radial;   /* enum dgnn_radial: DPA4C evaluates its radial network, or a table of it */
    int32_t compressed; /* enum dgnn_compressed: a compressed model evaluates its TABLEs, as deepmd-kit does,
                           or the NETworks beside them; COMPARE: its tables, and the description says by how
                           much these differ from the networks */
};

/* Loads a model from a deepmd-kit archive (.pt2, .pte, .json), a checkpoint (.pt) or TorchScript archive
 * (.pth) of deepmd-kit's pt and pt_expt backends, or dgnn's own archive (.dgnn). Nothing in the file is
 * executed. options may be NULL, which means all defaults. *model is set on success only; the caller frees it
 * with dgnn_model_free.
 *
 * Errors: FORMAT; UNSUPPORTED; INPUT for an option out of range (the message names it), for a head that the
 * file does not have, and for a file of several heads of which none was chosen (the message lists them);
 * MEMORY; SYSTEM. */
DGNN_API int dgnn_model_load(const char *path, const struct dgnn_load_options *options,
                             struct dgnn_model **model, struct dgnn_error *error);

/* As dgnn_model_load, from the bytes of an archive. data is read during the call only. name stands for the
 * file in messages. */
DGNN_API int dgnn_model_load_memory(const char *name, const void *data, size_t length,
                                    const struct dgnn_load_options *options, struct dgnn_model **model,
                                    struct dgnn_error *error);

/* Lists the heads of a checkpoint. *json becomes a JSON object that maps each name or alias to {"type_map":
 * [...], "elements": [symbols] or null, "alias_of": null or the head's own name}. It is {} where the file
 * holds one model. The caller frees *json with dgnn_heads_free.
 *
 * elements are the elements that the model saw in training. deepmd-kit's trainer notes them in the checkpoint
 * (info.observed_type in model_params). Without that note they are the types whose out_bias differs from zero
 * by more than 1e-6, as in deepmd-kit. Where neither is there, elements is null.
 *
 * Errors: FORMAT, UNSUPPORTED, INPUT, MEMORY, SYSTEM. */
DGNN_API int dgnn_heads(const char *path, char **json, struct dgnn_error *error);
/* As dgnn_heads, from the bytes of a file. name stands for the file in messages. */
DGNN_API int dgnn_heads_memory(const char *name, const void *data, size_t length, char **json,
                               struct dgnn_error *error);
DGNN_API void dgnn_heads_free(char *json);

/* Writes dgnn's own archive (.dgnn). It holds the model as it was read, whatever dtype and semantics it was
 * loaded with. Afterwards path is either the whole new file or the untouched old one, also where the call
 * fails or the machine stops. Other threads may compute with the model meanwhile. Errors: SYSTEM, UNSUPPORTED
 * (more than 4 GiB), MEMORY. */
DGNN_API int dgnn_model_save(const struct dgnn_model *model, const char *path, struct dgnn_error *error);

/* One array of a model tree that the caller read itself, as the Python side does with .dp and .yaml files. */
struct dgnn_array {
    int32_t dtype; /* element type: 'f' float32, 'd' float64, 'i' int32, 'l' int64, '?' bool (1 byte) */
    int32_t ndim;  /* at most 8 */
    int64_t shape[8];
    const void *data; /* in C order, aligned to its element; read during the call only */
};

/* As dgnn_model_load, from a JSON text in which {"@class": "np.ndarray", "@index": k} stands for arrays[k].
 * name stands for the file in messages. Errors: as dgnn_model_load. */
DGNN_API int dgnn_model_load_tree(const char *name, const char *json, size_t json_length,
                                  const struct dgnn_array *arrays, size_t narrays,
                                  const struct dgnn_load_options *options, struct dgnn_model **model,
                                  struct dgnn_error *error);

/* What dgnn_model_load_tree takes, made from a model, so that a caller can write the model in other formats.
 */
struct dgnn_model_tree {
    size_t size; /* sizeof(struct dgnn_model_tree) */
    char *json;
    size_t json_length;
    struct dgnn_array *arrays; /* their data belongs to the model */
    size_t narrays;
};

/* Fills *tree. The caller frees it with dgnn_model_tree_free. Errors: MEMORY. */
DGNN_API int dgnn_model_tree(const struct dgnn_model *model, struct dgnn_model_tree *tree,
                             struct dgnn_error *error);
DGNN_API void dgnn_model_tree_free(struct dgnn_model_tree *tree);

/* Frees a model that no call and no session uses. NULL is allowed. */
DGNN_API void dgnn_model_free(struct dgnn_model *model);

/* A JSON object that describes the model: type_map, cutoff, dtype, semantics, has_message_passing,
 * has_message_passing_across_ranks, is_spin, virtual_scale (of each type; null without spins), dim_fparam,
 * dim_aparam, dim_descriptor, dim_last_layer, dim_charge_spin, has_default_fparam, has_default_charge_spin,
 * device, device_name (the driver's; null: the CPU), parameters, instruction_set, threads, memory, descriptor
 * (its hyper-parameters), archive (format, digest, flags), elements (symbols with statistics, as dgnn_heads
 * tells them, or null), notes (things a user should know). Owned by the model. */
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

/* What a host must know of a model. The arrays belong to the model. */
struct dgnn_model_info {
    size_t size;   /* sizeof(struct dgnn_model_info), set by the caller */
    double cutoff; /* Angstrom; a host's ghosts must reach further where there are spins:
                      dgnn_model_compute_ghosted */
    int32_t ntypes;
    int32_t output;                /* enum dgnn_output */
    const char *const *type_names; /* ntypes */
    int32_t dtype;                 /* enum dgnn_dtype: the network's type, never DGNN_DTYPE_ARCHIVE */
    int32_t semantics;             /* enum dgnn_semantics, never DGNN_SEMANTICS_ARCHIVE */
    int32_t memory;                /* enum dgnn_memory */
    int32_t threads;
    int32_t has_message_passing; /* 1: a host's ghosts need a border, a direct plan or a mapping */
    int32_t has_message_passing_across_ranks; /* deepmd-kit's answer to the same question */
    int64_t dim_fparam;                       /* numbers of a frame's parameters; 0: the model takes none */
    const double *default_fparam;             /* dim_fparam; NULL: each call must bring fparam */
    int64_t dim_aparam;                       /* numbers of each atom's parameters, which have no default */
    int32_t is_spin;
    int32_t dim_charge_spin;           /* 0, or 2 */
    const double *default_charge_spin; /* 2, or NULL */
    const double *virtual_scale; /* ntypes: Angstrom per unit of spin, 0 for types without spin; NULL where
                                    the model has no spins */
    double skin;                 /* Angstrom */
    int64_t parameters;          /* how many numbers the weights are */
    int32_t nsel;                /* 1: sel counts neighbours of all types together; otherwise ntypes */
    const int64_t *sel;          /* nsel: the most neighbours of an atom in dense semantics */
    int64_t dim_descriptor;      /* numbers of an atom's descriptor; 0: a sum of models, which has several */
    int64_t dim_last_layer;      /* of its fitting net's last hidden layer; 0 where there is none */
    int64_t output_width; /* numbers of an atom's answer, and of the whole's: 1 of energies, 3 of dipoles, ...
                           */
    const char *output_name; /* of a property, what its training data called it; else dgnn_output_name */
    int32_t output_is_mean;  /* 1: the whole is the mean over atoms (an intensive property), not their sum */
    const char *device;      /* "cpu" or "cuda:N" */
};

/* Fills *info, as far as info->size says. Errors: INPUT (a NULL pointer, or a size of 0). */
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

struct dgnn_comm; /* ranks that compute together; its functions are below */

struct dgnn_system {
    size_t size;          /* sizeof(struct dgnn_system) */
    int64_t natoms;       /* n >= 0; with a communicator, the atoms that this rank passes */
    const double *coords; /* n x 3 */
    const int32_t *types; /* n, indices into type_map; -1: a NULL atom, which has no edges and whose results
                             are zero */
    const double *box; /* 3 x 3, whose rows are the lattice vectors; NULL: there is no box, and pbc is ignored
                        */
    int32_t pbc[3];    /* 1: periodic along this lattice vector */
    const double *spins;  /* n x 3 for a spin model, else NULL */
    const double *fparam; /* nfparam; NULL: the model's default */
    int64_t nfparam;
    const double *aparam;      /* n x dim_aparam, or NULL where dim_aparam is 0 */
    int64_t naparam;           /* columns of aparam */
    const double *charge_spin; /* 2: total charge and spin; NULL: the model's default */
    const int64_t *ids; /* n distinct numbers >= 0, or NULL; of two neighbours at the same distance the lower
                           id comes first */
    int32_t grid[3];    /* ranks along each lattice vector; all 0: dgnn chooses */
    int32_t replicated; /* 1: with a communicator, every rank passes the same whole system */
    int32_t request;    /* bits of enum dgnn_request, with a communicator the same on all ranks */
    int32_t nmodel;     /* of a session with several models: the first ones, so many, are evaluated; 0: all */
};

/* The phases of a call, in the order of the calculation. DPA3's time is divided into nodes, edges and angles
 * (with sequential_update its edges count as angles). All of the other descriptors' time is in
 * DGNN_PHASE_FORWARD and DGNN_PHASE_BACKWARD. */
enum dgnn_phase {
    DGNN_PHASE_ATOMS = 0, /* checks, atoms to nodes; on ranks, who owns and who needs an atom */
    DGNN_PHASE_LIST,  /* the neighbour search, or the motion of the neighbours in a list that is used again */
    DGNN_PHASE_GRAPH, /* edges sorted by distance, counts of them, and memory */
    DGNN_PHASE_GEOMETRY_FORWARD,
    DGNN_PHASE_NODE_FORWARD,
    DGNN_PHASE_EDGE_FORWARD,
    DGNN_PHASE_ANGLE_FORWARD,
    DGNN_PHASE_FORWARD,
    DGNN_PHASE_FITTING, /* forward and backward */
    DGNN_PHASE_BACKWARD,
    DGNN_PHASE_NODE_BACKWARD,
    DGNN_PHASE_EDGE_BACKWARD,
    DGNN_PHASE_ANGLE_BACKWARD,
    DGNN_PHASE_GEOMETRY_BACKWARD,
    DGNN_PHASE_MESSAGES, /* packing for other ranks and waiting for them, in DPA3 and in what follows it */
    DGNN_PHASE_GRADIENT, /* edge gradients to forces and virials, and results into the caller's order */
    DGNN_PHASE_COUNT
};

#define DGNN_PHASE_ROOM 32 /* the length of a profile's arrays, which leaves space for new phases */

/* Returns a phase's name, such as "node forward"; NULL for a number that is no phase. */
DGNN_API const char *dgnn_phase_name(int32_t phase);

/* Bits that say which inputs of its activations DPA3 keeps from forward for backward. Backward computes the
 * others again. The results are the same bits either way. With DGNN_MEMORY_FAST the first evaluations try out
 * which is faster; with DGNN_MEMORY_SMALL nothing is kept (docs/performance.md). Unless layers are
 * sequential, the first layer's angles are always computed again, and so are its edges where they start from
 * the distance. */
enum dgnn_kept { DGNN_KEPT_EDGES = 1, DGNN_KEPT_ANGLES = 2 };

/* Where the time of one call goes, in seconds of wall clock in the thread that called. */
struct dgnn_profile {
    size_t size;                     /* sizeof(struct dgnn_profile) */
    double clock;                    /* for dgnn's use: when the running phase began */
    double seconds[DGNN_PHASE_ROOM]; /* indexed by enum dgnn_phase */
    double flop[DGNN_PHASE_ROOM]; /* floating-point operations in the matrix products that the energy depends
                                     on; 0 for others than DPA3 */
    double split_flop;            /* operations of all products in the layers' split form, needed or not
                                     (docs/performance.md) */
    int64_t nangle_edge;          /* edges that form angles with others */
    int64_t nangle;               /* angles: ordered pairs of such edges at one centre */
    int32_t kept; /* bits of enum dgnn_kept for this call on this rank; 0 for others than DPA3 */
};

struct dgnn_result {
    size_t size;        /* sizeof(struct dgnn_result) */
    double energy;      /* eV, of the whole system; every rank gets the same bits */
    double virial[9];   /* eV; rows are components of the gradient, columns of the displacement; stress =
                           -virial / volume */
    double *forces;     /* n x 3, or NULL */
    double *forces_mag; /* n x 3, or NULL; -dE/dspin, which is 0 for types without spin and for models without
                           spins */
    double *atom_energy; /* n, or NULL */
    /* n x 9, or NULL: W_j = - sum_i dE_i/dr_j (x) (r_j - r_i) (row: of the gradient, column: of the
     * displacement), with the displacement of each path of messages, spins held fixed. With message passing a
     * call that asks for it takes two to three times as long. */
    double *atom_virial;
    int64_t nedges;      /* edges of this rank's atoms within the cutoff, after truncation to sel */
    int64_t ntruncated;  /* atoms that had more than sel neighbours; dgnn_model_compute counts those of all
                            ranks */
    int64_t nghosts;     /* rows of other ranks' atoms on this rank */
    int32_t list_reused; /* 1: the neighbour list of an earlier call was used again */
    int64_t nangle_truncated;     /* as ntruncated, for the neighbours that may form angles */
    struct dgnn_profile *profile; /* NULL: nothing is measured; otherwise zeroed and filled, at the cost of a
                                     few clock reads per layer */
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

/* Computes energy, forces and virial. Without a communicator (NULL) the call is of one rank. With one it is
 * collective, and an error on one rank is returned on all. The arrays in *result belong to the caller. An
 * array that is NULL is not computed, where that saves time. Errors: INPUT, COMM, MEMORY, BUSY (another
 * thread uses the communicator).
 *
 * Any number of threads may call with one model at the same time. Each call takes one of the model's free
 * sessions, preferably the one whose last call had the same atoms. The model keeps one session for good. A
 * later call frees the others once they were idle for a second. Without a communicator, as many calls compute
 * at a time as the machine has cores (at least two); further calls wait. */
DGNN_API int dgnn_model_compute(struct dgnn_model *model, const struct dgnn_system *system,
                                struct dgnn_comm *comm, struct dgnn_result *result, struct dgnn_error *error);

/* What a call would take, before it is made. */
struct dgnn_estimate {
    size_t size;         /* sizeof(struct dgnn_estimate) */
    int64_t nedges;      /* as in struct dgnn_result: edges of this rank's atoms */
    int64_t nghosts;     /* remote rows on this rank */
    int64_t nangle_edge; /* as in struct dgnn_profile; 0 for others than DPA3 */
    int64_t nangle;      /* ... angles */
    int64_t nbytes;      /* memory of this rank's arrays beside the model's own */
    double cost; /* about proportional to the time that this rank computes, for one model on one machine */
    double flop; /* in matrix products; 0 for others than DPA3 */
    double split_flop; /* ... of the layers' split form */
};

/* Counts what dgnn_model_compute would do for the system, and computes nothing: it makes the neighbour list
 * and the graph, and lays the memory out by the functions that the call itself uses. That memory is not
 * touched, so systems may be larger than the machine's memory. Collective with a communicator. Errors: as of
 * dgnn_model_compute. */
DGNN_API int dgnn_model_estimate(struct dgnn_model *model, const struct dgnn_system *system,
                                 struct dgnn_comm *comm, struct dgnn_estimate *estimate,
                                 struct dgnn_error *error);

/* ------------------------------------------------------------------ a host code's own ghosts */

/* A host's swap sequence, whose contract is in docs/exchange.md. Indices are rows of the host's arrays.
 * Frozen. */
struct dgnn_border {
    int32_t nswap;                  /* the same on every rank */
    const int32_t *sendproc;        /* nswap */
    const int32_t *recvproc;        /* nswap */
    const int32_t *sendnum;         /* nswap */
    const int32_t *recvnum;         /* nswap */
    const int32_t *const *sendlist; /* nswap lists of sendnum[s] rows */
    const int32_t *firstrecv; /* nswap: first row that each swap fills; NULL, or checked against the counts */
};

/* A host's direct plan, for hosts without swaps: one message goes to each neighbour, and one comes from it.
 * Frozen. */
struct dgnn_direct {
    int32_t nneighbour;
    const int32_t *rank;       /* nneighbour */
    const int64_t *send_first; /* nneighbour + 1, CSR into send_row */
    const int32_t *send_row;   /* owned rows that are sent */
    const int64_t *recv_first; /* nneighbour + 1, CSR into recv_row */
    const int32_t *recv_row;   /* ghost rows that are received, each exactly once */
};

struct dgnn_ghosted {
    size_t size;          /* sizeof(struct dgnn_ghosted) */
    int64_t nlocal;       /* owned rows, which come first */
    int64_t nall;         /* owned and ghost rows */
    const double *coords; /* nall x 3, ghosts at the position of their image */
    const int32_t *types; /* nall */
    const double *spins;  /* nall x 3 with the ghosts' spins for a spin model, else NULL */
    const double *fparam;
    int64_t nfparam;
    const double *aparam; /* nlocal x dim_aparam */
    int64_t naparam;
    const double *charge_spin;
    const struct dgnn_border *border; /* one way to say who owns the ghosts; direct and mapping are NULL then
                                       */
    const struct dgnn_direct *direct; /* another way, with or without a mapping */
    const int64_t *mapping; /* nall: the row that stands for each row's atom. Without direct, all atoms are of
                               this rank, and each entry is an owned row. With direct, a ghost that a message
                               brings stands for itself; any other ghost is an image of such a ghost or of an
                               owned row. So recv_row names one row for each remote atom, however many images
                               of it are here */
    const int64_t *neighbour_first; /* nlocal + 1, CSR into neighbour; NULL: dgnn searches neighbours itself
                                     */
    const int32_t *neighbour;       /* rows; -1: an empty place, which is skipped */
    int32_t same_list; /* 1: ghosts, lists and border are those of the last call, and only positions and spins
                          moved; for dgnn_model_compute_ghosted, of this thread's last call with the model */
    int32_t add_ghost_forces; /* 1: ghosts' forces are sent to their owners and added there; 0: they are
                                 returned in the ghosts' rows */
    int32_t request;          /* bits of enum dgnn_request */
    int32_t nmodel;           /* as in struct dgnn_system; one call may differ from the next */
};

/* Who owns the ghosts of a host. */
struct dgnn_owners {
    size_t size;         /* sizeof(struct dgnn_owners) */
    int64_t nlocal;      /* owned rows, which come first */
    int64_t nall;        /* owned and ghost rows */
    const int32_t *rank; /* nall - nlocal: the rank that owns each ghost's atom, which may be this rank */
    const int32_t *row;  /* nall - nlocal: the atom's row on that rank, less than that rank's nlocal */
};

/* What struct dgnn_ghosted takes as direct and mapping. The plan owns its arrays. */
struct dgnn_ghost_plan {
    size_t size; /* set by dgnn */
    const struct dgnn_direct *direct;
    const int64_t *mapping;
    int64_t nremote; /* rows that direct brings: one for each remote atom, which is the first of its ghosts */
};

/* Makes a direct plan and a mapping from the owners of a host's ghosts. They are valid until the host
 * distributes its rows again. The call is collective where comm is given; without one, all ghosts must be
 * images of owned rows. *plan is set on success only; the caller frees it with dgnn_ghost_plan_free. Errors,
 * on all ranks: INPUT (a rank or a row that does not exist), COMM, MEMORY; BUSY. */
DGNN_API int dgnn_direct_from_owners(const struct dgnn_owners *owners, struct dgnn_comm *comm,
                                     struct dgnn_ghost_plan **plan, struct dgnn_error *error);
/* Frees a plan; the call is local. NULL is allowed. */
DGNN_API void dgnn_ghost_plan_free(struct dgnn_ghost_plan *plan);

/* As dgnn_model_compute, for rows that a host code distributed. forces, forces_mag and atom_virial have nall
 * rows. energy and virial are this rank's share. The call is collective where comm is given.
 *
 * In a spin model each row stands for a real atom and its virtual atom. Without neighbours, dgnn searches
 * among all of them. Its results are those of dgnn_model_compute, if ghosts reach as far as the cutoff plus
 * twice the longest displacement (virtual_scale times spin). With neighbours, dgnn makes the list of real and
 * virtual atoms from the host's list of atoms, as deepmd-kit does in LAMMPS: the neighbours of a real atom,
 * and those of its virtual atom, are the other one of the two, the listed neighbours and their virtual atoms.
 * Only those within the cutoff count. */
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
    const char *const *type_map; /* names of the types in calls; NULL: the first model's */
    int32_t ntypes;              /* length of type_map */
};

/* Creates a session of nmodel models, 1 to 1024. The models must outlive it; the same model may be there
 * twice. Types are matched by name. The type map may have types that a model lacks, but an atom of such a
 * type is refused (INPUT). All models that take fparam get the call's, so they must agree on its width; the
 * same holds for aparam and charge_spin. The list has the first model's skin and threads. options may be
 * NULL. The caller frees *session with dgnn_session_free. Errors: INPUT, UNSUPPORTED (models with and without
 * spins, or with different virtual_scale), MEMORY. */
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

/* As dgnn_model_compute_ghosted, for all models of the session. same_list refers to the session's last call.
 */
DGNN_API int dgnn_session_compute_ghosted(struct dgnn_session *session, const struct dgnn_ghosted *system,
                                          struct dgnn_comm *comm, struct dgnn_result *results,
                                          struct dgnn_error *error);

/* What a session may tell its host. Each kind is told once, by the first successful call that meets it. */
enum dgnn_notice_kind {
    DGNN_NOTICE_TRUNCATED = 0,    /* atoms have more than sel neighbours, and the farthest are left out */
    DGNN_NOTICE_ANGLES_TRUNCATED, /* atoms have more neighbours than may form angles, and the farthest form
                                     none */
    DGNN_NOTICE_SMALL_SPINS, /* virtual atoms are nearer than 0.05 Angstrom to their real atoms, where the
                                model is nearly singular */
    DGNN_NOTICE_COUNT
};

struct dgnn_notice {
    size_t size;         /* set by dgnn */
    int32_t kind;        /* enum dgnn_notice_kind */
    int32_t model;       /* index of the session's model */
    int64_t count;       /* how many atoms: dgnn_session_compute counts those of all ranks, except for spins;
                            otherwise of this rank */
    const char *message; /* a sentence for the user, valid until notice returns */
};

/* Sets the function through which later calls of the session tell what a user should know. A call runs
 * notice(context, ...) in the thread that computes, before it returns. notice must not use the session or its
 * communicator. With NULL, as after creation, nothing is told. Each kind may be told again after this
 * function. Errors: INPUT, BUSY. */
DGNN_API int dgnn_set_notice(struct dgnn_session *session,
                             void (*notice)(void *context, const struct dgnn_notice *notice), void *context,
                             struct dgnn_error *error);

/* Frees a session. It must be freed before its models and, if it exchanged messages, before the message
 * library ends. NULL is allowed. */
DGNN_API void dgnn_session_free(struct dgnn_session *session);

/* ------------------------------------------------------------------ ranks */

enum dgnn_reduction { DGNN_REDUCE_MAX = 0, DGNN_REDUCE_MIN = 1, DGNN_REDUCE_SUM = 2 };

/* The functions that dgnn needs from a message library. One implementation is over MPI (the Python package
 * has one for each MPI), another lets threads of one process be ranks. Each function returns 0, or an enum
 * dgnn_status and fills *error. Requests are persistent: they are made once and started many times. A request
 * is not started again before its last start was waited for. */
struct dgnn_transport {
    size_t size;   /* sizeof(struct dgnn_transport) */
    void *context; /* the first argument of each function */
    int32_t rank;
    int32_t nrank;
    int (*send_create)(void *context, const void *data, int64_t nbytes, int32_t to, int32_t tag,
                       void **request, struct dgnn_error *error);
    int (*receive_create)(void *context, void *data, int64_t nbytes, int32_t from, int32_t tag,
                          void **request, struct dgnn_error *error);
    int (*start)(void *context, void *request, struct dgnn_error *error);
    /* Waits until all requests are complete; DGNN_ERROR_COMM after deadline_s seconds. NULL requests are
     * skipped. */
    int (*wait)(void *context, void **requests, int64_t nrequest, double deadline_s,
                struct dgnn_error *error);
    void (*request_free)(void *context, void *request);
    /* in is nbytes of this rank; out becomes nrank x nbytes, in the order of ranks. */
    int (*allgather)(void *context, const void *in, int64_t nbytes, void *out, double deadline_s,
                     struct dgnn_error *error);
    /* Counts and places are in bytes, nrank of each. */
    int (*alltoallv)(void *context, const void *send, const int64_t *send_count, const int64_t *send_place,
                     void *receive, const int64_t *receive_count, const int64_t *receive_place,
                     double deadline_s, struct dgnn_error *error);
    void (*free)(void *context); /* frees the context; dgnn_comm_free calls it once; local */

    /* What follows is optional: a shorter struct ends here, or it is all 0. */

    /* Replaces each of the nvalue values by its maximum, minimum or sum over all ranks (enum dgnn_reduction).
     * With NULL, dgnn uses alltoallv, up and down a tree of ranks, which waits twice as often. */
    int (*allreduce)(void *context, int64_t *values, int64_t nvalue, int32_t reduction, double deadline_s,
                     struct dgnn_error *error);
    int32_t node_rank;  /* this rank's number on its machine, in [0, node_nrank) */
    int32_t node_nrank; /* ranks on this machine; 0: not known */
};

/* Creates a communicator, which owns the transport from then on; on failure the transport is freed at once. A
 * wait fails after deadline_s seconds; <= 0 means 300. Errors: INPUT (an incomplete transport), MEMORY. */
DGNN_API int dgnn_comm_create(const struct dgnn_transport *transport, double deadline_s,
                              struct dgnn_comm **comm, struct dgnn_error *error);
DGNN_API void dgnn_comm_free(struct dgnn_comm *comm);

/* Creates nrank communicators in comm[0] to comm[nrank - 1], for threads of this process that act as ranks.
 * The caller frees each of them with dgnn_comm_free. */
DGNN_API int dgnn_comm_create_threads(int32_t nrank, double deadline_s, struct dgnn_comm **comm,
                                      struct dgnn_error *error);

/* Lets all ranks agree on whether one of them failed; collective. Each rank passes its own status and *error.
 * All ranks return the status of the lowest rank that failed, with that rank's message behind "rank 2: ".
 * operation (at most 63 characters) names what this rank is about to do; ranks that are about to do different
 * things get INPUT, with both names. Errors: those that ranks pass, INPUT, COMM, BUSY.
 *
 * dgnn_model_compute begins with an agreement on "compute", and dgnn_model_compute_ghosted with one on
 * "compute_ghosted". A rank that cannot make the call that the others make passes its error to that agreement
 * instead, so that nobody waits for it. */
DGNN_API int dgnn_comm_agree(struct dgnn_comm *comm, const char *operation, int32_t status,
                             struct dgnn_error *error);

/* The traffic of this rank since the communicator's creation or the last reset. dgnn_comm_counts must not run
 * during another call that uses the communicator. Frozen. */
struct dgnn_comm_count {
    int64_t forward_messages; /* rows of features for ghosts */
    int64_t reverse_messages; /* gradients of these rows, on the way back */
    int64_t position_messages;
    int64_t force_messages;
    int64_t other_messages; /* plans, agreements, and atoms that change their rank */
    int64_t bytes;
    int64_t feature_bytes; /* the part of bytes that forward and reverse messages carry */
};
DGNN_API void dgnn_comm_counts(struct dgnn_comm *comm, struct dgnn_comm_count *count, int32_t reset);

/* As dgnn_comm_agree; besides, *vote, which is 0 or more, becomes the largest vote of all ranks. */
DGNN_API int dgnn_comm_vote(struct dgnn_comm *comm, const char *operation, int32_t status, int32_t *vote,
                            struct dgnn_error *error);

/* This rank's number, and how many there are. NULL places are left out. */
DGNN_API void dgnn_comm_place(const struct dgnn_comm *comm, int32_t *rank, int32_t *nrank);

/* in: nbytes of this rank, as many on all of them; out: nrank x nbytes, in the order of ranks. Collective;
 * ranks have agreed on nbytes before. Errors: INPUT, COMM, BUSY. */
DGNN_API int dgnn_comm_allgather(struct dgnn_comm *comm, const void *in, int64_t nbytes, void *out,
                                 struct dgnn_error *error);

/* Says that this rank begins another call, in which it will come to an agreement; local. Agreements compare
 * how many calls each rank began. Where one rank began a call and left it before the agreement, all ranks get
 * COMM instead of the results of different calls. A host whose calls may end before they agree, as by an
 * exception, begins each of them with this function. Errors: INPUT, BUSY. */
DGNN_API int dgnn_comm_begin(struct dgnn_comm *comm, struct dgnn_error *error);

/* ------------------------------------------------------------------ ending a call early */

/* Sets the function that later calls with the model ask whether they should end early. The thread that
 * computes asks wanted(context) between pieces of the calculation, at most every 50 ms. Where the answer is
 * not 0, the call returns DGNN_ERROR_INTERRUPTED after the running piece, and the model stays usable. wanted
 * may read what a signal handler or another thread sets. It must not use the model, and several threads may
 * run it at the same time. With NULL, as after loading, nothing is asked. A call with a communicator never
 * asks, since it must end on all ranks together. Errors: INPUT. */
DGNN_API int dgnn_model_set_stop(struct dgnn_model *model, int (*wanted)(void *context), void *context,
                                 struct dgnn_error *error);

/* As dgnn_model_set_stop, for calls of a session. Errors: INPUT, BUSY. */
DGNN_API int dgnn_session_set_stop(struct dgnn_session *session, int (*wanted)(void *context), void *context,
                                   struct dgnn_error *error);

#ifdef __cplusplus
}
#endif
#endif
