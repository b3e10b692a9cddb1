/* Makes ZIP archives byte by byte, sound ones and others. Nothing is compressed: deflate's stored blocks will
 * do. */
#ifndef DGNN_TESTS_ZIPMAKER_H
#define DGNN_TESTS_ZIPMAKER_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct zip_entry {
    const char *name;
    const void *data;
    size_t size;
    int method;             /* 0 stored, 8 deflated */
    int flags;              /* general purpose bits: 1 encrypted, 8 data descriptor */
    uint32_t attributes;    /* external; Unix mode in the upper half */
    uint32_t crc_xor;       /* damages the CRC */
    uint32_t size_add;      /* to the uncompressed size in both headers */
    uint32_t packed_add;    /* to the compressed size in the directory */
    const char *local_name; /* in the local header, where it differs */
    int at_previous;        /* the directory points to the previous member's local header */
    int name_zero;          /* position of a zero byte in the name; 0: none */
    int wide;               /* sizes and place in a 64-bit extra field; 2: cut off; 3: another field only */
};

#ifndef ZIP_MAKER_BYTES
#define ZIP_MAKER_BYTES (1 << 16)
#endif

struct zip_maker {
    unsigned char bytes[ZIP_MAKER_BYTES];
    size_t length;
    unsigned char directory[ZIP_MAKER_BYTES / 4];
    size_t directory_length;
    size_t count;
    uint32_t previous;
};

static inline uint32_t zip_crc(const void *data, size_t size)
{
    static uint32_t table[256];
    for (uint32_t byte = 0; byte < 256 && !table[255]; byte++) {
        table[byte] = byte;
        for (int bit = 0; bit < 8; bit++) {
            table[byte] = table[byte] >> 1 ^ (table[byte] & 1 ? 0xedb88320u : 0);
        }
    }
    uint32_t crc = ~0u;
    for (size_t i = 0; i < size; i++) {
        crc = crc >> 8 ^ table[(crc ^ ((const unsigned char *)data)[i]) & 0xff];
    }
    return ~crc;
}

static inline void zip_put(unsigned char *bytes, size_t *length, uint64_t value, int width)
{
    for (int i = 0; i < width; i++) {
        bytes[(*length)++] = (unsigned char)(value >> 8 * i);
    }
}

static inline void zip_put_bytes(unsigned char *bytes, size_t *length, const void *data, size_t size)
{
    memcpy(bytes + *length, data, size);
    *length += size;
}

/* The fields that the local header and the directory share, from "version needed" to the name's length. */
static inline void zip_put_common(unsigned char *bytes, size_t *length, const struct zip_entry *entry,
                                  uint32_t crc, uint32_t packed, const char *name)
{
    zip_put(bytes, length, 20, 2);
    zip_put(bytes, length, (uint64_t)entry->flags, 2);
    zip_put(bytes, length, (uint64_t)entry->method, 2);
    zip_put(bytes, length, 0x5a210000, 4);
    zip_put(bytes, length, crc ^ entry->crc_xor, 4);
    zip_put(bytes, length, entry->wide ? 0xffffffff : packed, 4);
    zip_put(bytes, length, entry->wide ? 0xffffffff : entry->size + entry->size_add, 4);
    zip_put(bytes, length, strlen(name), 2);
}

static inline void zip_add(struct zip_maker *zip, const struct zip_entry *entry)
{
    const char *local = entry->local_name ? entry->local_name : entry->name;
    uint32_t start = (uint32_t)zip->length;
    uint32_t packed = (uint32_t)entry->size + (entry->method == 8 ? 5 : 0);
    uint32_t crc = zip_crc(entry->data, entry->size);
    zip_put(zip->bytes, &zip->length, 0x04034b50, 4);
    zip_put_common(zip->bytes, &zip->length, entry, crc, packed, local);
    zip_put(zip->bytes, &zip->length, entry->wide ? 20 : 0, 2);
    zip_put_bytes(zip->bytes, &zip->length, local, strlen(local));
    if (entry->wide) {
        zip_put(zip->bytes, &zip->length, 16 << 16 | 1, 4);
        zip_put(zip->bytes, &zip->length, entry->size, 8);
        zip_put(zip->bytes, &zip->length, packed, 8);
    }
    if (entry->method == 8) {
        zip_put(zip->bytes, &zip->length, 1, 1);
        zip_put(zip->bytes, &zip->length, entry->size, 2);
        zip_put(zip->bytes, &zip->length, ~entry->size, 2);
    }
    zip_put_bytes(zip->bytes, &zip->length, entry->data, entry->size);
    if (entry->flags & 8) {
        zip_put(zip->bytes, &zip->length, 0x08074b50, 4);
        zip_put(zip->bytes, &zip->length, crc, 4);
        zip_put(zip->bytes, &zip->length, packed, 4);
        zip_put(zip->bytes, &zip->length, entry->size, 4);
    }
    unsigned char *directory = zip->directory;
    size_t *length = &zip->directory_length;
    zip_put(directory, length, 0x02014b50, 4);
    zip_put(directory, length, 3 << 8 | 20, 2);
    zip_put_common(directory, length, entry, crc, packed + entry->packed_add, entry->name);
    zip_put(directory, length, entry->wide ? 36 : 0, 2);
    zip_put(directory, length, 0, 6); /* comment, disk, internal attributes */
    zip_put(directory, length, entry->attributes, 4);
    zip_put(directory, length, entry->wide ? 0xffffffff : entry->at_previous ? zip->previous : start, 4);
    zip_put_bytes(directory, length, entry->name, strlen(entry->name));
    if (entry->wide) {
        /* Another field first, then sizes and place. */
        zip_put(directory, length, 4 << 16 | 0x7777, 4);
        zip_put(directory, length, 0, 4);
        zip_put(directory, length, (entry->wide == 2 ? 16 : 24) << 16 | (entry->wide == 3 ? 2 : 1), 4);
        zip_put(directory, length, entry->size, 8);
        zip_put(directory, length, packed, 8);
        zip_put(directory, length, start, 8);
    }
    if (entry->name_zero) {
        directory[*length - strlen(entry->name) + (size_t)entry->name_zero] = 0;
        zip->bytes[start + 30 + (uint32_t)entry->name_zero] = 0;
    }
    zip->previous = start;
    zip->count++;
}

