/* The part of libcuda.so.1 that dgnn calls, on the CPU: the same entries and errors, with the kernels that are linked in
 * (cuda_on_cpu.h). It is stricter than a device: nothing runs before somebody waits for its queue; the host cannot touch
 * memory of the device between runs, and a page behind each block is nobody's; what a thread does without the context is
 * refused; arguments of kernels are searched for host addresses. Tests set it by the functions at the end. */
#include <cerrno>
#include <deque>
#include <fcntl.h>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include "cuda_on_cpu.h"

typedef int result;
typedef unsigned long long address;
enum {
    OK = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    NOT_FOUND = 500,
    LAUNCH_FAILED = 719
};
/* Attributes that dgnn asks for. */
enum { ATTRIBUTE_MAJOR = 75, ATTRIBUTE_MINOR = 76 };

struct stream {
    std::deque<std::function<void()>> work;
};
struct module_of_kernels {
    std::string image;
};
struct memory {
    char *map;
    size_t mapped, size;
};

static std::recursive_mutex lock;
static std::map<address, memory> memories;
static std::map<void *, size_t> host_memories;
static std::map<std::string, long> launches;
static std::vector<void *> functions; /* kept for good: a module's functions are never freed on their own */
static bool initialised;
static size_t taken, most_taken, capacity = size_t(1) << 32;
static long calls, fail_at, live, copied_up, copied_down, launched;
static int fail_code, devices = 1, driver_version = 12040, capability = 90, contexts, idle;
static char order = 'f';
static thread_local std::vector<void *> current;

/* Each entry begins with it: is the context the thread's, and does a test want this call to fail? */
static result enter(bool needs_context)
{
    calls++;
    if (fail_at && calls == fail_at) {
        return fail_code;
    }
    if (!initialised) {
        return NOT_INITIALIZED;
    }
    return needs_context && current.empty() ? INVALID_CONTEXT : OK;
}
#define ENTER(needs_context)                                                                                 \
    std::lock_guard<std::recursive_mutex> guard(lock);                                                       \
    if (result code = enter(needs_context)) {                                                                \
        return code;                                                                                         \
    }

#if defined(__SANITIZE_ADDRESS__) || defined(CUDA_ON_CPU_TSAN)
static void open_memory(bool) {}
static memory take(size_t n)
{
    char *p = nullptr;
    return posix_memalign((void **)&p, 256, n) ? memory{nullptr, 0, 0} : memory{p, 0, n};
}
static void give(memory m)
{
    free(m.map);
}
static char *begin_of(memory m)
{
    return m.map;
}
#else
static const size_t PAGE = 4096;
static void open_memory(bool open)
{
    for (auto &m : memories) {
        mprotect(m.second.map, m.second.mapped - PAGE, open ? PROT_READ | PROT_WRITE : PROT_NONE);
    }
}
/* Ends at a page that nobody may touch, but for what aligning it to 64 leaves. */
static memory take(size_t n)
{
    size_t whole = (n + PAGE - 1) / PAGE * PAGE + PAGE;
    char *map = (char *)mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) {
        return {nullptr, 0, 0};
    }
    mprotect(map + whole - PAGE, PAGE, PROT_NONE);
    return {map, whole, n};
}
static void give(memory m)
{
    munmap(m.map, m.mapped);
}
static char *begin_of(memory m)
{
    return m.map + m.mapped - PAGE - (m.size + 63) / 64 * 64;
}
#endif

static bool is_inside(address p, size_t n)
{
    auto m = memories.upper_bound(p);
    return m != memories.begin() && p + n <= (--m)->first + m->second.size;
}

/* An address of this process that is not the device's. Two small integers side by side, or one and what is between members,
 * are not: the heap of a program at a fixed place may lie where they point. Stacks are found, and what mmap gave, as here. */
static bool is_host(uint64_t word)
{
    if (word >> 40 == 0 || word >> 47 || uint32_t(word) < 65536 || is_inside(word, 0)) {
        return false;
    }
    return msync((void *)(word & ~uint64_t(4095)), 4096, MS_ASYNC) == 0;
}

static result wait_for(stream *s)
{
    open_memory(true);
    while (!s->work.empty()) {
        auto work = s->work.front();
        s->work.pop_front();
        work();
    }
    open_memory(false);
    return OK;
}

