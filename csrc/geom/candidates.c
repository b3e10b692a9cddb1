/* Every row's images that may touch a centre are listed and put into bins of half the reach; each centre then
 * looks into the 5 x 5 x 5 bins around it. Bins are keys that images are sorted by, so empty space costs
 * nothing. */
#include "geom/candidates.h"

#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "base/stop.h"

/* Added to the reach (Angstrom): far above rounding in this file, far below any distance that matters. */
#define CANDIDATES_SLACK      1e-6
/* More bins than this along one axis are made wider; keys then fit 60 bits. */
#define CANDIDATES_MAX_BINS   (1 << 20)
/* A box so small that one row has more images than this within reach is refused, and so are rows so far
 * apart. */
#define CANDIDATES_MAX_IMAGES 1000000

struct image {
    double position[3];
    struct dgnn_pair pair;
};

struct image_key {
    uint64_t key;
    int64_t image;
};

struct range {
    int64_t begin;
    int64_t end; /* exclusive */
};

/* The region of images: a box around the centres in a rotated frame in which h is lower triangular, and one
 * in fractional coordinates. A tilted cell fills the one badly, a small cell the other. */
struct search {
    const struct dgnn_nlist_input *input;
    double reach;
    double axes[9];  /* rows: the rotated frame */
    double lower[9]; /* h in it */
    double low[3];   /* rotated frame */
    double high[3];
    double fraction_low[3];
    double fraction_high[3];
    double width[3]; /* of a bin */
    int64_t nbin[3];
    struct image *images;
    uint64_t *keys; /* of images, once they are sorted */
    int64_t nimage;
};

int dgnn_candidates_reserve(struct dgnn_buffer *buffer, int64_t count, size_t size, const char *what,
                            struct dgnn_error *error)
{
    int64_t nbytes;
    if (!dgnn_alloc_checked(count, (int64_t)size, 0, &nbytes) || nbytes > INT64_MAX / 2) {
        return dgnn_status_no_memory(error, what, INT64_MAX);
    }
    if (buffer->data && nbytes <= buffer->capacity) {
        return DGNN_OK;
    }
    return dgnn_buffer_reserve(buffer, nbytes + nbytes / 8, what, error);
}

static void search_transform(const double *rows, const double *x, double out[3])
{
    for (int k = 0; k < 3; k++) {
        out[k] = rows[3 * k] * x[0] + rows[3 * k + 1] * x[1] + rows[3 * k + 2] * x[2];
    }
}

/* Gram-Schmidt: axes[k] is what lattice vector k adds to the span of those before it. */
static void search_set_frame(struct search *search)
{
    const double *h = search->input->cell->h;
    for (int k = 0; k < 3; k++) {
        double *axis = search->axes + 3 * k;
        memcpy(axis, h + 3 * k, 3 * sizeof(double));
        /* The second pass removes what rounding left of a strong tilt. */
        for (int pass = 0; pass < 2; pass++) {
            for (int m = 0; m < k; m++) {
                const double *other = search->axes + 3 * m;
                double share = axis[0] * other[0] + axis[1] * other[1] + axis[2] * other[2];
                for (int c = 0; c < 3; c++) {
                    axis[c] -= share * other[c];
                }
            }
        }
        double length = sqrt(axis[0] * axis[0] + axis[1] * axis[1] + axis[2] * axis[2]);
        for (int c = 0; c < 3; c++) {
            axis[c] /= length;
        }
    }
    for (int k = 0; k < 3; k++) {
        search_transform(search->axes, h + 3 * k, search->lower + 3 * k);
    }
}

/* Positions are wrapped or nearly so; shifts then fit 32 bits. */
static int search_check_fraction(const struct search *search, int64_t row, const double fraction[3],
                                 struct dgnn_error *error)
{
    for (int k = 0; k < 3; k++) {
        if (search->input->cell->pbc[k] && !(fabs(fraction[k]) <= 2.0 * DGNN_CELL_MAX_WRAP)) {
            return dgnn_status_set(
                error, DGNN_ERROR_INPUT,
                "atom %lld lies %.6g cells out along lattice vector %d; at most %d keep their "
                "precision",
                (long long)dgnn_candidates_label(search->input, row), fraction[k], k, DGNN_CELL_MAX_WRAP);
        }
    }
    return DGNN_OK;
}

