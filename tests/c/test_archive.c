/* io/archive, and below it io/central and io/source. Run in the repository root, or with the folder
 * of tests/data/archives as the argument. */
#include "archive_case.h"

#include "base/alloc.h"
#include "io/source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void make_good(const char *prefix, int method)
{
    static char names[2][64];
    snprintf(names[0], sizeof(names[0]), "%sextra/metadata.json", prefix);
    snprintf(names[1], sizeof(names[1]), "%sextra/model.json", prefix);
    zip_begin();
    zip_add_text(names[0], METADATA, method);
    zip_add_text(names[1], MODEL, method);
    zip_end(&zip, 0, 0, "");
}

/* ------------------------------------------------------------------ what is read */

static void test_good(void)
{
    static const char *const prefixes[] = {"model/", "", "frozen_model/"};
    struct dgnn_archive archive;
    uint64_t digest[2] = {0, 0};
    for (int i = 0; i < 6; i++) {
        make_good(prefixes[i / 2], i % 2 * 8);
        CHECK_STATUS(read_zip(&archive), DGNN_OK, "");
        CHECK(!strcmp(archive.format, "pt2") && archive.metadata && !archive.has_compiled &&
              !archive.has_nested);
        CHECK(archive.nbytes == (int64_t)(strlen(MODEL) + strlen(METADATA)));
        CHECK(i == 0 || !memcmp(digest, archive.digest, sizeof(digest)));
        memcpy(digest, archive.digest, sizeof(digest));
        check_good(&archive);
        struct dgnn_value root = dgnn_tree_root(archive.metadata);
        struct dgnn_value absent = dgnn_value_member(&root, "sel");
        CHECK_STATUS(dgnn_value_list(&absent, &(int64_t){0}, &error), DGNN_ERROR_FORMAT,
                     "model.pt2: metadata.json: sel: missing; expected a list");
        dgnn_archive_free(&archive);
    }
    zip_begin();
    zip_add_text("model/data/aotinductor/model/a.wrapper.so",
                 "\x7f"
                 "ELF",
                 0);
    zip_add_text("model/extra/forward_lower_with_comm.pt2", "PK", 0);
    zip_add_text("model/extra/model.json", MODEL, 8);
    zip_add_text("model/extra/Model.json", "not ours", 0);
    zip_add_text("model/extra/model.json.bak", "not ours", 0);
    zip_add_text("model/metadata.json", "not ours", 0);
    zip_add_text("model/notextra/metadata.json", "not ours", 0);
    zip_end(&zip, 0, 0, "");
    CHECK_STATUS(read_zip(&archive), DGNN_OK, "");
    CHECK(archive.has_compiled && archive.has_nested && !archive.metadata);
    CHECK(memcmp(digest, archive.digest, sizeof(digest)));
    dgnn_archive_free(&archive);
    CHECK(!archive.model);
}

/* All sound ends of an archive, and those that contradict themselves. */
static void test_ends(void)
{
    static const struct {
        int wide;
        enum zip_narrow narrow;
        const char *comment, *message; /* message NULL: read */
    } rows[] = {{0, 0, "", NULL},
                {0, 0, "a comment", NULL},
                {0, 0, "PK\5\6 is no end", NULL},
                {1, ZIP_NARROW_FULL, "", NULL},
                {1, ZIP_NARROW_FULL, "a comment", NULL},
                {1, ZIP_NARROW_SAME, "", NULL},
                {1, ZIP_NARROW_SAME, "a comment", NULL},
                {1, ZIP_NARROW_COUNT, "", "its two ends contradict each other"},
                {1, ZIP_NARROW_SIZE, "", "its two ends contradict each other"},
                {1, ZIP_NARROW_PLACE, "a comment", "its two ends contradict each other"}};
    for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
        struct dgnn_archive archive;
        zip_begin();
        zip_add_text("extra/model.json", MODEL, 0);
        if (rows[k].wide) {
            zip_end64(&zip, 0, rows[k].narrow, rows[k].comment);
        } else {
            zip_end(&zip, 0, 0, rows[k].comment);
        }
        CHECK_STATUS(read_zip(&archive), rows[k].message ? DGNN_ERROR_FORMAT : DGNN_OK,
                     rows[k].message ? rows[k].message : "");
        if (archive.model) {
            check_good(&archive);
        }
        dgnn_archive_free(&archive);
        zip.length++; /* one byte that no comment accounts for */
        CHECK_STATUS(read_zip(&archive), DGNN_ERROR_FORMAT, "something follows its directory");
    }
    /* A comment that is an end itself, of an archive without members. */
    struct dgnn_archive archive;
    zip_begin();
    zip_add_text("extra/model.json", MODEL, 0);
    zip_end(&zip, 0, 0, "1234567890123456789012");
    memcpy(zip.bytes + zip.length - 22, "PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 22);
    CHECK_STATUS(read_zip(&archive), DGNN_ERROR_FORMAT, "it has two ends");
    /* Damage to the 64-bit records that nothing needs. */
    for (size_t back = 22 + 20 + 56; back > 22; back--) {
        zip_begin();
        zip_add_text("extra/model.json", MODEL, 0);
        zip_end64(&zip, 0, ZIP_NARROW_SAME, "");
        zip.bytes[zip.length - back] ^= 0x80;
        int version = back <= 98 - 12 && back > 98 - 16; /* bytes 12 to 15: who made it, for whom */
        CHECK_STATUS(read_zip(&archive), version ? DGNN_OK : DGNN_ERROR_FORMAT,
                     version ? "" : "not a sound ZIP");
        dgnn_archive_free(&archive);
    }
}

