/* Blocks of threads as fibres (cuda_on_cpu.h). With a thread sanitizer each fibre is a thread to it: barriers and what a warp
 * does together order them, blocks of a launch are not ordered, so a missing barrier is a race although fibres run in
 * turn. Then this file itself is compiled without the sanitizer, with CUDA_ON_CPU_TSAN. */
#include "cuda_on_cpu.h"

#include <algorithm>
#include <random>
#include <sys/mman.h>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(CUDA_ON_CPU_TSAN)
extern "C" {
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
}
#endif

int cpu_tensor_is_wrong;
cpu_kernel *cpu_kernel::first;
thread_local cpu_lane *cpu_now;
thread_local cpu_uint3 cpu_block_index, cpu_block_dim, cpu_grid_dim;

/* Saves the stack pointer and what a call preserves; goes on where the other fibre left. */
extern "C" void cpu_switch(void **save, void *load);
#if defined(__x86_64__)
asm(".text\n.globl cpu_switch\n.type cpu_switch,@function\ncpu_switch:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp,(%rdi)\nmovq %rsi,%rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n.size cpu_switch,.-cpu_switch\n");
#else
#error "a switch of fibres for this processor"
#endif

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(CUDA_ON_CPU_TSAN)
const size_t STACK = 256 * 1024;
#else
const size_t STACK = 64 * 1024;
#endif

enum state { READY, AT_BARRIER, TOGETHER, DONE };

struct result {
    int left;
    char place[32][64];
};

struct fibre : cpu_lane {
    state is;
    void *sp;
    char *stack;
    const void *where;
    unsigned mask, number;
    char bring[64];
    result *got;
#if defined(CUDA_ON_CPU_TSAN)
    void *tsan;
#endif
#if defined(__SANITIZE_ADDRESS__)
    void *fake;
#endif
};

/* Of one thread of the system. */
struct team {
    std::vector<fibre> fibres;
    std::vector<result *> pool;
    std::vector<fibre *> order;
    void *shared[64] = {}; /* by the place of their declaration */
    std::vector<void *> used;
    void *host_sp;
    void (*run)(const void *);
    const void *argument;
    unsigned live;
    std::mt19937 random;
    char block_sync, launch_sync, end_sync; /* addresses for happens-before */
#if defined(CUDA_ON_CPU_TSAN)
    void *host_tsan;
#endif
#if defined(__SANITIZE_ADDRESS__)
    void *host_fake;
    const void *host_bottom;
    size_t host_size;
#endif
};
thread_local team *mine;
thread_local bool in_plain;

void to_host(fibre *f, bool last)
{
#if defined(CUDA_ON_CPU_TSAN)
    __tsan_switch_to_fiber(mine->host_tsan, 1);
#endif
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(last ? nullptr : &f->fake, mine->host_bottom, mine->host_size);
#endif
    (void)last;
    cpu_switch(&f->sp, mine->host_sp);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(f->fake, &mine->host_bottom, &mine->host_size);
#endif
}

void body()
{
    fibre *f = static_cast<fibre *>(cpu_now);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &mine->host_bottom, &mine->host_size);
#endif
#if defined(CUDA_ON_CPU_TSAN)
    __tsan_acquire(&mine->launch_sync);
#endif
    mine->run(mine->argument);
#if defined(CUDA_ON_CPU_TSAN)
    __tsan_release(&mine->end_sync);
#endif
    f->is = DONE;
    to_host(f, true);
    abort();
}

void to_fibre(fibre *f)
{
    cpu_now = f;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&mine->host_fake, f->stack, STACK);
#endif
#if defined(CUDA_ON_CPU_TSAN)
    __tsan_switch_to_fiber(f->tsan, 1);
#endif
    cpu_switch(&mine->host_sp, f->sp);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(mine->host_fake, nullptr, nullptr);
#endif
}