/* count_add and place_add damage the record that ends the archive. */
static inline void zip_end(struct zip_maker *zip, int count_add, int place_add, const char *comment)
{
    uint32_t start = (uint32_t)zip->length;
    zip_put_bytes(zip->bytes, &zip->length, zip->directory, zip->directory_length);
    zip_put(zip->bytes, &zip->length, 0x06054b50, 4);
    zip_put(zip->bytes, &zip->length, 0, 4);
    zip_put(zip->bytes, &zip->length, zip->count + (size_t)count_add, 2);
    zip_put(zip->bytes, &zip->length, zip->count + (size_t)count_add, 2);
    zip_put(zip->bytes, &zip->length, zip->directory_length, 4);
    zip_put(zip->bytes, &zip->length, start + (uint32_t)place_add, 4);
    zip_put(zip->bytes, &zip->length, strlen(comment), 2);
    zip_put_bytes(zip->bytes, &zip->length, comment, strlen(comment));
}

/* What the 32-bit record says beside 64-bit ones. */
enum zip_narrow { ZIP_NARROW_FULL, ZIP_NARROW_SAME, ZIP_NARROW_COUNT, ZIP_NARROW_SIZE, ZIP_NARROW_PLACE };

/* As above with 64-bit records; offset_add damages the place they give. ZIP_NARROW_SAME is as PyTorch's
 * writer leaves it; with the later ones a field of the 32-bit record is another number. */
static inline void zip_end64(struct zip_maker *zip, int64_t offset_add, enum zip_narrow narrow,
                             const char *comment)
{
    uint64_t start = zip->length;
    zip_put_bytes(zip->bytes, &zip->length, zip->directory, zip->directory_length);
    uint64_t end = zip->length;
    zip_put(zip->bytes, &zip->length, 0x06064b50, 4);
    zip_put(zip->bytes, &zip->length, 44, 8);
    zip_put(zip->bytes, &zip->length, 45 << 16 | 45, 4);
    zip_put(zip->bytes, &zip->length, 0, 8);
    zip_put(zip->bytes, &zip->length, zip->count, 8);
    zip_put(zip->bytes, &zip->length, zip->count, 8);
    zip_put(zip->bytes, &zip->length, zip->directory_length, 8);
    zip_put(zip->bytes, &zip->length, start + (uint64_t)offset_add, 8);
    zip_put(zip->bytes, &zip->length, 0x07064b50, 4);
    zip_put(zip->bytes, &zip->length, 0, 4);
    zip_put(zip->bytes, &zip->length, end, 8);
    zip_put(zip->bytes, &zip->length, 1, 4);
    zip_put(zip->bytes, &zip->length, 0x06054b50, 4);
    zip_put(zip->bytes, &zip->length, 0, 4);
    for (int copy = 0; copy < 2; copy++) {
        zip_put(zip->bytes, &zip->length, narrow ? zip->count + (narrow == ZIP_NARROW_COUNT) : ~0ull, 2);
    }
    zip_put(zip->bytes, &zip->length, narrow ? zip->directory_length + (narrow == ZIP_NARROW_SIZE) : ~0ull,
            4);
    zip_put(zip->bytes, &zip->length, narrow ? start + (narrow == ZIP_NARROW_PLACE) : ~0ull, 4);
    zip_put(zip->bytes, &zip->length, strlen(comment), 2);
    zip_put_bytes(zip->bytes, &zip->length, comment, strlen(comment));
}

#endif