static void test_good_forms(void)
{
    struct dgnn_archive archive;
    struct zip_entry entry = text_entry("model/extra/model.json", MODEL);
    zip_begin();
    entry.flags = 8;
    zip_add(&zip, &entry);
    zip_end(&zip, 0, 0, "");
    CHECK_STATUS(read_zip(&archive), DGNN_OK, "");
    dgnn_archive_free(&archive);
    zip_begin();
    entry.flags = 0;
    entry.wide = 1;
    zip_add(&zip, &entry);
    zip_add_text("model/version", "1", 0);
    zip_end64(&zip, 0, ZIP_NARROW_FULL, "");
    CHECK_STATUS(read_zip(&archive), DGNN_OK, "");
    check_good(&archive);
    dgnn_archive_free(&archive);
    zip_begin();
    zip_add_text("extra/model.json", MODEL, 8);
    zip_end64(&zip, 0, ZIP_NARROW_FULL, "");
    CHECK_STATUS(read_zip(&archive), DGNN_OK, "");
    uint64_t digest[2] = {archive.digest[0], archive.digest[1]};
    dgnn_archive_free(&archive);
    CHECK_STATUS(read_bytes(" \n" MODEL "\n", strlen(MODEL) + 3, &archive), DGNN_OK, "");
    CHECK(!strcmp(archive.format, "json") && !archive.metadata &&
          !memcmp(digest, archive.digest, sizeof(digest)));
    check_good(&archive);
    dgnn_archive_free(&archive);
}

static void test_reference(const char *folder)
{
    char path[512];
    struct dgnn_archive archive;
    snprintf(path, sizeof(path), "%s/dpa1_attn0.pt2", folder);
    CHECK_STATUS(dgnn_archive_read(path, &archive, &error), DGNN_OK, "");
    if (archive.model) {
        struct dgnn_value root = dgnn_tree_root(archive.model);
        struct dgnn_value model = dgnn_value_member(&root, "model");
        struct dgnn_value descriptor = dgnn_value_member(&model, "descriptor");
        struct dgnn_value type = dgnn_value_member(&descriptor, "type");
        struct dgnn_value variables = dgnn_value_member(&descriptor, "@variables");
        struct dgnn_value davg = dgnn_value_member(&variables, "davg");
        struct dgnn_tensor tensor;
        const char *name = "";
        CHECK(!dgnn_value_string(&type, &name, &error) && !strcmp(name, "dpa1"));
        CHECK_STATUS(dgnn_value_tensor_shaped(&davg, 3, (int64_t[]){-1, -1, 4}, &tensor, &error), DGNN_OK,
                     "");
        CHECK(archive.metadata && archive.nbytes > 8000);
        dgnn_archive_free(&archive);
    }
    snprintf(path, sizeof(path), "%s/se_e3_tebd.pt2", folder);
    CHECK_STATUS(dgnn_archive_read(path, &archive, &error), DGNN_OK, "");
    CHECK(archive.model && !archive.metadata);
    dgnn_archive_free(&archive);
}