void start(fibre *f, unsigned number)
{
    f->thread = {number, 0, 0};
    f->number = number;
    f->is = READY;
    f->got = nullptr;
    if (!f->stack) {
        f->stack = (char *)mmap(nullptr, STACK, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        mprotect(f->stack, 4096, PROT_NONE);
    }
    void **top = (void **)(f->stack + STACK) - 2;
    *top = (void *)body; /* the switch returns there, with the stack as after a call */
    for (int r = 1; r <= 6; r++) {
        top[-r] = nullptr;
    }
    f->sp = top - 6;
#if defined(CUDA_ON_CPU_TSAN)
    f->tsan = __tsan_create_fiber(0);
#endif
}

/* The lanes that meet fibre f of a warp: its mask, where all of them are there. */
unsigned met(const fibre *warp, size_t lanes, const fibre *f)
{
    unsigned mask = f->mask, here = 0;
    if (!(mask >> (f->number % 32) & 1)) {
        cpu_fail("a lane is not in its own mask");
    }
    for (size_t o = 0; o < lanes; o++) {
        const fibre *g = warp + o;
        if (!(mask >> o & 1)) {
            continue;
        }
        if (g->is == DONE) {
            cpu_fail("a warp's operation waits for a lane that has ended");
        }
        if (g->is == TOGETHER) {
            if (g->mask != mask || g->where != f->where) {
                cpu_fail("lanes of a warp meet at different operations or with different masks");
            }
            here |= 1u << o;
        }
    }
    if (lanes < 32 && mask >> lanes) {
        cpu_fail("a mask names lanes that the block has not");
    }
    return here == mask ? mask : 0;
}

bool release_warp(team *m, fibre *warp, size_t lanes)
{
    bool moved = false;
    for (size_t l = 0; l < lanes; l++) {
        unsigned mask = warp[l].is == TOGETHER ? met(warp, lanes, &warp[l]) : 0;
        if (!mask) {
            continue;
        }
        result *r = m->pool.empty() ? new result : m->pool.back();
        if (!m->pool.empty()) {
            m->pool.pop_back();
        }
        r->left = __builtin_popcount(mask);
        for (size_t o = 0; o < lanes; o++) {
            if (mask >> o & 1) {
                memcpy(r->place[o], warp[o].bring, 64);
                warp[o].got = r;
                warp[o].is = READY;
            }
        }
        moved = true;
    }
    return moved;
}

/* Releases whoever waits for nobody else any more. False: nothing moved. */
bool release(team *m)
{
    bool moved = false;
    unsigned at_barrier = 0;
    const void *where = nullptr;
    size_t n = m->fibres.size();
    for (size_t w = 0; w < n; w += 32) {
        moved |= release_warp(m, &m->fibres[w], std::min<size_t>(32, n - w));
    }
    for (const fibre &f : m->fibres) {
        if (f.is == AT_BARRIER) {
            at_barrier++;
            if (where && f.where != where) {
                cpu_fail("threads of a block wait at different __syncthreads");
            }
            where = f.where;
        }
    }
    if (at_barrier && at_barrier == m->live) {
        for (fibre &f : m->fibres) {
            f.is = f.is == AT_BARRIER ? READY : f.is;
        }
        moved = true;
    }
    return moved;
}

void sort_threads(team *m, char order)
{
    m->order.clear();
    for (fibre &f : m->fibres) {
        m->order.push_back(&f);
    }
    if (order == 'b') {
        std::reverse(m->order.begin(), m->order.end());
    }
}

void free_used(team *m)
{
    for (void *p : m->used) {
        free(p);
    }
    m->used.clear();
}

void run_block(team *m, char order)
{
    m->live = m->fibres.size();
    for (size_t t = 0; t < m->fibres.size(); t++) {
        start(&m->fibres[t], t);
    }
    sort_threads(m, order);
#if defined(CUDA_ON_CPU_TSAN)
    m->host_tsan = __tsan_get_current_fiber();
#endif
    while (m->live) {
        if (order == 's') {
            std::shuffle(m->order.begin(), m->order.end(), m->random);
        }
        for (fibre *f : m->order) {
            if (f->is == READY) {
                to_fibre(f);
                m->live -= f->is == DONE;
            }
        }
        if (m->live && !release(m)) {
            cpu_fail("a block's threads wait for one another for ever");
        }
    }
#if defined(CUDA_ON_CPU_TSAN)
    for (fibre &f : m->fibres) {
        __tsan_destroy_fiber(f.tsan);
    }
#endif
    for (void *&s : m->shared) {
        if (s) {
            m->used.push_back(s);
        }
        s = nullptr;
    }
#if !defined(CUDA_ON_CPU_TSAN)
    free_used(m);
#endif
}

/* Threads that never wait need no stacks of their own; a sanitizer of threads wants them all the same. */
void run_plain(const cpu_kernel *kernel, const void *argument, unsigned threads, char order)
{
    cpu_lane lane = {{0, 0, 0}};
    cpu_now = &lane;
    in_plain = true;
    for (unsigned t = 0; t < threads; t++) {
        unsigned turned = (t * 77u + cpu_block_index.x) % threads; /* all of them, where 77 does not divide threads */
        lane.thread.x = order == 'b' ? threads - 1 - t : order == 's' ? turned : t;
        kernel->run(argument);
    }
    in_plain = false;
    cpu_now = nullptr;
}

bool runs_plain(const cpu_kernel *kernel)
{
#if defined(CUDA_ON_CPU_TSAN)
    (void)kernel;
    return false;
#else
    return kernel->is_plain;
#endif
}

} // namespace

