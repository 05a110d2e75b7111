#define _GNU_SOURCE
#include "prelu/threads.h"
#include <hwloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Cores, not hardware threads, of the CPUs this process is bound to. */
static int cores_allowed(void)
{
    hwloc_topology_t topo;
    int cores = 0;
    if (access("/sys/devices/system/cpu/cpu0/topology", R_OK) != 0) {
        /* hwloc would complain on stderr; a bare chroot has no /sys */
        cpu_set_t set;
        return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    }
    if (hwloc_topology_init(&topo) != 0)
        return 1;
    if (hwloc_topology_load(topo) == 0) {
        hwloc_bitmap_t set = hwloc_bitmap_alloc();
        if (set && hwloc_get_cpubind(topo, set, HWLOC_CPUBIND_PROCESS) == 0) {
            const int n = hwloc_get_nbobjs_by_type(topo, HWLOC_OBJ_CORE);
            for (int i = 0; i < n; i++) {
                hwloc_obj_t core = hwloc_get_obj_by_type(topo, HWLOC_OBJ_CORE, (unsigned)i);
                cores += hwloc_bitmap_intersects(core->cpuset, set) ? 1 : 0;
            }
            if (n <= 0) /* no core objects in this topology: count hardware threads */
                cores = hwloc_bitmap_weight(set);
        }
        hwloc_bitmap_free(set);
    }
    hwloc_topology_destroy(topo);
    return cores > 0 ? cores : 1;
}

static bool read_line(const char *path, char *line, size_t len)
{
    FILE *f = fopen(path, "re");
    bool ok;
    if (!f)
        return false;
    ok = fgets(line, (int)len, f) != NULL;
    fclose(f);
    return ok;
}

static long read_number(const char *dir, const char *file)
{
    char path[600], line[64];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    return read_line(path, line, sizeof line) ? strtol(line, NULL, 10) : -1;
}

/* Quota of one cgroup folder in CPUs, rounded up; 0 = none. */
static long quota_of(const char *dir)
{
    char path[600], line[64], *end;
    long quota, period;
    snprintf(path, sizeof path, "%s/cpu.max", dir); /* v2: "max 100000" or "150000 100000" */
    if (read_line(path, line, sizeof line)) {
        quota = strtol(line, &end, 10); /* 0 of "max" */
        period = strtol(end, NULL, 10);
    } else { /* v1 */
        quota = read_number(dir, "cpu.cfs_quota_us");
        period = read_number(dir, "cpu.cfs_period_us");
    }
    return quota > 0 && period > 0 ? (quota + period - 1) / period : 0;
}

/* The tightest quota from our cgroup up to the root; containers see their own as the root. */
static int quota_cpus(int cpus)
{
    char line[512], dir[560];
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (!f)
        return cpus;
    while (fgets(line, sizeof line, f)) { /* "0::/a/b" (v2) or "4:cpu,cpuacct:/a/b" (v1) */
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        controllers++;
        path[strcspn(path, "\n")] = '\0';
        if (*controllers && !strstr(controllers, "cpu"))
            continue;
        snprintf(dir, sizeof dir, "/sys/fs/cgroup%s%s", *controllers ? "/cpu" : "", path);
        for (;;) {
            const long q = quota_of(dir);
            char *slash = strrchr(dir, '/');
            if (q > 0 && q < cpus)
                cpus = (int)q;
            if (!slash || strcmp(dir, "/sys/fs/cgroup") == 0 || slash == dir)
                break;
            *slash = '\0';
        }
    }
    fclose(f);
    return cpus;
}

int prelu_cpu_count(void) { return quota_cpus(cores_allowed()); }