/* ------------------------------------------------------------------ what is refused */

/* One damaged member among sound ones. */
static void refuse_entry(struct zip_entry entry, const char *message)
{
    struct dgnn_archive archive;
    zip_begin();
    zip_add_text("model/version", "1", 0);
    zip_add(&zip, &entry);
    zip_end(&zip, 0, 0, "");
    int before = check_failed;
    CHECK_STATUS(read_zip(&archive), DGNN_ERROR_FORMAT, message);
    CHECK(!archive.model && !archive.metadata);
    if (check_failed > before) {
        fprintf(stderr, "    expected: %s\n", message);
    }
}

static void test_bad_members(void)
{
    static const int methods[] = {1, 9, 12, 14, 93, 95};
    struct zip_entry good = text_entry("model/extra/model.json", MODEL);
    struct zip_entry bad;
    bad = good, bad.crc_xor = 1;
    refuse_entry(bad, "extra/model.json: damaged: CRC error");
    bad = good, bad.crc_xor = 1, bad.method = 8;
    refuse_entry(bad, "extra/model.json: damaged: CRC error");
    bad = good, bad.flags = 1;
    refuse_entry(bad, "extra/model.json: it is encrypted");
    for (size_t k = 0; k < sizeof(methods) / sizeof(methods[0]); k++) {
        bad = good, bad.method = methods[k];
        refuse_entry(bad, "by another method than deflate");
    }
    bad = good, bad.size_add = 1u << 30, bad.method = 8;
    refuse_entry(bad, "compressed more than 1100 to 1");
    bad = good, bad.size_add = 3, bad.method = 8;
    refuse_entry(bad, "extra/model.json: ");
    bad = good, bad.size_add = (uint32_t)-3, bad.method = 8;
    refuse_entry(bad, "extra/model.json: ");
    bad = good, bad.packed_add = 40;
    refuse_entry(bad, "its members overlap");
    bad = good, bad.packed_add = (uint32_t)-40;
    refuse_entry(bad, "not a sound ZIP archive");
    bad = good, bad.local_name = "model/extra/madel.json";
    refuse_entry(bad, "not a sound ZIP archive");
    bad = good, bad.at_previous = 1;
    refuse_entry(bad, "its members overlap");
    bad = good, bad.name_zero = 17;
    refuse_entry(bad, "a member's name has a zero byte");
    bad = good, bad.wide = 2;
    refuse_entry(bad, "a member's size or place is damaged");
    bad = good, bad.wide = 3;
    refuse_entry(bad, "a member's size or place is damaged");
    bad = good, bad.attributes = 0120777u << 16;
    refuse_entry(bad, "a folder or a link where a file is expected");
    bad = good, bad.attributes = 0040755u << 16 | 0x10;
    refuse_entry(bad, "a folder or a link where a file is expected");
    bad = good, bad.name = "model/extra/model.json/", bad.size = 0;
    refuse_entry(bad, "a folder or a link where a file is expected");
    bad = good, bad.name = "a/b/extra/model.json";
    refuse_entry(bad, "or in one folder");
    bad = good, bad.name = "/extra/model.json";
    refuse_entry(bad, "or in one folder");
    refuse_entry(text_entry("model/extra/model.json", "{\"model\":1}"),
                 "model.pt2: model.json: model: expected an object, found a number");
    refuse_entry(text_entry("model/extra/model.json", "{\"modal\":{}}"),
                 "model: missing; expected an object");
    refuse_entry(text_entry("model/extra/model.json", "[]"), "model.json: expected an object, found a list");
    refuse_entry(text_entry("model/extra/model.json", "{\"model\":{\"w\":[1,}}"),
                 "model.json: model.w[1]: not a JSON");
    refuse_entry(text_entry("model/extra/model.json", ""), "the text ends where a value was expected");
    refuse_entry(text_entry("model/extra/metadata.json", METADATA),
                 "this ZIP archive has no extra/model.json");
    refuse_entry(text_entry("dgnn/arrays.json", "{}"), "dgnn/model.json or dgnn/arrays.bin is missing");
}

