/* Preloaded into a run: the n-th call of one kind on a path below a folder fails, or does only half of its work.

   fault_arm(folder, kinds, nth, error, sticky)  kinds: "write fsync", or "*"; error: an errno, 0 for a short read or write, -1 to only
                                                 count; sticky: all from the n-th on
   fault_calls()                                 how many calls there were since
   fault_hit()                                   the kind and path of the first call that failed, or ""

   State lies in shared memory, so the count goes through all processes that are forked afterwards. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static struct {
    char folder[PATH_MAX], kinds[256], hit[PATH_MAX + 32];
    int nth, error, sticky;
    atomic_int calls;
} *state;

__attribute__((constructor)) static void begin(void) {
    state = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

void fault_arm(const char *folder, const char *kinds, int nth, int error, int sticky) {
    snprintf(state->folder, sizeof state->folder, "%s", folder);
    snprintf(state->kinds, sizeof state->kinds, " %s ", kinds);
    state->nth = nth, state->error = error, state->sticky = sticky, state->hit[0] = 0;
    atomic_store(&state->calls, 0);
}

int fault_calls(void) { return atomic_load(&state->calls); }

const char *fault_hit(void) { return state->hit; }

/* Whether this call is the one; `path` relative to the open folder `at`, or NULL for the open file `at` itself. */
static int strikes(const char *kind, int at, const char *path) {
    char full[2 * PATH_MAX] = "", link[64], wanted[64];
    if (!state->folder[0])
        return 0;
    snprintf(wanted, sizeof wanted, " %s ", kind);
    if (strcmp(state->kinds, " * ") && !strstr(state->kinds, wanted))
        return 0;
    if (path == NULL || path[0] != '/') {
        int saved = errno;
        snprintf(link, sizeof link, at == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", at);
        ssize_t length = readlink(link, full, PATH_MAX - 1);
        errno = saved;
        if (length < 0)
            return 0;
        full[length] = 0;
        if (path)
            full[length] = '/', snprintf(full + length + 1, PATH_MAX, "%s", path);
    } else
        snprintf(full, sizeof full, "%s", path);
    if (strncmp(full, state->folder, strlen(state->folder)))
        return 0;
    int call = atomic_fetch_add(&state->calls, 1) + 1;
    if (state->error < 0 || !(call == state->nth || (state->sticky && call > state->nth)))
        return 0;
    if (call == state->nth)
        snprintf(state->hit, sizeof state->hit, "%s %.4000s", kind, full);
    return 1;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define REPLACE(kind, type, failed, name, at, path, parameters, arguments) \
    type name parameters {                                                 \
        if (state->error && strikes(kind, at, path)) {                     \
            errno = state->error;                                          \
            return failed;                                                 \
        }                                                                  \
        return NEXT(name) arguments;                                       \
    }

#define OPEN(name, at, parameters, arguments)                   \
    int name parameters {                                       \
        va_list list;                                           \
        va_start(list, flags);                                  \
        mode_t mode = va_arg(list, mode_t);                     \
        va_end(list);                                           \
        if (state->error && strikes("open", at, path)) {        \
            errno = state->error;                               \
            return -1;                                          \
        }                                                       \
        return NEXT(name) arguments;                            \
    }

/* A transfer of `size` bytes: with error 0 the half of it. */
#define TRANSFER(kind, name, parameters, half, arguments)        \
    ssize_t name parameters {                                    \
        if (strikes(kind, fd, NULL)) {                           \
            if (state->error == 0 && size > 1) {                 \
                size /= 2;                                       \
                return half;                                     \
            }                                                    \
            if (state->error) {                                  \
                errno = state->error;                            \
                return -1;                                       \
            }                                                    \
        }                                                        \
        return NEXT(name) arguments;                             \
    }

OPEN(open, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
OPEN(open64, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat, at, (int at, const char *path, int flags, ...), (at, path, flags, mode))
OPEN(openat64, at, (int at, const char *path, int flags, ...), (at, path, flags, mode))
TRANSFER("read", read, (int fd, void *data, size_t size), NEXT(read)(fd, data, size), (fd, data, size))
TRANSFER("read", pread64, (int fd, void *data, size_t size, off64_t from), NEXT(pread64)(fd, data, size, from), (fd, data, size, from))
TRANSFER("write", write, (int fd, const void *data, size_t size), NEXT(write)(fd, data, size), (fd, data, size))
TRANSFER("write", pwrite64, (int fd, const void *data, size_t size, off64_t to), NEXT(pwrite64)(fd, data, size, to), (fd, data, size, to))
REPLACE("fsync", int, -1, fsync, fd, NULL, (int fd), (fd))
REPLACE("fsync", int, -1, syncfs, fd, NULL, (int fd), (fd))
REPLACE("truncate", int, -1, ftruncate64, fd, NULL, (int fd, off64_t size), (fd, size))
REPLACE("opendir", DIR *, NULL, opendir, AT_FDCWD, path, (const char *path), (path))
REPLACE("opendir", DIR *, NULL, fdopendir, fd, NULL, (int fd), (fd))
REPLACE("mkdir", int, -1, mkdir, AT_FDCWD, path, (const char *path, mode_t mode), (path, mode))
REPLACE("mkdir", int, -1, mkdirat, at, path, (int at, const char *path, mode_t mode), (at, path, mode))
REPLACE("rmdir", int, -1, rmdir, AT_FDCWD, path, (const char *path), (path))
REPLACE("unlink", int, -1, unlink, AT_FDCWD, path, (const char *path), (path))
REPLACE("unlink", int, -1, unlinkat, at, path, (int at, const char *path, int flags), (at, path, flags))
REPLACE("rename", int, -1, rename, AT_FDCWD, path, (const char *path, const char *to), (path, to))
REPLACE("rename", int, -1, renameat, at, path, (int at, const char *path, int there, const char *to), (at, path, there, to))
REPLACE("rename", int, -1, renameat2, at, path, (int at, const char *path, int there, const char *to, unsigned flags), (at, path, there, to, flags))

/* A vectored read: with error 0 the half of its first buffer. */
ssize_t preadv64(int fd, const struct iovec *vector, int count, off64_t from) {
    if (strikes("read", fd, NULL)) {
        if (state->error) {
            errno = state->error;
            return -1;
        }
        struct iovec half = {vector->iov_base, (vector->iov_len + 1) / 2};
        return NEXT(preadv64)(fd, &half, 1, from);
    }
    return NEXT(preadv64)(fd, vector, count, from);
}
