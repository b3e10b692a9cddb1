/* io/writer: what is written reads back, and a failure or a kill at any byte leaves the old file. */
#include "check.h"

#include "base/alloc.h"
#include "io/writer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct dgnn_error error;
static char folder[] = P_tmpdir "/dgnn_test_XXXXXX";
static char path[128];

#define WEIGHT(dtype, value)                                                                                 \
    "{\"@class\":\"np.ndarray\",\"@is_variable\":true,\"dtype\":\"" dtype "\",\"value\":" value "}"

#define FLOAT64 WEIGHT("float64", "[[1.5,2],[3,4]]")
#define FLOAT32 WEIGHT("float32", "[]")
#define INT64   WEIGHT("int64", "[9007199254740993]")
#define INT32   WEIGHT("int32", "7")
#define BOOL    WEIGHT("bool", "[true,false,true]")

static const char text[] =
    "{\"model\":{\"type\":\"standard\",\"n\":-0.0,\"x\":0.1,\"big\":1e300,\"tiny\":4.9e-324,"
    "\"t\":true,\"f\":false,\"z\":null,\"s\":\"\\u00e9\\n\\\"\\\\\",\"l\":[1,[],{}],"
    "\"w\":" FLOAT64 ",\"e\":" FLOAT32 ",\"i\":" INT64 ",\"j\":" INT32 ",\"b\":" BOOL "},"
    "\"software\":\"deepmd-kit\"}";

static void make_archive(struct dgnn_archive *archive, const char *type_map)
{
    CHECK_STATUS(dgnn_archive_read_memory("model.json", text, strlen(text), archive, &error), DGNN_OK, "");
    CHECK(!dgnn_tree_parse("metadata.json", type_map, strlen(type_map), NULL, &archive->metadata, &error));
    dgnn_archive_set_digest(archive);
}

static int same_digest(const struct dgnn_archive *a, const struct dgnn_archive *b)
{
    return !memcmp(a->digest, b->digest, sizeof(a->digest));
}

/* Files in the folder that are not the archive itself. */
static int count_others(int remove)
{
    int count = 0;
    DIR *directory = opendir(folder);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, "model.dgnn")) {
            char name[512];
            CHECK(!strncmp(entry->d_name, "model.dgnn.tmp.", 15));
            snprintf(name, sizeof(name), "%s/%s", folder, entry->d_name);
            count++;
            if (remove) {
                CHECK(!unlink(name));
            }
        }
    }
    if (directory) {
        closedir(directory);
    }
    return count;
}

static void check_holds(const struct dgnn_archive *expected)
{
    struct dgnn_archive archive;
    CHECK_STATUS(dgnn_archive_read(path, &archive, &error), DGNN_OK, "");
    CHECK(!strcmp(archive.format, "dgnn") && same_digest(&archive, expected));
    dgnn_archive_free(&archive);
}

static void test_round_trip(const struct dgnn_archive *archive)
{
    struct dgnn_archive again;
    struct dgnn_tensor tensor;
    struct dgnn_text json = {0};
    int64_t n, narrays = 0;
    CHECK_STATUS(dgnn_writer_save(path, archive, &error), DGNN_OK, "");
    check_holds(archive);
    CHECK(count_others(0) == 0);
    CHECK(!dgnn_archive_read(path, &again, &error));
    struct dgnn_value root = dgnn_tree_root(again.model);
    struct dgnn_value model = dgnn_value_member(&root, "model");
    struct dgnn_value v = dgnn_value_member(&model, "i");
    CHECK(!dgnn_value_tensor(&v, &tensor, &error) && *(const int64_t *)tensor.data == 9007199254740993);
    v = dgnn_value_member(&model, "j");
    CHECK(!dgnn_value_tensor(&v, &tensor, &error) && tensor.ndim == 0 && *(const int32_t *)tensor.data == 7);
    v = dgnn_value_member(&model, "l");
    CHECK(!dgnn_value_list(&v, &n, &error) && n == 3);
    CHECK_STATUS(dgnn_writer_json(&model, &json, NULL, &narrays, &error), DGNN_OK, "");
    CHECK(narrays == 5 &&
          strstr(json.data, "\"n\": -0, \"x\": 0.10000000000000001, \"big\": 1.0000000000000001e+300"));
    dgnn_text_free(&json);
    /* The same model from .dgnn gives the same file. */
    struct stat first, second;
    CHECK(!stat(path, &first) && !dgnn_writer_save(path, &again, &error) && !stat(path, &second));
    CHECK(first.st_size == second.st_size && first.st_ino != second.st_ino);
    dgnn_archive_free(&again);
    check_holds(archive);
}