static void refuse_two(const char *first, const char *second, const char *message)
{
    struct dgnn_archive archive;
    zip_begin();
    zip_add_text(first, strstr(first, "metadata") ? METADATA : MODEL, 0);
    zip_add_text(second, strstr(second, "metadata") ? METADATA : MODEL, 8);
    zip_end(&zip, 0, 0, "");
    CHECK_STATUS(read_zip(&archive), DGNN_ERROR_FORMAT, message);
}

static void test_ambiguous(void)
{
    refuse_two("model/extra/model.json", "model/extra/model.json", "two members");
    refuse_two("model/extra/model.json", "extra/model.json", "two members");
    refuse_two("a/extra/model.json", "b/extra/model.json", "two members");
    refuse_two("a/extra/model.json", "b/extra/metadata.json", "lie in different folders");
    refuse_two("extra/metadata.json", "b/extra/model.json", "lie in different folders");
}

static void refuse_end(int count_add, int place_add, const char *comment, const char *message)
{
    struct dgnn_archive archive;
    zip_begin();
    zip_add_text("extra/model.json", MODEL, 0);
    zip_end(&zip, count_add, place_add, comment);
    CHECK_STATUS(read_zip(&archive), DGNN_ERROR_FORMAT, message);
}

static void test_bad_ends(void)
{
    struct dgnn_archive archive;
    refuse_end(1, 0, "", "fewer entries than it says");
    refuse_end(-1, 0, "", "more entries than it says");
    refuse_end(0, 1, "", "its directory is not where its end says");
    refuse_end(0, -1, "", "its directory is not where its end says");
    for (int add = -1; add <= 1; add += 2) {
        zip_begin();
        zip_add_text("extra/model.json", MODEL, 0);
        zip_end64(&zip, add, ZIP_NARROW_FULL, "");
        CHECK_STATUS(read_zip(&archive), DGNN_ERROR_FORMAT, "its directory is not where its end says");
    }
    zip_begin();
    zip_add_text("extra/model.json", MODEL, 0);
    zip_end64(&zip, INT64_MIN, ZIP_NARROW_FULL, "");
    CHECK_STATUS(read_zip(&archive), DGNN_ERROR_FORMAT, "not a sound ZIP archive");
    /* Two archives behind one another: readers differ in which they see. */
    unsigned char stacked[4096];
    make_good("", 0);
    size_t length = zip.length;
    memcpy(stacked, zip.bytes, length);
    memcpy(stacked + length, zip.bytes, length);
    CHECK_STATUS(read_bytes(stacked, 2 * length, &archive), DGNN_ERROR_FORMAT, "not a sound ZIP archive");
    zip_begin();
    zip_end(&zip, 0, 0, "");
    CHECK_STATUS(read_zip(&archive), DGNN_ERROR_FORMAT, "has no extra/model.json");
}

static void test_not_archives(void)
{
    struct dgnn_archive archive;
    CHECK_STATUS(read_bytes("", 0, &archive), DGNN_ERROR_FORMAT,
                 "neither a ZIP archive nor JSON; it is empty");
    CHECK_STATUS(read_bytes("hello", 5, &archive), DGNN_ERROR_FORMAT, "neither a ZIP archive nor JSON");
    CHECK_STATUS(read_bytes("[1]", 3, &archive), DGNN_ERROR_FORMAT, "neither a ZIP archive nor JSON");
    CHECK_STATUS(read_bytes("PK\3\4", 4, &archive), DGNN_ERROR_FORMAT, "it is too short");
    CHECK_STATUS(read_bytes("\xef\xbb\xbf{}", 5, &archive), DGNN_ERROR_FORMAT, "byte order mark");
    CHECK_STATUS(read_bytes("\x89HDF\r\n\x1a\n", 8, &archive), DGNN_ERROR_FORMAT, "it is HDF5");
    CHECK_STATUS(read_bytes("{}", 2, &archive), DGNN_ERROR_FORMAT,
                 "model.pt2: model: missing; expected an object");
    CHECK_STATUS(dgnn_archive_read_memory("m", NULL, 0, &archive, &error), DGNN_ERROR_FORMAT, "m: neither");
    zip_begin();
    zip_add_text("model/data/aotinductor/model/a.wrapper.so", "ELF", 0);
    zip_add_text("model/extra/metadata.json", METADATA, 0);
    zip_end(&zip, 0, 0, "");
    CHECK_STATUS(read_zip(&archive), DGNN_ERROR_UNSUPPORTED, "dp --pt-expt freeze");
}