static int search_set_region(struct search *search, struct dgnn_error *error)
{
    const struct dgnn_nlist_input *input = search->input;
    const struct dgnn_cell *cell = input->cell;
    double size[3] = {0, 0, 0}; /* of the terms of a fraction, for its rounding error */
    for (int k = 0; k < 3; k++) {
        search->low[k] = search->fraction_low[k] = INFINITY;
        search->high[k] = search->fraction_high[k] = -INFINITY;
    }
    for (int64_t i = 0; i < input->nrow; i++) {
        const double *x = input->positions + 3 * i;
        double y[3];
        double fraction[3];
        search_transform(search->axes, x, y);
        dgnn_cell_fraction(cell, x, fraction);
        DGNN_TRY(search_check_fraction(search, i, fraction, error));
        for (int k = 0; k < 3; k++) {
            size[k] = fmax(size[k], fabs(x[0] * cell->inverse[k]) + fabs(x[1] * cell->inverse[3 + k]) +
                                        fabs(x[2] * cell->inverse[6 + k]));
            if (i < input->ncentre) {
                search->low[k] = fmin(search->low[k], y[k]);
                search->high[k] = fmax(search->high[k], y[k]);
                search->fraction_low[k] = fmin(search->fraction_low[k], fraction[k]);
                search->fraction_high[k] = fmax(search->fraction_high[k], fraction[k]);
            }
        }
    }
    for (int k = 0; k < 3; k++) {
        double margin = search->reach / cell->spacing[k] + 1e-12 * size[k];
        search->low[k] -= search->reach;
        search->high[k] += search->reach;
        search->fraction_low[k] -= margin;
        search->fraction_high[k] += margin;
    }
    return DGNN_OK;
}

static void search_set_bins(struct search *search)
{
    for (int k = 0; k < 3; k++) {
        double extent = search->high[k] - search->low[k];
        search->width[k] = fmax(0.5 * search->reach, extent / CANDIDATES_MAX_BINS);
        search->nbin[k] = (int64_t)(extent / search->width[k]) + 1;
    }
}

static int64_t search_bin(const struct search *search, const double y[3], int axis)
{
    int64_t bin = (int64_t)((y[axis] - search->low[axis]) / search->width[axis]);
    return bin < 0 ? 0 : bin >= search->nbin[axis] ? search->nbin[axis] - 1 : bin;
}

static uint64_t search_key(const struct search *search, const int64_t bin[3])
{
    return (uint64_t)((bin[2] * search->nbin[1] + bin[1]) * search->nbin[0] + bin[0]);
}

/* Shifts along one axis that keep a row inside the region; y is its place along it so far. */
static struct range search_shifts(const struct search *search, int axis, double y, double fraction)
{
    double step = search->lower[4 * axis];
    double from = fmax(ceil((search->low[axis] - y) / step), ceil(search->fraction_low[axis] - fraction));
    double to = fmin(floor((search->high[axis] - y) / step), floor(search->fraction_high[axis] - fraction));
    if (!search->input->cell->pbc[axis]) {
        from = fmax(from, 0);
        to = fmin(to, 0);
    }
    return to < from ? (struct range){0, 0} : (struct range){(int64_t)from, (int64_t)to + 1};
}

static void search_put(struct search *search, int64_t row, const int64_t shift[3], struct image_key *keys)
{
    struct image *image = &search->images[search->nimage];
    double y[3];
    image->pair = (struct dgnn_pair){(int32_t)row, {(int32_t)shift[0], (int32_t)shift[1], (int32_t)shift[2]}};
    dgnn_pairvector_image(search->input->positions + 3 * row, image->pair.shift, search->input->cell->h,
                          image->position);
    search_transform(search->axes, image->position, y);
    int64_t bin[3] = {search_bin(search, y, 0), search_bin(search, y, 1), search_bin(search, y, 2)};
    keys[search->nimage] = (struct image_key){search_key(search, bin), search->nimage};
}

/* Counts a row's images into nimage; with keys it also lists them. */
static void search_row_images(struct search *search, int64_t row, struct image_key *keys)
{
    const double *lower = search->lower;
    int64_t s[3];
    double y[3];
    double fraction[3];
    search_transform(search->axes, search->input->positions + 3 * row, y);
    dgnn_cell_fraction(search->input->cell, search->input->positions + 3 * row, fraction);
    struct range outer = search_shifts(search, 2, y[2], fraction[2]);
    for (s[2] = outer.begin; s[2] < outer.end; s[2]++) {
        double y1 = y[1] + (double)s[2] * lower[7];
        struct range middle = search_shifts(search, 1, y1, fraction[1]);
        for (s[1] = middle.begin; s[1] < middle.end; s[1]++) {
            double y0 = y[0] + (double)s[2] * lower[6] + (double)s[1] * lower[3];
            struct range inner = search_shifts(search, 0, y0, fraction[0]);
            if (!keys) {
                search->nimage += inner.end - inner.begin;
                continue;
            }
            for (s[0] = inner.begin; s[0] < inner.end; s[0]++, search->nimage++) {
                search_put(search, row, s, keys);
            }
        }
    }
}

