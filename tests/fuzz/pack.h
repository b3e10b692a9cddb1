/* Members of a ZIP, separated by bytes 0xff: CRCs, which stop most mutants of a file, are made here. */
#ifndef DGNN_TESTS_PACK_H
#define DGNN_TESTS_PACK_H

#include "zipmaker.h"

static struct zip_maker pack_zip;

/* The first n - 1 members end at 0xff, the last one at the end. size < 60000. */
static inline void pack(const uint8_t *data, size_t size, const char *const *names, int n)
{
    pack_zip.length = pack_zip.directory_length = pack_zip.count = 0;
    for (int i = 0; i < n; i++) {
        const uint8_t *stop = i + 1 < n ? memchr(data, 0xff, size) : NULL;
        size_t length = stop ? (size_t)(stop - data) : size;
        zip_add(&pack_zip, &(struct zip_entry){.name = names[i], .data = data, .size = length});
        data += length + (stop != NULL);
        size -= length + (stop != NULL);
    }
    zip_end(&pack_zip, 0, 0, "");
}

static const char *const pack_pt2[] = {"model/extra/model.json", "model/extra/metadata.json"};
static const char *const pack_dgnn[] = {"dgnn/arrays.json", "dgnn/model.json", "dgnn/metadata.json",
                                        "dgnn/arrays.bin"};

#endif
