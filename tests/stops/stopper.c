/* Counts a program's system calls that outlive it, stops it at one of them, and records them.
 *
 * Preloaded (LD_PRELOAD) into a real process. Every call that changes what others can see, and that
 * the C library offers as a function, comes by here and is then made through syscall(2). Calls are
 * looked at if they concern a file below the watched folder, an IP socket, or /dev/fuse.
 *
 *   write    write, pwrite, writev, pwritev       of a regular file
 *   sync     fsync, fdatasync                     of a file or a folder
 *   name     creating, rename, link, unlink, mkdir, rmdir, symlink
 *   size     ftruncate, truncate, O_TRUNC, fallocate
 *   send     write, writev, send, sendto, sendmsg to an IP socket
 *   reply    write, writev                        to /dev/fuse
 *
 * Not seen: what is written through a memory map (LMDB is used without writemap; SQLite's -shm and
 * LMDB's lock file need nothing durable), sendfile and copy_file_range, and calls that a library
 * makes without the C library. That nothing escapes is tested: a recording, played back, must give
 * the very folder.
 *
 *   STOPS_FOLDER    absolute, resolved: what is watched
 *   STOPS_COUNTERS  file of struct counters, mapped; calls so far, and where the stop was
 *   STOPS_KIND      number of the kind in the order above    } SIGKILL at call STOPS_AT of that
 *   STOPS_AT        from 1; 0 or absent: never               } kind; each made before the call,
 *   STOPS_HOW       b before, h after half of it, a after    } after half of the bytes, or after
 *   STOPS_RECORD    file that each call of the first four kinds is appended to, once it is done
 *   STOPS_PARTY     number that its records carry
 *   STOPS_BOOT_ID   file that is opened instead of the kernel's boot id
 *
 * A record (little-endian): size of all (4), what (1), party (1), bytes of path (2), bytes of the
 * other path (2), flags (2), offset or length (8), token (8), path, other path, data. A sync has two,
 * when it begins and when it has ended, of one token. Records are whole and in an order that agrees
 * with every "happened before" between threads and processes: the call is over when its record is
 * appended, and what it causes comes later. 64-bit Linux.
 */
#define _GNU_SOURCE
/* The plain and the 64-bit names are functions of their own here. */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { WRITE, SYNC, NAME, SIZE, SEND, REPLY, KINDS, UNWATCHED };

struct counters {
    uint64_t calls[KINDS];
    uint64_t is_stopped;
    char where[456];
};

static const char boot_id_path[] = "/proc/sys/kernel/random/boot_id";

static int is_active, record_fd = -1, party, stop_kind = -1, stop_how = 'b';
static long watched_pid;
static uint64_t stop_at, next_token;
static const char *folder, *boot_id_instead;
static size_t folder_bytes;
static struct counters *counters;

static int raw_open(const char *path, int flags, int mode) {
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, mode);
}

__attribute__((constructor)) static void begin(void) {
    const char *text;
    /* A child is a program of its own. */
    unsetenv("LD_PRELOAD");
    boot_id_instead = getenv("STOPS_BOOT_ID");
    folder = getenv("STOPS_FOLDER");
    if (!folder) return;
    folder_bytes = strlen(folder);
    if ((text = getenv("STOPS_COUNTERS"))) {
        int fd = raw_open(text, O_RDWR, 0);
        void *map = mmap(NULL, sizeof *counters, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map != MAP_FAILED) counters = map;
    }
    if ((text = getenv("STOPS_KIND"))) stop_kind = atoi(text);
    if ((text = getenv("STOPS_AT"))) stop_at = strtoull(text, NULL, 10);
    if ((text = getenv("STOPS_HOW"))) stop_how = text[0];
    if ((text = getenv("STOPS_PARTY"))) party = atoi(text);
    if ((text = getenv("STOPS_RECORD"))) record_fd = raw_open(text, O_WRONLY | O_APPEND, 0);
    watched_pid = syscall(SYS_getpid);
    is_active = 1;
}