/* Every truncation and every bit flip: refused, or a model of the same content (flips in times and
 * attributes). */
static void test_damage(void)
{
    struct dgnn_archive archive;
    unsigned char bytes[2048];
    int accepted = 0, other = 0;
    make_good("model/", 8);
    size_t length = zip.length;
    memcpy(bytes, zip.bytes, length);
    CHECK_STATUS(read_bytes(bytes, length, &archive), DGNN_OK, "");
    uint64_t digest[2] = {archive.digest[0], archive.digest[1]};
    dgnn_archive_free(&archive);
    for (size_t cut = 0; cut < length; cut++) {
        accepted += !read_bytes(bytes, cut, &archive);
    }
    CHECK(accepted == 0);
    for (size_t bit = 0; bit < 8 * length; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        if (!read_bytes(bytes, length, &archive)) {
            accepted++;
            other += archive.metadata && memcmp(digest, archive.digest, sizeof(digest));
            dgnn_archive_free(&archive);
        }
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    printf("%zu bytes: %d of %zu bit flips change nothing that is read\n", length, accepted, 8 * length);
    CHECK(other == 0 && accepted < (int)length);
    CHECK(dgnn_alloc_live() == 0);
}

/* ------------------------------------------------------------------ files */

static int open_files(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder && readdir(folder)) {
        count++;
    }
    if (folder) {
        closedir(folder);
    }
    return count;
}

static void test_files(void)
{
    struct dgnn_archive archive;
    char folder[] = P_tmpdir "/dgnn_test_XXXXXX";
    char path[128];
    int before = open_files();
    CHECK(mkdtemp(folder) != NULL);
    CHECK_STATUS(dgnn_archive_read(folder, &archive, &error), DGNN_ERROR_SYSTEM, "not a regular file");
    CHECK(error.system_errno == EISDIR);
    snprintf(path, sizeof(path), "%s/model.pt2", folder);
    CHECK_STATUS(dgnn_archive_read(path, &archive, &error), DGNN_ERROR_SYSTEM, "cannot open: No such file");
    CHECK(error.system_errno == ENOENT && strstr(error.message, path));
    make_good("model/", 8);
    FILE *file = fopen(path, "wb");
    CHECK(file && fwrite(zip.bytes, 1, zip.length, file) == zip.length && !fclose(file));
    CHECK_STATUS(dgnn_archive_read(path, &archive, &error), DGNN_OK, "");
    check_good(&archive);
    dgnn_archive_free(&archive);
    CHECK(!truncate(path, 100));
    CHECK_STATUS(dgnn_archive_read(path, &archive, &error), DGNN_ERROR_FORMAT, path);
    CHECK(!unlink(path) && !mkfifo(path, 0600));
    CHECK_STATUS(dgnn_archive_read(path, &archive, &error), DGNN_ERROR_SYSTEM, "not a regular file");
    CHECK(error.system_errno == EINVAL);
    CHECK(!unlink(path) && !symlink(path, path));
    CHECK_STATUS(dgnn_archive_read(path, &archive, &error), DGNN_ERROR_SYSTEM, "cannot open");
    CHECK(error.system_errno == ELOOP);
    CHECK(!unlink(path) && !rmdir(folder));
    CHECK(open_files() == before);
}

/* In place of the C library's: a call that can be made to fail. */
static int pread_calls, pread_fail_at, pread_errno; /* errno 0: the end of the file; -1: one byte only */

ssize_t pread(int fd, void *buffer, size_t nbytes, off_t offset)
{
    if (++pread_calls == pread_fail_at) {
        if (pread_errno >= 0) {
            errno = pread_errno;
            return pread_errno ? -1 : 0;
        }
        nbytes = nbytes > 0;
    }
    return syscall(SYS_pread64, fd, buffer, nbytes, offset);
}

static int fstat_fails;

int fstat(int fd, struct stat *info)
{
    if (fstat_fails) {
        errno = EOVERFLOW;
        return -1;
    }
    return (int)syscall(SYS_newfstatat, fd, "", info, AT_EMPTY_PATH);
}

static int read_failing(const char *path, int at, int errnum, struct dgnn_archive *archive)
{
    pread_calls = 0;
    pread_fail_at = at;
    pread_errno = errnum;
    int status = dgnn_archive_read(path, archive, &error);
    pread_fail_at = 0;
    return status;
}