/* A box of which thousands fit into the cutoff is a mistake in units; the loops above would not end. */
static int search_check_size(const struct search *search, struct dgnn_error *error)
{
    const struct dgnn_cell *cell = search->input->cell;
    double count = 1;
    for (int k = 0; k < 3; k++) {
        double reach = 2 * search->reach / search->lower[4 * k];
        count *= cell->pbc[k] && !(reach <= 1) ? reach : 1;
    }
    if (!(count <= CANDIDATES_MAX_IMAGES)) { /* NaN, too */
        return dgnn_status_set(
            error, DGNN_ERROR_INPUT,
            "box is too small for a cutoff of %g A: each atom would have %.3g images within it "
            "(distances between lattice planes: %g, %g, %g A)",
            search->input->cutoff, count, cell->spacing[0], cell->spacing[1], cell->spacing[2]);
    }
    return DGNN_OK;
}

/* Virtual atoms thousands of boxes away come of a wrong scale; the loops above would not end either. */
static int search_check_spread(const struct search *search, struct dgnn_error *error)
{
    double spread = 1;
    for (int k = 0; k < 3; k++) {
        double extent = fmin((search->high[k] - search->low[k]) / search->lower[4 * k],
                             search->fraction_high[k] - search->fraction_low[k]);
        spread *= search->input->cell->pbc[k] && !(extent <= 1) ? extent : 1;
    }
    if (!(spread <= CANDIDATES_MAX_IMAGES)) {
        return dgnn_status_set(
            error, DGNN_ERROR_INPUT,
            "atoms, with the virtual atoms of their spins, spread over %.3g boxes; expected at "
            "most %d: check spins, and virtual_scale of the model",
            spread, CANDIDATES_MAX_IMAGES);
    }
    return DGNN_OK;
}

/* Least significant byte first; returns whichever of the two arrays holds the result. */
static struct image_key *search_sort(struct image_key *keys, struct image_key *other, int64_t n,
                                     uint64_t largest)
{
    for (int bits = 0; bits < 64 && largest >> bits; bits += 8) {
        int64_t place[257] = {0};
        for (int64_t k = 0; k < n; k++) {
            place[(keys[k].key >> bits & 255) + 1]++;
        }
        for (int digit = 0; digit < 256; digit++) {
            place[digit + 1] += place[digit];
        }
        for (int64_t k = 0; k < n; k++) {
            other[place[keys[k].key >> bits & 255]++] = keys[k];
        }
        struct image_key *swap = keys;
        keys = other;
        other = swap;
    }
    return keys;
}

/* Lists the images sorted by bin. The unsorted ones lie in the second half of the block. */
static int search_list_images(struct search *search, struct dgnn_nlist *list, struct dgnn_error *error)
{
    int64_t nrow = search->input->nrow;
    for (int64_t row = 0; row < nrow; row++) {
        search_row_images(search, row, NULL);
    }
    int64_t n = search->nimage;
    DGNN_TRY(dgnn_candidates_reserve(&list->images, n, 2 * sizeof(struct image), "images of atoms", error));
    DGNN_TRY(dgnn_candidates_reserve(&list->image_scratch, n, 2 * sizeof(struct image_key), "images of atoms",
                                     error));
    struct image *sorted = list->images.data;
    struct image_key *keys = list->image_scratch.data;
    search->images = sorted + n;
    search->nimage = 0;
    for (int64_t row = 0; row < nrow; row++) {
        search_row_images(search, row, keys);
    }
    uint64_t largest = (uint64_t)(search->nbin[0] * search->nbin[1] * search->nbin[2]);
    struct image_key *by_bin = search_sort(keys, keys + n, n, largest);
    for (int64_t k = 0; k < n; k++) {
        sorted[k] = search->images[by_bin[k].image];
    }
    /* In place: entry k is read before it is overwritten, since a key is half of an entry. */
    uint64_t *bare = list->image_scratch.data;
    for (int64_t k = 0; k < n; k++) {
        bare[k] = by_bin[k].key;
    }
    search->images = sorted;
    search->keys = bare;
    return DGNN_OK;
}

static int64_t search_first_not_below(const struct search *search, uint64_t key)
{
    int64_t begin = 0;
    int64_t n = search->nimage;
    while (n > 0) {
        int64_t half = n / 2;
        int below = search->keys[begin + half] < key;
        begin = below ? begin + half + 1 : begin;
        n = below ? n - half - 1 : half;
    }
    return begin;
}