static void test_refused(const struct dgnn_archive *archive)
{
    char name[256];
    snprintf(name, sizeof(name), "%s/no/model.dgnn", folder);
    CHECK_STATUS(dgnn_writer_save(name, archive, &error), DGNN_ERROR_SYSTEM, "cannot create");
    CHECK(error.system_errno == ENOENT);
    CHECK_STATUS(dgnn_writer_save(folder, archive, &error), DGNN_ERROR_SYSTEM, "not a regular file");
    CHECK(count_others(0) == 0);
}

/* In place of the C library's: calls that can be made to fail. errno -1: a write of one byte only. */
static int write_calls, write_fail_at, write_errno, fsync_calls, fsync_fail_at;

ssize_t write(int fd, const void *data, size_t nbytes)
{
    if (++write_calls == write_fail_at) {
        if (write_errno >= 0) {
            errno = write_errno;
            return -1;
        }
        nbytes = nbytes > 0;
    }
    return syscall(SYS_write, fd, data, nbytes);
}

int fsync(int fd)
{
    if (++fsync_calls == fsync_fail_at) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

static int close_fails, folder_fails;

int close(int fd)
{
    int fails = close_fails;
    close_fails = 0;
    (void)syscall(SYS_close, fd);
    errno = fails ? EDQUOT : errno;
    return -fails;
}

int open(const char *name, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    unsigned mode = flags & O_CREAT ? va_arg(arguments, unsigned) : 0;
    va_end(arguments);
    if (folder_fails && flags & O_DIRECTORY) {
        errno = EMFILE;
        return -1;
    }
    return (int)syscall(SYS_openat, AT_FDCWD, name, flags, mode);
}

static int save_failing(int at, int errnum, int sync_at, const struct dgnn_archive *archive)
{
    write_calls = fsync_calls = 0;
    write_fail_at = at;
    write_errno = errnum;
    fsync_fail_at = sync_at;
    int status = dgnn_writer_save(path, archive, &error);
    write_fail_at = fsync_fail_at = 0;
    return status;
}

static void test_failing_writes(const struct dgnn_archive *old, const struct dgnn_archive *new)
{
    CHECK_STATUS(save_failing(-1, 0, -1, old), DGNN_OK, "");
    int calls = write_calls;
    CHECK(calls > 10 && fsync_calls == 2);
    for (int at = 1; at <= calls; at++) {
        CHECK_STATUS(save_failing(at, ENOSPC, -1, new), DGNN_ERROR_SYSTEM, "cannot write: No space left");
        CHECK(error.system_errno == ENOSPC && count_others(0) == 0);
        check_holds(old);
        CHECK_STATUS(save_failing(at, EINTR, -1, old), DGNN_OK, "");
        CHECK_STATUS(save_failing(at, -1, -1, old), DGNN_OK, "");
    }
    CHECK_STATUS(save_failing(-1, 0, 1, new), DGNN_ERROR_SYSTEM, "cannot sync: Input/output error");
    check_holds(old);
    /* The folder's sync comes after the rename: the new file is there, and the error says that it may not
     * last. */
    CHECK_STATUS(save_failing(-1, 0, 2, new), DGNN_ERROR_SYSTEM, "cannot sync the folder");
    check_holds(new);
    CHECK_STATUS(dgnn_writer_save(path, old, &error), DGNN_OK, "");
    close_fails = 1;
    CHECK_STATUS(dgnn_writer_save(path, new, &error), DGNN_ERROR_SYSTEM, "cannot close: ");
    check_holds(old);
    folder_fails = 1;
    CHECK_STATUS(dgnn_writer_save(path, new, &error), DGNN_ERROR_SYSTEM, "cannot open the folder: ");
    folder_fails = 0;
    check_holds(new);
    CHECK_STATUS(dgnn_writer_save(path, old, &error), DGNN_OK, "");
    CHECK(count_others(0) == 0);
}

/* A full disk at each byte, seen as an error: nothing is left, and the old file stands. */
static void test_full_disk(const struct dgnn_archive *old, const struct dgnn_archive *new, int64_t nbytes)
{
    struct rlimit before, limit;
    CHECK(!getrlimit(RLIMIT_FSIZE, &before));
    signal(SIGXFSZ, SIG_IGN);
    for (int64_t at = 0; at < nbytes; at += 7) {
        limit = (struct rlimit){.rlim_cur = (rlim_t)at, .rlim_max = before.rlim_max};
        CHECK(!setrlimit(RLIMIT_FSIZE, &limit));
        int status = dgnn_writer_save(path, new, &error);
        CHECK(!setrlimit(RLIMIT_FSIZE, &before));
        CHECK(status == DGNN_ERROR_SYSTEM && error.system_errno == EFBIG && count_others(0) == 0);
    }
    signal(SIGXFSZ, SIG_DFL);
    check_holds(old);
}

/* The kernel kills the writer when it writes byte at: the old file stands, and what is left does no harm. */
static void test_kills(const struct dgnn_archive *old, const struct dgnn_archive *new, int64_t nbytes)
{
    int killed = 0, points = 0;
    for (int64_t at = 0; at < nbytes; at += nbytes / 100, points++) {
        pid_t child = fork();
        if (child == 0) {
            struct rlimit limit = {.rlim_cur = (rlim_t)at, .rlim_max = (rlim_t)at};
            signal(SIGXFSZ, SIG_DFL);
            _exit(setrlimit(RLIMIT_FSIZE, &limit) || dgnn_writer_save(path, new, NULL));
        }
        int status = 0;
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ;
        check_holds(old);
    }
    CHECK(points >= 100 && killed == points && count_others(1) == points);
    CHECK_STATUS(dgnn_writer_save(path, new, &error), DGNN_OK, "");
    check_holds(new);
}

static void test_allocation_failures(const struct dgnn_archive *archive)
{
    int64_t live = dgnn_alloc_live();
    for (int persistent = 0; persistent < 2; persistent++) {
        for (int64_t nth = 1;; nth++) {
            dgnn_alloc_fail_at(nth, persistent);
            int status = dgnn_writer_save(path, archive, &error);
            dgnn_alloc_fail_at(0, 0);
            CHECK(dgnn_alloc_live() == live && count_others(0) == 0);
            if (!status) {
                CHECK(nth > 20);
                break;
            }
            CHECK(status == DGNN_ERROR_MEMORY);
        }
    }
    check_holds(archive);
}

int main(void)
{
    struct dgnn_archive old, new;
    struct stat info;
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof(path), "%s/model.dgnn", folder);
    make_archive(&old, "{\"type_map\":[\"O\",\"H\"]}");
    make_archive(&new, "{\"type_map\":[\"H\",\"O\"]}");
    CHECK(!same_digest(&old, &new));
    test_round_trip(&old);
    test_refused(&old);
    test_failing_writes(&old, &new);
    CHECK(!stat(path, &info));
    test_full_disk(&old, &new, info.st_size);
    test_kills(&old, &new, info.st_size);
    test_allocation_failures(&old);
    dgnn_archive_free(&old);
    dgnn_archive_free(&new);
    CHECK(!unlink(path) && !rmdir(folder));
    CHECK(dgnn_alloc_live() == 0);
    return check_report();
}