/* Each read of the file fails once, is interrupted, comes short, or finds that the file has shrunk. */
static void test_failing_reads(const char *folder)
{
    char path[512];
    struct dgnn_archive archive;
    snprintf(path, sizeof(path), "%s/dpa1_attn0.pt2", folder);
    CHECK_STATUS(dgnn_archive_read(path, &archive, &error), DGNN_OK, "");
    uint64_t digest[2] = {archive.digest[0], archive.digest[1]};
    dgnn_archive_free(&archive);
    CHECK(!read_failing(path, -1, EIO, &archive));
    int calls = pread_calls;
    dgnn_archive_free(&archive);
    CHECK(calls > 5);
    for (int at = 1; at <= calls; at++) {
        CHECK_STATUS(read_failing(path, at, EIO, &archive), DGNN_ERROR_SYSTEM, "Input/output error");
        CHECK(error.system_errno == EIO && strstr(error.message, path) && !archive.model);
        CHECK_STATUS(read_failing(path, at, 0, &archive), DGNN_ERROR_SYSTEM, "cannot read");
        for (int errnum = -1; errnum <= EINTR; errnum += EINTR + 1) {
            CHECK_STATUS(read_failing(path, at, errnum, &archive), DGNN_OK, "");
            CHECK(!memcmp(digest, archive.digest, sizeof(digest)));
            dgnn_archive_free(&archive);
        }
    }
}

static void test_source(void)
{
    char path[] = P_tmpdir "/dgnn_test_XXXXXX";
    char bytes[8];
    struct dgnn_source source;
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, "12345678", 8) == 8);
    CHECK_STATUS(dgnn_source_open(path, &source, &error), DGNN_OK, "");
    CHECK(fcntl(source.fd, F_GETFD) & FD_CLOEXEC);
    CHECK(!dgnn_source_read(&source, 2, bytes, 6, &error) && !memcmp(bytes, "345678", 6));
    CHECK_STATUS(dgnn_source_read(&source, 3, bytes, 6, &error), DGNN_ERROR_FORMAT, "beyond its own end");
    CHECK_STATUS(dgnn_source_read(&source, -1, bytes, 1, &error), DGNN_ERROR_FORMAT, "beyond its own end");
    CHECK_STATUS(dgnn_source_unchanged(&source, &error), DGNN_OK, "");
    fstat_fails = 1;
    CHECK_STATUS(dgnn_source_unchanged(&source, &error), DGNN_ERROR_SYSTEM, "cannot look at the file: ");
    fstat_fails = 0;
    CHECK(!ftruncate(fd, 4));
    CHECK_STATUS(dgnn_source_unchanged(&source, &error), DGNN_ERROR_SYSTEM,
                 "the file changed while it was read");
    CHECK_STATUS(dgnn_source_read(&source, 2, bytes, 6, &error), DGNN_ERROR_SYSTEM, "the file has shrunk");
    dgnn_source_close(&source);
    CHECK(!close(fd) && !unlink(path));
}

/* ------------------------------------------------------------------ memory */

static void test_allocation_failures(void)
{
    int64_t live = dgnn_alloc_live();
    struct dgnn_archive archive;
    make_good("model/", 8);
    for (int persistent = 0; persistent < 2; persistent++) {
        int64_t nth = 1;
        for (;; nth++) {
            dgnn_alloc_fail_at(nth, persistent);
            int status = read_zip(&archive);
            dgnn_alloc_fail_at(0, 0);
            if (!status) {
                dgnn_archive_free(&archive);
                break;
            }
            CHECK(status == DGNN_ERROR_MEMORY && dgnn_alloc_live() == live && !archive.model);
        }
        CHECK(nth > 15 && dgnn_alloc_live() == live);
    }
}

int main(int argc, char **argv)
{
    test_good();
    test_good_forms();
    test_ends();
    test_reference(argc > 1 ? argv[1] : "tests/data/archives");
    test_bad_members();
    test_ambiguous();
    test_bad_ends();
    test_not_archives();
    test_damage();
    test_files();
    test_source();
    test_failing_reads(argc > 1 ? argv[1] : "tests/data/archives");
    test_allocation_failures();
    CHECK(dgnn_alloc_live() == 0);
    return check_report();
}