/* The candidates among the images [from, ...) whose keys do not pass last. */
static int64_t search_run(const struct search *search, int64_t centre, struct range keys,
                          struct dgnn_pair *pairs)
{
    const double *x = search->input->positions + 3 * centre;
    double limit = search->reach * search->reach;
    int64_t count = 0;
    for (int64_t k = search_first_not_below(search, (uint64_t)keys.begin);
         k < search->nimage && search->keys[k] < (uint64_t)keys.end; k++) {
        const struct image *image = &search->images[k];
        double dx = image->position[0] - x[0];
        double dy = image->position[1] - x[1];
        double dz = image->position[2] - x[2];
        const int32_t *s = image->pair.shift;
        if (dx * dx + dy * dy + dz * dz > limit || (image->pair.row == centre && !(s[0] | s[1] | s[2]))) {
            continue;
        }
        if (pairs) {
            pairs[count] = image->pair;
        }
        count++;
    }
    return count;
}

/* Returns the number of candidates of a centre, and writes them where pairs is given. */
static int64_t search_centre(const struct search *search, int64_t centre, struct dgnn_pair *pairs)
{
    int64_t count = 0;
    struct range around[3];
    double y[3];
    search_transform(search->axes, search->input->positions + 3 * centre, y);
    for (int k = 0; k < 3; k++) {
        int64_t bin = search_bin(search, y, k);
        around[k].begin = bin > 2 ? bin - 2 : 0;
        around[k].end = bin + 3 < search->nbin[k] ? bin + 3 : search->nbin[k];
    }
    for (int64_t z = around[2].begin; z < around[2].end; z++) {
        for (int64_t yy = around[1].begin; yy < around[1].end; yy++) {
            int64_t row = (int64_t)search_key(search, (int64_t[3]){0, yy, z});
            struct range keys = {row + around[0].begin, row + around[0].end};
            count += search_run(search, centre, keys, pairs ? pairs + count : NULL);
        }
    }
    return count;
}

/* One pass over all centres: the first counts (pairs NULL), the second writes at first[i]. */
struct search_pass {
    const struct search *search;
    int64_t *first;
    struct dgnn_pair *pairs;
};

static void search_part(void *of, int64_t part, int32_t thread)
{
    const struct search_pass *pass = of;
    int64_t n = pass->search->input->ncentre, threads = pass->search->input->threads;
    (void)thread;
    for (int64_t i = n * part / threads; i < n * (part + 1) / threads && !dgnn_stop_skips(); i++) {
        if (pass->pairs) {
            search_centre(pass->search, i, pass->pairs + pass->first[i]);
        } else {
            pass->first[i + 1] = search_centre(pass->search, i, NULL);
        }
    }
}

static void search_centres(const struct search *search, int64_t *first, struct dgnn_pair *pairs)
{
    struct search_pass pass = {search, first, pairs};
    dgnn_parallel_run(search->input->threads, search->input->threads, search_part, &pass);
}

int dgnn_candidates_search(struct dgnn_nlist *list, const struct dgnn_nlist_input *input,
                           struct dgnn_error *error)
{
    struct search search = {.input = input, .reach = input->cutoff + input->skin + CANDIDATES_SLACK};
    int64_t n = input->ncentre;
    DGNN_TRY(
        dgnn_candidates_reserve(&list->candidate_first, n + 1, sizeof(int64_t), "the neighbour list", error));
    int64_t *first = list->candidate_first.data;
    list->ncandidate = list->longest = first[0] = 0;
    if (n == 0) {
        return DGNN_OK;
    }
    search_set_frame(&search);
    DGNN_TRY(search_check_size(&search, error));
    DGNN_TRY(search_set_region(&search, error));
    DGNN_TRY(search_check_spread(&search, error));
    search_set_bins(&search);
    DGNN_TRY(search_list_images(&search, list, error));
    search_centres(&search, first, NULL);
    DGNN_TRY(dgnn_stop_check(error));
    for (int64_t i = 0; i < n; i++) {
        list->longest = first[i + 1] > list->longest ? first[i + 1] : list->longest;
        first[i + 1] += first[i];
    }
    list->ncandidate = first[n];
    DGNN_TRY(dgnn_candidates_reserve(&list->candidates, list->ncandidate, sizeof(struct dgnn_pair),
                                     "the neighbour list", error));
    search_centres(&search, first, list->candidates.data);
    return dgnn_stop_check(error);
}