extern "C" {

result cuInit(unsigned)
{
    std::lock_guard<std::recursive_mutex> guard(lock);
    calls++;
    if (fail_at && calls == fail_at) {
        return fail_code;
    }
    if (const char *bytes = getenv("CUDA_ON_CPU_MEMORY")) { /* where no test can call cuda_on_cpu_set */
        capacity = strtoull(bytes, nullptr, 10);
    }
    initialised = devices > 0;
    return initialised ? OK : NO_DEVICE;
}
result cuDriverGetVersion(int *version)
{
    ENTER(false)
    *version = driver_version;
    return OK;
}
result cuGetErrorName(int code, const char **name)
{
    *name = code == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_ON_CPU";
    return OK;
}
result cuGetErrorString(int code, const char **text)
{
    static thread_local char words[64];
    snprintf(words, sizeof words, "error %d of the fake driver", code);
    *text = words;
    return OK;
}
result cuDeviceGetCount(int *count)
{
    ENTER(false)
    *count = devices;
    return OK;
}
result cuDeviceGet(int *device, int ordinal)
{
    ENTER(false)
    *device = ordinal;
    return ordinal >= 0 && ordinal < devices ? OK : INVALID_DEVICE;
}
result cuDeviceGetName(char *name, int n, int device)
{
    ENTER(false)
    snprintf(name, n, "a CPU that runs kernels, number %d", device);
    return OK;
}
result cuDeviceGetAttribute(int *value, int attribute, int)
{
    ENTER(false)
    *value = attribute == ATTRIBUTE_MAJOR ? capability / 10 : attribute == ATTRIBUTE_MINOR ? capability % 10 : 0;
    return OK;
}
result cuDevicePrimaryCtxRetain(void **context, int)
{
    ENTER(false)
    contexts++;
    live++;
    *context = &contexts;
    return OK;
}
result cuDevicePrimaryCtxRelease_v2(int)
{
    ENTER(false)
    contexts--;
    live--;
    return OK;
}
result cuCtxPushCurrent_v2(void *context)
{
    ENTER(false)
    if (!contexts || context != &contexts) {
        return INVALID_CONTEXT;
    }
    current.push_back(context);
    return OK;
}
result cuCtxPopCurrent_v2(void **context)
{
    std::lock_guard<std::recursive_mutex> guard(lock); /* it happens even where it says that something failed */
    if (current.empty()) {
        return INVALID_CONTEXT;
    }
    *context = current.back();
    current.pop_back();
    calls++;
    return fail_at && calls == fail_at ? fail_code : OK;
}
/* An image begins as an ELF file does and says its length after it: tools/kernels.py makes such ones for tests. */
result cuModuleLoadData(void **module, const void *image)
{
    ENTER(true)
    const char *bytes = (const char *)image;
    if (memcmp(bytes, "\177ELFFAKE", 8)) {
        return INVALID_IMAGE;
    }
    uint64_t length;
    memcpy(&length, bytes + 8, 8);
    *module = new module_of_kernels{std::string(bytes, length)};
    live++;
    return OK;
}
result cuModuleUnload(void *module)
{
    ENTER(true)
    delete (module_of_kernels *)module;
    live--;
    return OK;
}
result cuModuleGetFunction(void **function, void *module, const char *name)
{
    ENTER(true)
    std::string entry = std::string(".text.") + name + '\0';
    if (((module_of_kernels *)module)->image.find(entry) == std::string::npos) {
        return NOT_FOUND;
    }
    for (cpu_kernel *k = cpu_kernel::first; k; k = k->next) {
        if (!strcmp(k->name, name)) {
            *function = k;
            return OK;
        }
    }
    return NOT_FOUND;
}
result cuMemGetInfo_v2(size_t *free, size_t *all)
{
    ENTER(true)
    *free = capacity - taken;
    *all = capacity;
    return OK;
}
result cuMemAlloc_v2(address *p, size_t n)
{
    ENTER(true)
    if (!n) {
        return INVALID_VALUE;
    }
    memory m = taken + n > capacity ? memory{nullptr, 0, 0} : take(n);
    if (!m.map) {
        return OUT_OF_MEMORY;
    }
    if (!idle) {
        memset(begin_of(m), 0xff, n); /* NaN */
    }
    *p = (address)begin_of(m);
    memories[*p] = m;
    taken += n;
    most_taken = taken > most_taken ? taken : most_taken;
    live++;
    open_memory(false);
    return OK;
}
result cuMemFree_v2(address p)
{
    ENTER(true)
    auto m = memories.find(p);
    if (m == memories.end()) {
        return INVALID_VALUE;
    }
    taken -= m->second.size;
    give(m->second);
    memories.erase(m);
    live--;
    return OK;
}
result cuMemAllocHost_v2(void **p, size_t n)
{
    ENTER(true)
    if (!n) {
        return INVALID_VALUE;
    }
    *p = mmap(nullptr, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (*p == MAP_FAILED) {
        return OUT_OF_MEMORY;
    }
    memset(*p, 0xff, n);
    host_memories[*p] = n;
    live++;
    return OK;
}
result cuMemFreeHost(void *p)
{
    ENTER(true)
    auto m = host_memories.find(p);
    if (m == host_memories.end()) {
        return INVALID_VALUE;
    }
    munmap(p, m->second);
    host_memories.erase(m);
    live--;
    return OK;
}
result cuStreamCreate(void **s, unsigned)
{
    ENTER(true)
    *s = new stream;
    live++;
    return OK;
}
result cuStreamSynchronize(void *s)
{
    ENTER(true)
    return wait_for((stream *)s);
}
result cuStreamDestroy_v2(void *s)
{
    ENTER(true)
    wait_for((stream *)s);
    delete (stream *)s;
    live--;
    return OK;
}
/* Reads the host's memory when it runs, as from pinned memory. */
result cuMemcpyHtoDAsync_v2(address to, const void *from, size_t n, void *s)
{
    ENTER(true)
    if (!is_inside(to, n)) {
        return INVALID_VALUE;
    }
    copied_up += (long)n;
    ((stream *)s)->work.push_back([=] { memcpy((void *)to, from, n); });
    return OK;
}
result cuMemcpyDtoHAsync_v2(void *to, address from, size_t n, void *s)
{
    ENTER(true)
    if (!is_inside(from, n)) {
        return INVALID_VALUE;
    }
    copied_down += (long)n;
    ((stream *)s)->work.push_back([=] { memcpy(to, (void *)from, n); });
    return OK;
}
result cuMemcpyDtoDAsync_v2(address to, address from, size_t n, void *s)
{
    ENTER(true)
    if (!is_inside(from, n) || !is_inside(to, n) || (from < to + n && to < from + n)) {
        return INVALID_VALUE;
    }
    ((stream *)s)->work.push_back([=] { memcpy((void *)to, (void *)from, n); });
    return OK;
}
result cuMemsetD8Async(address to, unsigned char value, size_t n, void *s)
{
    ENTER(true)
    if (!is_inside(to, n)) {
        return INVALID_VALUE;
    }
    ((stream *)s)->work.push_back([=] { memset((void *)to, value, n); });
    return OK;
}
result cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                      unsigned shared, void *s, void **arguments, void **)
{
    ENTER(true)
    const cpu_kernel *kernel = (const cpu_kernel *)function;
    if (!gx || gy != 1 || gz != 1 || by != 1 || bz != 1 || shared || (int)bx != kernel->threads) {
        return INVALID_VALUE; /* more than its launch bounds, or a shape that no kernel of dgnn has */
    }
    auto copy = std::make_shared<std::vector<uint64_t>>((kernel->argument_size + 7) / 8);
    memcpy(copy->data(), arguments[0], kernel->argument_size);
    for (size_t w = 0; w < copy->size(); w++) {
        if (is_host((*copy)[w])) {
            fprintf(stderr, "cuda on a cpu: the argument of %s has a host's address at byte %zu\n", kernel->name, 8 * w);
            return LAUNCH_FAILED;
        }
    }
    launches[kernel->name]++;
    launched++;
    if (idle) {
        return OK;
    }
    char how = order;
    ((stream *)s)->work.push_back([=] { cpu_launch(kernel, copy->data(), {{gx, 1, 1}, {bx, 1, 1}}, how); });
    return OK;
}

/* ---------------------------------------------------------------- for tests */

/* The next call fails with code, or with nth > 1 a later one; 0: none. */
void cuda_on_cpu_fail_at(long nth, int code)
{
    fail_at = nth ? calls + nth : 0;
    fail_code = code;
}
long cuda_on_cpu_calls(void)
{
    return calls;
}
/* Contexts, modules, streams and blocks of memory that were made and not freed. */
long cuda_on_cpu_live(void)
{
    return live;
}
long cuda_on_cpu_copied(int up)
{
    return up ? copied_up : copied_down;
}
long cuda_on_cpu_launches(const char *kernel)
{
    std::lock_guard<std::recursive_mutex> guard(lock);
    return launches[kernel];
}
/* Bytes of the device that are taken; most: that were at once, since this was last asked. */
size_t cuda_on_cpu_memory(int most)
{
    std::lock_guard<std::recursive_mutex> guard(lock);
    size_t n = most ? most_taken : taken;
    most_taken = most ? taken : most_taken;
    return n;
}
/* Kernels are launched but do nothing: what is counted is that of a system for which a CPU would take minutes. */
void cuda_on_cpu_idle(int on)
{
    idle = on;
}
void cuda_on_cpu_set(int ndevice, int version, int compute_capability, size_t bytes)
{
    devices = ndevice;
    driver_version = version;
    capability = compute_capability;
    capacity = bytes;
}
void cuda_on_cpu_break_tensor(int is_wrong)
{
    cpu_tensor_is_wrong = is_wrong;
}
void cuda_on_cpu_order(char how)
{
    order = how;
}
}

/* The process's line in the file CUDA_ON_CPU_LOG: how many kernels it launched. */
__attribute__((destructor)) static void tell()
{
    const char *path = getenv("CUDA_ON_CPU_LOG");
    int file = path && launched ? open(path, O_WRONLY | O_CREAT | O_APPEND, 0666) : -1;
    char line[32];
    int n = snprintf(line, sizeof line, "%ld\n", launched);
    if (file >= 0) {
        if (write(file, line, (size_t)n) != n) {
            perror(path);
        }
        close(file);
    }
}