static int is_watching(void) { return is_active && syscall(SYS_getpid) == watched_pid; }

/* What a call is about ---------------------------------------------------------------------- */

static int is_below(const char *path) {
    return !strncmp(path, folder, folder_bytes) && (path[folder_bytes] == '/' || !path[folder_bytes]);
}

/* The path of a descriptor into `path` (PATH_MAX); 0 if it has none any more. */
static int path_of_fd(int fd, char *path) {
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = 0;
    static const char gone[] = " (deleted)";
    size_t tail = sizeof gone - 1;
    return length > 0 && !(length > (long)tail && !strcmp(path + length - tail, gone));
}

/* The path that (dirfd, name) means into `path`; 0 if it is not watched. */
static int path_of_name(int dirfd, const char *name, char *path) {
    if (!name || !is_watching()) return 0;
    if (name[0] == '/') {
        if (strlen(name) >= PATH_MAX) return 0;
        strcpy(path, name);
    } else {
        if (dirfd == AT_FDCWD ? syscall(SYS_getcwd, path, PATH_MAX) < 0 : !path_of_fd(dirfd, path))
            return 0;
        if (strlen(path) + strlen(name) + 2 > PATH_MAX) return 0;
        strcat(strcat(path, "/"), name);
    }
    return is_below(path);
}

static int is_network(int fd) {
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    return !getsockname(fd, (struct sockaddr *)&address, &size) &&
           (address.ss_family == AF_INET || address.ss_family == AF_INET6);
}

/* What a write to `fd` is. `path` is filled for a WRITE, else a word for people. */
static enum kind kind_of_fd(int fd, char *path) {
    struct stat is;
    int saved = errno;
    enum kind kind = UNWATCHED;
    if (is_watching() && fd != record_fd && !fstat(fd, &is)) {
        if (S_ISREG(is.st_mode)) {
            if (path_of_fd(fd, path) && is_below(path)) kind = WRITE;
        } else if (S_ISSOCK(is.st_mode)) {
            if (is_network(fd)) strcpy(path, "socket"), kind = SEND;
        } else if (S_ISCHR(is.st_mode) && is.st_rdev == makedev(10, 229)) {
            strcpy(path, "/dev/fuse"), kind = REPLY;
        }
    }
    errno = saved;
    return kind;
}

/* Counting and stopping ---------------------------------------------------------------------- */

static void stop(void) {
    if (counters) counters->is_stopped = 1;
    syscall(SYS_kill, watched_pid, SIGKILL);
    for (;;) pause();
}

/* Count a call. Returns 0, or how the process stops at it: 'h' or 'a'; 'b' does not return. */
static int count(enum kind kind, const char *what, const char *path) {
    if (!counters) return 0;
    uint64_t number = __atomic_add_fetch(&counters->calls[kind], 1, __ATOMIC_RELAXED);
    if ((int)kind != stop_kind || number != stop_at) return 0;
    snprintf(counters->where, sizeof counters->where, "%s %s", what, path);
    int how = stop_how == 'h' && kind != WRITE && kind != SEND ? 'b' : stop_how;
    if (how == 'b') stop();
    return how;
}

static void after(int how) {
    if (how == 'a') stop();
}

/* Recording ---------------------------------------------------------------------------------- */

struct __attribute__((packed)) header {
    uint32_t size;
    uint8_t what, party;
    uint16_t path_bytes, other_bytes, flags;
    uint64_t offset, token;
};

static void record(char what, const char *path, const char *other, uint64_t offset, uint64_t token,
                   int flags, const void *data, size_t data_bytes) {
    if (record_fd < 0) return;
    int saved = errno;
    struct header head = {
        .what = what, .party = party, .path_bytes = strlen(path), .other_bytes = strlen(other),
        .flags = flags, .offset = offset, .token = token,
    };
    head.size = sizeof head + head.path_bytes + head.other_bytes + data_bytes;
    struct iovec parts[] = {
        {&head, sizeof head}, {(void *)path, head.path_bytes}, {(void *)other, head.other_bytes},
        {(void *)data, data_bytes},
    };
    if (syscall(SYS_writev, record_fd, parts, 4) != (long)head.size) abort();
    errno = saved;
}

