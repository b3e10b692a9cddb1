/* dgnn's own archive, io/packed: its numbers are those of the archive that it is of, and what is refused. */
#include "archive_case.h"

#include "base/alloc.h"

#define PACKED_MODEL                                                                                         \
    "{\"model\":{\"type\":\"standard\",\"w\":{\"@class\":\"np.ndarray\",\"@index\":0},\"v\":{\"@class\":"    \
    "\"np.ndarray\",\"@index\":1}}}"
#define PACKED_ARRAYS                                                                                        \
    "[{\"dtype\":\"float64\",\"shape\":[2],\"offset\":0},{\"dtype\":\"int32\",\"shape\":[1,1],\"offset\":"   \
    "64}]"
#define PLAIN_MODEL                                                                                          \
    "{\"model\":{\"type\":\"standard\",\"w\":" WEIGHT                                                        \
    ",\"v\":{\"dtype\":\"int32\",\"value\":[[7]],\"@class\":\"np.ndarray\"}}}"

static int read_packed(const char *arrays, const char *version, int64_t nbytes, const uint64_t digest[2],
                       struct dgnn_archive *archive)
{
    static char index[512];
    static unsigned char bytes[68];
    double weight[2] = {1.5, 2};
    int32_t seven = 7;
    memcpy(bytes, weight, sizeof(weight));
    memcpy(bytes + 64, &seven, sizeof(seven));
    snprintf(
        index, sizeof(index),
        "{\"format\":\"dgnn\",\"version\":%s,\"digest\":\"%016llx%016llx\",\"nbytes\":%lld,\"arrays\":%s}",
        version, (unsigned long long)digest[0], (unsigned long long)digest[1], (long long)nbytes, arrays);
    zip_begin();
    zip_add_text("dgnn/arrays.json", index, 0);
    zip_add(&zip, &(struct zip_entry){.name = "dgnn/arrays.bin", .data = bytes, .size = sizeof(bytes)});
    zip_add_text("dgnn/model.json", PACKED_MODEL, 8);
    zip_end(&zip, 0, 0, "");
    return read_zip(archive);
}

static void test_packed(void)
{
    struct dgnn_archive archive;
    CHECK_STATUS(read_bytes(PLAIN_MODEL, strlen(PLAIN_MODEL), &archive), DGNN_OK, "");
    uint64_t digest[2] = {archive.digest[0], archive.digest[1]};
    uint64_t wrong[2] = {digest[0], digest[1] ^ 1};
    dgnn_archive_free(&archive);
    CHECK_STATUS(read_packed(PACKED_ARRAYS, "1", 68, digest, &archive), DGNN_OK, "");
    CHECK(!strcmp(archive.format, "dgnn") && !archive.metadata);
    check_good(&archive);
    dgnn_archive_free(&archive);
    CHECK_STATUS(read_packed(PACKED_ARRAYS, "1", 68, wrong, &archive), DGNN_ERROR_FORMAT,
                 "the digest is not");
    CHECK_STATUS(read_packed(PACKED_ARRAYS, "2", 68, digest, &archive), DGNN_ERROR_UNSUPPORTED,
                 "version 2 is not known");
    CHECK_STATUS(read_packed(PACKED_ARRAYS, "1", 69, digest, &archive), DGNN_ERROR_FORMAT,
                 "has another length");
    static const char *const bad[][2] = {
        {"[{\"dtype\":\"float64\",\"shape\":[9],\"offset\":0}]", "arrays[0].shape: the array reaches beyond"},
        {"[{\"dtype\":\"float64\",\"shape\":[4194305,4194305,2111061978564],\"offset\":0}]",
         "reaches beyond"},
        {"[{\"dtype\":\"float64\",\"shape\":[-1],\"offset\":0}]", "arrays[0].shape[0]: a negative length"},
        {"[{\"dtype\":\"float64\",\"shape\":[2],\"offset\":8}]", "not the next multiple of 64"},
        {"[{\"dtype\":\"float64\",\"shape\":[2],\"offset\":0},{\"dtype\":\"int32\",\"shape\":[1],\"offset\":"
         "0}]",
         "arrays[1].offset: not the next multiple of 64"},
        {"[{\"dtype\":\"float64\",\"shape\":[2],\"offset\":0}]", "arrays.bin is longer than its arrays"},
        {"[{\"dtype\":\"float16\",\"shape\":[2],\"offset\":0}]", "an array type that dgnn does not know"},
        {"[{\"dtype\":\"float64\",\"shape\":[1,1,1,1,1,1,1,1,1],\"offset\":0}]", "more than 8 dimensions"},
        {"{}", "expected a list, found an object"},
        {"[1]", "arrays[0].dtype: missing"}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_STATUS(read_packed(bad[i][0], "1", 68, digest, &archive), DGNN_ERROR_FORMAT, bad[i][1]);
    }
}

int main(void)
{
    test_packed();
    CHECK(dgnn_alloc_live() == 0);
    return check_report();
}
