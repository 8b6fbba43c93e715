/* Loaded into a process before the C library (LD_PRELOAD): lets its clock jump and its disk be slow, as a file says.

   What passes between sleeping and waking is left alone (CLOCK_MONOTONIC), as it is when somebody sets a machine's clock. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

/* The file, in this order of bytes: both are numbers of nanoseconds. */
struct trouble {
    int64_t clock;
    int64_t sync;
};

static volatile struct trouble none;
static volatile struct trouble *trouble = &none;

__attribute__((constructor)) static void look(void) {
    const char *path = getenv("MCONN_TROUBLE");
    int file = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (file < 0)
        return;
    /* Whoever comes first makes it. */
    if (lseek(file, 0, SEEK_END) < (off_t)sizeof(struct trouble) && ftruncate(file, sizeof(struct trouble)))
        return;
    void *map = mmap(NULL, sizeof(struct trouble), PROT_READ, MAP_SHARED, file, 0);
    if (map != MAP_FAILED)
        trouble = map;
    close(file);
}

static void shift(struct timespec *time) {
    int64_t all = time->tv_sec * SECOND + time->tv_nsec + trouble->clock;
    time->tv_sec = all / SECOND;
    time->tv_nsec = all % SECOND;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int failed = syscall(SYS_clock_gettime, clock, time);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        shift(time);
    return failed;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    (void)zone;
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now))
        return -1;
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result)
        *result = now.tv_sec;
    return now.tv_sec;
}

static void wait_for_disk(void) {
    int64_t sync = trouble->sync;
    struct timespec rest = {sync / SECOND, sync % SECOND};
    while (sync > 0 && nanosleep(&rest, &rest))
        ;
}

int fsync(int file) {
    wait_for_disk();
    return syscall(SYS_fsync, file);
}

int fdatasync(int file) {
    wait_for_disk();
    return syscall(SYS_fdatasync, file);
}