/* Writes ------------------------------------------------------------------------------------- */

static size_t total_of(const struct iovec *parts, int part_count) {
    size_t total = 0;
    for (int i = 0; i < part_count; i++) total += parts[i].iov_len;
    return total;
}

static char *gathered(const struct iovec *parts, int part_count) {
    char *all = malloc(total_of(parts, part_count) + 1), *at = all;
    for (int i = 0; i < part_count; at += parts[i++].iov_len)
        memcpy(at, parts[i].iov_base, parts[i].iov_len);
    return all;
}

/* Any write: `offset` -1 is where the descriptor stands. */
static ssize_t write_parts(int fd, const struct iovec *parts, int part_count, off_t offset) {
    char path[PATH_MAX];
    enum kind kind = kind_of_fd(fd, path);
    int how = kind == UNWATCHED ? 0 : count(kind, "write", path);
    if (how == 'h') {
        char *all = gathered(parts, part_count);
        size_t half = total_of(parts, part_count) / 2;
        if (offset < 0) syscall(SYS_write, fd, all, half);
        else syscall(SYS_pwrite64, fd, all, half, offset);
        stop();
    }
    ssize_t done = offset < 0 ? syscall(SYS_writev, fd, parts, part_count)
                              : syscall(SYS_pwritev, fd, parts, part_count, offset, 0);
    if (kind == WRITE && done > 0 && record_fd >= 0) {
        int saved = errno;
        if (offset < 0) offset = syscall(SYS_lseek, fd, 0, SEEK_CUR) - done;
        int is_durable = (syscall(SYS_fcntl, fd, F_GETFL) & O_DSYNC) != 0;
        char *all = gathered(parts, part_count);
        record('W', path, "", offset, 0, is_durable, all, done);
        free(all);
        errno = saved;
    }
    after(how);
    return done;
}

ssize_t write(int fd, const void *data, size_t size) {
    struct iovec part = {(void *)data, size};
    return write_parts(fd, &part, 1, -1);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    struct iovec part = {(void *)data, size};
    return write_parts(fd, &part, 1, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset) {
    return pwrite(fd, data, size, offset);
}
ssize_t writev(int fd, const struct iovec *parts, int part_count) {
    return write_parts(fd, parts, part_count, -1);
}
ssize_t pwritev(int fd, const struct iovec *parts, int part_count, off_t offset) {
    return write_parts(fd, parts, part_count, offset);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int part_count, off_t offset) {
    return write_parts(fd, parts, part_count, offset);
}

/* Sends -------------------------------------------------------------------------------------- */

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    char path[PATH_MAX];
    int how = kind_of_fd(fd, path) == SEND ? count(SEND, "send", path) : 0;
    if (how == 'h') {
        char *all = gathered(message->msg_iov, message->msg_iovlen);
        size_t half = total_of(message->msg_iov, message->msg_iovlen) / 2;
        syscall(SYS_sendto, fd, all, half, flags, NULL, 0);
        stop();
    }
    ssize_t done = syscall(SYS_sendmsg, fd, message, flags);
    after(how);
    return done;
}
ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to,
               socklen_t to_bytes) {
    struct iovec part = {(void *)data, size};
    struct msghdr message = {
        .msg_name = (void *)to, .msg_namelen = to_bytes, .msg_iov = &part, .msg_iovlen = 1,
    };
    return sendmsg(fd, &message, flags);
}
ssize_t send(int fd, const void *data, size_t size, int flags) {
    return sendto(fd, data, size, flags, NULL, 0);
}

