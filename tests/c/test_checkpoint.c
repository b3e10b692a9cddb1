/* convert, and below it io/checkpoint and io/pickle: a small checkpoint, with everything that may fail
 * failing once. */
#include "check.h"
#include "checkpointmaker.h"

#include "base/alloc.h"
#include "convert/convert.h"
#include "io/source.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct dgnn_error error;
static struct checkpoint_maker maker;
static struct zip_maker zip;
static uint64_t digest[2];

static int read_zip(const char *head, struct dgnn_archive *archive)
{
    struct dgnn_archive_bytes bytes = {.name = "model.pt", .data = zip.bytes, .length = zip.length};
    *archive = (struct dgnn_archive){0};
    error = (struct dgnn_error){0};
    return dgnn_convert_open_memory(&bytes, head, archive, &error);
}

static void make(void)
{
    checkpoint_fill(&maker);
    checkpoint_pack(&maker, &zip);
}

static void test_model(void)
{
    struct dgnn_archive archive;
    struct dgnn_text heads = {0};
    struct dgnn_archive_bytes bytes = {.name = "model.pt", .data = zip.bytes, .length = zip.length};
    CHECK_STATUS(read_zip(NULL, &archive), DGNN_OK, "");
    CHECK(!strcmp(archive.format, "pt") && archive.model && !archive.metadata);
    memcpy(digest, archive.digest, sizeof(digest));
    struct dgnn_value root = dgnn_tree_root(archive.model), model = dgnn_value_member(&root, "model");
    struct dgnn_value fitting = dgnn_value_member(&model, "fitting"),
                      dim = dgnn_value_member(&fitting, "dim_descrpt");
    int64_t n = 0;
    CHECK(!dgnn_value_int(&dim, &n, &error) && n == 2);
    dgnn_archive_free(&archive);
    CHECK_STATUS(read_zip("water", &archive), DGNN_ERROR_INPUT, "without heads");
    CHECK_STATUS(dgnn_convert_heads_memory(&bytes, &heads, &error), DGNN_OK, "");
    CHECK(heads.data && !strcmp(heads.data, "{}"));
    dgnn_text_free(&heads);
}

/* Every byte of the pickle changed, with its checksum made again. */
static void test_changed_pickles(void)
{
    int accepted = 0;
    for (size_t at = 0; at < maker.length; at++) {
        struct dgnn_archive archive;
        unsigned char before = maker.pickle[at];
        maker.pickle[at] ^= (unsigned char)(1 + at % 255);
        checkpoint_pack(&maker, &zip);
        int status = read_zip(NULL, &archive);
        CHECK(!status || status == DGNN_ERROR_FORMAT || status == DGNN_ERROR_UNSUPPORTED);
        CHECK(!status == (archive.model != NULL));
        accepted += !status;
        dgnn_archive_free(&archive);
        maker.pickle[at] = before;
    }
    printf("%zu changed pickles, %d of them models still\n", maker.length, accepted);
    CHECK(dgnn_alloc_live() == 0);
    make();
}

static void test_out_of_memory(void)
{
    int64_t nth = 0;
    int status;
    do {
        struct dgnn_archive archive;
        dgnn_alloc_fail_at(++nth, 0);
        status = read_zip(NULL, &archive);
        dgnn_alloc_fail_at(0, 0);
        CHECK(status == DGNN_OK || status == DGNN_ERROR_MEMORY);
        dgnn_archive_free(&archive);
        CHECK(dgnn_alloc_live() == 0);
    } while (status && nth < 100000);
    CHECK(!status && nth > 50);
}

/* ------------------------------------------------------------------ files that change */

/* In place of the C library's: one call that fails, finds the end, or finds other bytes or another length
 * there. */
enum { PREAD_FAILS, PREAD_ENDS, PREAD_CHANGES, PREAD_GROWS };
static int pread_calls, pread_fail_at, pread_how;
static const char *pread_path;

ssize_t pread(int fd, void *buffer, size_t nbytes, off_t offset)
{
    int strikes = ++pread_calls == pread_fail_at;
    if (strikes && pread_how == PREAD_FAILS) {
        errno = EIO;
        return -1;
    }
    if (strikes && pread_how == PREAD_ENDS) {
        return 0;
    }
    if (strikes && pread_how == PREAD_GROWS) {
        FILE *file = fopen(pread_path, "ab");
        CHECK(file && fputc(0, file) != EOF && !fclose(file));
    }
    ssize_t got = syscall(SYS_pread64, fd, buffer, nbytes, offset);
    if (strikes && pread_how == PREAD_CHANGES && got > 0) {
        ((unsigned char *)buffer)[got / 2] ^= 0x10;
    }
    return got;
}

static void test_changing_files(void)
{
    static const char *const words[] = {"cannot read", "the file has shrunk", "",
                                        "changed while it was read"};
    char folder[] = P_tmpdir "/dgnn_test_XXXXXX", path[128];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof(path), "%s/model.pt", folder);
    pread_path = path;
    for (int how = 0; how < 4; how++) {
        int ncalls = 1000, same = 0;
        for (int nth = 0; nth <= ncalls; nth++) {
            struct dgnn_archive archive = {0};
            FILE *file = fopen(path, "wb");
            CHECK(file && fwrite(zip.bytes, 1, zip.length, file) == zip.length && !fclose(file));
            pread_calls = 0, pread_fail_at = nth, pread_how = how;
            int status = dgnn_convert_open(path, NULL, &archive, &error);
            pread_fail_at = 0;
            if (nth == 0) { /* none fails: how many there are */
                CHECK(status == DGNN_OK);
                ncalls = pread_calls;
            } else if (how != PREAD_CHANGES) {
                CHECK(status == DGNN_ERROR_SYSTEM && strstr(error.message, words[how]));
            } else if (!status) { /* a byte that nothing depends on, or none that is looked at */
                same++;
                CHECK(!memcmp(digest, archive.digest, sizeof(digest)));
            }
            dgnn_archive_free(&archive);
        }
        CHECK(ncalls > 20 && same < ncalls / 2);
    }
    CHECK(!unlink(path) && !rmdir(folder) && dgnn_alloc_live() == 0);
}

int main(void)
{
    make();
    test_model();
    test_changed_pickles();
    test_out_of_memory();
    test_changing_files();
    return check_report();
}
