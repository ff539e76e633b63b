// SPDX-License-Identifier: GPL-2.0-only
/*
 * The floor under every scan: libclamav in this process, no box, no other process, by descriptor.
 *
 *   bare DEFINITIONS TMPDIR [heuristics]   loads, prints "ready SIGNATURES", then takes a path a line from standard
 *                                          input and answers with "WALL_NS CPU_NS RC" a line
 *   bare DEFINITIONS TMPDIR N              the same for lists: paths up to an empty line, scanned by N processes that
 *                                          share the loaded engine, one answer for all of them together
 *
 * Options and limits are those of mailward-scanner with the defaults of its policy, less its heuristics: macros,
 * broken executables, phishing.
 */
#include <clamav.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATHS_MAX 20000

static struct cl_engine *engine;
static unsigned heuristics;
static char *paths[PATHS_MAX];
static size_t path_count;

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static unsigned load(const char *definitions, const char *tmpdir)
{
	unsigned signatures = 0;

	if (cl_init(CL_INIT_DEFAULT) != CL_SUCCESS || !(engine = cl_engine_new()))
		return 0;
	cl_engine_set_num(engine, CL_ENGINE_DISABLE_CACHE, 1);
	cl_engine_set_num(engine, CL_ENGINE_MAX_FILESIZE, 100u << 20);
	cl_engine_set_num(engine, CL_ENGINE_MAX_SCANSIZE, 200u << 20);
	cl_engine_set_num(engine, CL_ENGINE_MAX_SCANTIME, 30000);
	cl_engine_set_str(engine, CL_ENGINE_TMPDIR, tmpdir);
	if (cl_load(definitions, engine, &signatures, CL_DB_STDOPT) != CL_SUCCESS)
		return 0;
	if (cl_engine_compile(engine) != CL_SUCCESS)
		return 0;
	return signatures;
}

static int scan(const char *path)
{
	struct cl_scan_options options = {
		.general = CL_SCAN_GENERAL_HEURISTICS | CL_SCAN_GENERAL_ALLMATCHES,
		.parse = ~0u,
		.heuristic = CL_SCAN_HEURISTIC_EXCEEDS_MAX | CL_SCAN_HEURISTIC_ENCRYPTED_ARCHIVE |
			     CL_SCAN_HEURISTIC_ENCRYPTED_DOC | heuristics,
	};
	const char *name = NULL;
	unsigned long scanned = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

	if (fd < 0)
		return -1;
	rc = cl_scandesc_callback(fd, NULL, &name, &scanned, engine, &options, NULL);
	close(fd);
	return rc;
}

static void answer(uint64_t wall, uint64_t cpu, int rc)
{
	printf("%llu %llu %d\n", (unsigned long long)wall, (unsigned long long)cpu, rc);
	fflush(stdout);
}

static void scan_one(const char *path)
{
	uint64_t wall = clock_ns(CLOCK_MONOTONIC), cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	int rc = scan(path);

	cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	answer(clock_ns(CLOCK_MONOTONIC) - wall, cpu, rc);
}

/* Of a process that shares the engine; its temporary files are its own, as their names may be another's, too. */
static int scan_share(const char *tmpdir, size_t *next)
{
	char own[4096];
	size_t mine;
	int rc = 0;

	snprintf(own, sizeof(own), "%s/%d", tmpdir, (int)getpid());
	if (mkdir(own, 0700) < 0)
		return 1;
	cl_engine_set_str(engine, CL_ENGINE_TMPDIR, own);
	while (rc == 0 && (mine = __atomic_fetch_add(next, 1, __ATOMIC_RELAXED)) < path_count)
		rc = scan(paths[mine]);
	rmdir(own);
	return rc != 0;
}

static uint64_t children_ns(void)
{
	struct rusage use;

	getrusage(RUSAGE_CHILDREN, &use);
	return (uint64_t)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000000u +
	       (uint64_t)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1000u;
}

static void scan_listed(int processes, const char *tmpdir)
{
	size_t *next = mmap(NULL, sizeof(*next), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t wall = clock_ns(CLOCK_MONOTONIC), cpu = children_ns();
	int rc = 0, status;

	for (int i = 0; i < processes; i++)
		if (fork() == 0)
			_exit(scan_share(tmpdir, next));
	while (wait(&status) > 0)
		rc |= status;
	answer(clock_ns(CLOCK_MONOTONIC) - wall, children_ns() - cpu, rc);
	munmap(next, sizeof(*next));
	while (path_count > 0)
		free(paths[--path_count]);
}

int main(int argc, char **argv)
{
	int processes = argc == 4 ? atoi(argv[3]) : 0;
	char line[4096];
	unsigned signatures;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc == 4 && !strcmp(argv[3], "heuristics"))
		heuristics = CL_SCAN_HEURISTIC_PHISHING_SSL_MISMATCH | CL_SCAN_HEURISTIC_PHISHING_CLOAK |
			     CL_SCAN_HEURISTIC_MACROS | CL_SCAN_HEURISTIC_BROKEN;
	if (argc < 3 || argc > 4 || (argc == 4 && !heuristics && processes < 1) ||
	    !(signatures = load(argv[1], argv[2]))) {
		fprintf(stderr, "usage: bare DEFINITIONS TMPDIR [heuristics | N], with definitions that load\n");
		return 2;
	}
	printf("ready %u\n", signatures);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		if (processes == 0)
			scan_one(line);
		else if (line[0] == 0)
			scan_listed(processes, argv[2]);
		else if (path_count < PATHS_MAX)
			paths[path_count++] = strdup(line);
	}
	return 0;
}