/* Syncs -------------------------------------------------------------------------------------- */

static int sync_fd(int fd, long number, const char *what) {
    char path[PATH_MAX];
    if (!is_watching() || !path_of_fd(fd, path) || !is_below(path))
        return (int)syscall(number, fd);
    int how = count(SYNC, what, path);
    uint64_t token = __atomic_add_fetch(&next_token, 1, __ATOMIC_RELAXED);
    record('B', path, "", 0, token, 0, NULL, 0);
    int answer = (int)syscall(number, fd);
    if (!answer) record('E', path, "", 0, token, 0, NULL, 0);
    after(how);
    return answer;
}
int fsync(int fd) { return sync_fd(fd, SYS_fsync, "fsync"); }
int fdatasync(int fd) { return sync_fd(fd, SYS_fdatasync, "fdatasync"); }

/* Sizes -------------------------------------------------------------------------------------- */

int ftruncate(int fd, off_t size) {
    char path[PATH_MAX];
    int is_seen = kind_of_fd(fd, path) == WRITE;
    int how = is_seen ? count(SIZE, "ftruncate", path) : 0;
    int answer = (int)syscall(SYS_ftruncate, fd, size);
    if (is_seen && !answer) record('T', path, "", size, 0, 0, NULL, 0);
    after(how);
    return answer;
}
int ftruncate64(int fd, off_t size) { return ftruncate(fd, size); }

int truncate(const char *name, off_t size) {
    char path[PATH_MAX];
    int is_seen = path_of_name(AT_FDCWD, name, path);
    int how = is_seen ? count(SIZE, "truncate", path) : 0;
    int answer = (int)syscall(SYS_truncate, name, size);
    if (is_seen && !answer) record('T', path, "", size, 0, 0, NULL, 0);
    after(how);
    return answer;
}
int truncate64(const char *name, off_t size) { return truncate(name, size); }

static int allocate(int fd, int mode, off_t offset, off_t size) {
    char path[PATH_MAX];
    int is_seen = kind_of_fd(fd, path) == WRITE;
    int how = is_seen ? count(SIZE, "fallocate", path) : 0;
    int answer = (int)syscall(SYS_fallocate, fd, mode, offset, size);
    struct stat is;
    if (is_seen && !answer && !fstat(fd, &is)) record('T', path, "", is.st_size, 0, 0, NULL, 0);
    after(how);
    return answer;
}
int fallocate(int fd, int mode, off_t offset, off_t size) { return allocate(fd, mode, offset, size); }
int fallocate64(int fd, int mode, off_t offset, off_t size) {
    return allocate(fd, mode, offset, size);
}
int posix_fallocate(int fd, off_t offset, off_t size) {
    return allocate(fd, 0, offset, size) ? errno : 0;
}
int posix_fallocate64(int fd, off_t offset, off_t size) { return posix_fallocate(fd, offset, size); }

/* Names -------------------------------------------------------------------------------------- */