void cpu_fail(const char *what)
{
    fprintf(stderr, "cuda on a cpu: %s (block %u, thread %u)\n", what, cpu_block_index.x,
            cpu_now ? cpu_now->thread.x : 0);
    abort();
}

void cpu_syncthreads(const void *where)
{
    if (in_plain) {
        cpu_fail("a barrier in a kernel that was said to have none");
    }
    fibre *f = static_cast<fibre *>(cpu_now);
    f->where = where;
    f->is = AT_BARRIER;
#if defined(CUDA_ON_CPU_TSAN)
    __tsan_release(&mine->block_sync);
#endif
    to_host(f, false);
#if defined(CUDA_ON_CPU_TSAN)
    __tsan_acquire(&mine->block_sync);
#endif
}

const char *cpu_together(unsigned mask, const void *bytes, size_t size, const void *where)
{
    if (in_plain) {
        cpu_fail("a warp's operation in a kernel that was said to have none");
    }
    fibre *f = static_cast<fibre *>(cpu_now);
    if (f->got && --f->got->left == 0) {
        mine->pool.push_back(f->got);
    }
    f->got = nullptr;
    memcpy(f->bring, bytes, size);
    f->mask = mask;
    f->where = where;
    f->is = TOGETHER;
#if defined(CUDA_ON_CPU_TSAN)
    char *sync = &mine->fibres[f->number / 32 * 32].bring[63]; /* of this warp */
    __tsan_release(sync);
#endif
    to_host(f, false);
#if defined(CUDA_ON_CPU_TSAN)
    __tsan_acquire(sync);
#endif
    return f->got->place[0];
}

void *cpu_shared_memory(int site, size_t size)
{
    if (in_plain || site >= 64) {
        cpu_fail("shared memory in a kernel that was said to have none, or more than 64 shared arrays");
    }
    void *&memory = mine->shared[site];
    if (!memory) {
        if (posix_memalign(&memory, 64, size)) {
            abort();
        }
        memset(memory, 0xff, size);
#if defined(CUDA_ON_CPU_TSAN)
        __tsan_release(memory);
#endif
    }
#if defined(CUDA_ON_CPU_TSAN)
    __tsan_acquire(memory);
#endif
    return memory;
}

void cpu_launch(const cpu_kernel *kernel, const void *argument, cpu_launch_shape shape, char order)
{
    if (!mine) {
        mine = new team;
    }
    team *m = mine;
    m->run = kernel->run;
    m->argument = argument;
    m->pool.reserve(1024); /* never grows within a fibre */
    size_t n = shape.block.x, had = m->fibres.size();
    for (size_t t = n; t < had; t++) {
        if (m->fibres[t].stack) {
            munmap(m->fibres[t].stack, STACK);
        }
    }
    m->fibres.resize(n);
    cpu_block_dim = shape.block;
    cpu_grid_dim = shape.grid;
#if defined(CUDA_ON_CPU_TSAN)
    __tsan_release(&m->launch_sync); /* blocks of a launch are not ordered: each begins after this alone */
#endif
    for (unsigned b = 0; b < shape.grid.x; b++) {
        cpu_block_index = {order == 'b' ? shape.grid.x - 1 - b : b, 0, 0};
        if (runs_plain(kernel)) {
            run_plain(kernel, argument, n, order);
        } else {
            run_block(m, order);
        }
    }
#if defined(CUDA_ON_CPU_TSAN)
    __tsan_acquire(&m->end_sync);
    free_used(m);
#endif
}