static int open_file(int dirfd, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    if (boot_id_instead && name && !strcmp(name, boot_id_path)) name = boot_id_instead;
    int is_plain = !(flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE;
    if (is_plain || !path_of_name(dirfd, name, path))
        return (int)syscall(SYS_openat, dirfd, name, flags, mode);
    struct stat is;
    int saved = errno, is_there = !stat(path, &is), how = 0;
    errno = saved;
    if (!is_there && flags & O_CREAT) how = count(NAME, "create", path);
    else if (is_there && flags & O_TRUNC) how = count(SIZE, "O_TRUNC", path);
    int fd = (int)syscall(SYS_openat, dirfd, name, flags, mode);
    if (fd >= 0) {
        if (!is_there) record('C', path, "", 0, 0, 0, NULL, 0);
        else if (flags & O_TRUNC) record('T', path, "", 0, 0, 0, NULL, 0);
    }
    after(how);
    return fd;
}

#define OPEN_MODE(flags, mode) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }
int open(const char *name, int flags, ...) {
    OPEN_MODE(flags, mode)
    return open_file(AT_FDCWD, name, flags, mode);
}
int open64(const char *name, int flags, ...) {
    OPEN_MODE(flags, mode)
    return open_file(AT_FDCWD, name, flags, mode);
}
int openat(int dirfd, const char *name, int flags, ...) {
    OPEN_MODE(flags, mode)
    return open_file(dirfd, name, flags, mode);
}
int openat64(int dirfd, const char *name, int flags, ...) {
    OPEN_MODE(flags, mode)
    return open_file(dirfd, name, flags, mode);
}
int creat(const char *name, mode_t mode) {
    return open_file(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode);
}
int __open_2(const char *name, int flags) { return open_file(AT_FDCWD, name, flags, 0); }
int __open64_2(const char *name, int flags) { return open_file(AT_FDCWD, name, flags, 0); }

int renameat2(int old_dirfd, const char *old, int new_dirfd, const char *new, unsigned flags) {
    char path[PATH_MAX], other[PATH_MAX];
    int is_seen = path_of_name(old_dirfd, old, path) & path_of_name(new_dirfd, new, other);
    int how = is_seen ? count(NAME, "rename", path) : 0;
    int answer = (int)syscall(SYS_renameat2, old_dirfd, old, new_dirfd, new, flags);
    if (is_seen && !answer) record('R', path, other, 0, 0, flags, NULL, 0);
    after(how);
    return answer;
}
int renameat(int old_dirfd, const char *old, int new_dirfd, const char *new) {
    return renameat2(old_dirfd, old, new_dirfd, new, 0);
}
int rename(const char *old, const char *new) { return renameat2(AT_FDCWD, old, AT_FDCWD, new, 0); }

int linkat(int old_dirfd, const char *old, int new_dirfd, const char *new, int flags) {
    char path[PATH_MAX], other[PATH_MAX];
    int is_seen = path_of_name(old_dirfd, old, path) & path_of_name(new_dirfd, new, other);
    int how = is_seen ? count(NAME, "link", other) : 0;
    int answer = (int)syscall(SYS_linkat, old_dirfd, old, new_dirfd, new, flags);
    if (is_seen && !answer) record('L', path, other, 0, 0, 0, NULL, 0);
    after(how);
    return answer;
}
int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }

int unlinkat(int dirfd, const char *name, int flags) {
    char path[PATH_MAX];
    int is_seen = path_of_name(dirfd, name, path);
    int how = is_seen ? count(NAME, flags & AT_REMOVEDIR ? "rmdir" : "unlink", path) : 0;
    int answer = (int)syscall(SYS_unlinkat, dirfd, name, flags);
    if (is_seen && !answer) record('U', path, "", 0, 0, 0, NULL, 0);
    after(how);
    return answer;
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }
int remove(const char *name) {
    int answer = unlink(name);
    return answer && errno == EISDIR ? rmdir(name) : answer;
}

int mkdirat(int dirfd, const char *name, mode_t mode) {
    char path[PATH_MAX];
    int is_seen = path_of_name(dirfd, name, path);
    int how = is_seen ? count(NAME, "mkdir", path) : 0;
    int answer = (int)syscall(SYS_mkdirat, dirfd, name, mode);
    if (is_seen && !answer) record('D', path, "", 0, 0, 0, NULL, 0);
    after(how);
    return answer;
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

int symlinkat(const char *target, int dirfd, const char *name) {
    char path[PATH_MAX];
    int is_seen = path_of_name(dirfd, name, path);
    int how = is_seen ? count(NAME, "symlink", path) : 0;
    int answer = (int)syscall(SYS_symlinkat, target, dirfd, name);
    if (is_seen && !answer) record('S', path, target, 0, 0, 0, NULL, 0);
    after(how);
    return answer;
}
int symlink(const char *target, const char *name) { return symlinkat(target, AT_FDCWD, name); }
