// SPDX-License-Identifier: GPL-2.0-only
/*
 * The floor under every scan: libclamav in this process, no box, no other process, by descriptor.
 *
 *   bare DEFINITIONS TMPDIR   loads, prints "ready SIGNATURES", then takes a path a line from standard input and
 *                             answers with "WALL_NS CPU_NS RC" a line
 *
 * Options and limits are those of mailward-scanner with the defaults of its policy.
 */
#include <clamav.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static struct cl_engine *engine;

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
			     CL_SCAN_HEURISTIC_ENCRYPTED_DOC,
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

int main(int argc, char **argv)
{
	char line[4096];
	unsigned signatures;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc != 3 || !(signatures = load(argv[1], argv[2]))) {
		fprintf(stderr, "usage: bare DEFINITIONS TMPDIR, with definitions that load\n");
		return 2;
	}
	printf("ready %u\n", signatures);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		uint64_t wall, cpu;
		int rc;

		line[strcspn(line, "\n")] = 0;
		wall = clock_ns(CLOCK_MONOTONIC);
		cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
		rc = scan(line);
		cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
		wall = clock_ns(CLOCK_MONOTONIC) - wall;
		printf("%llu %llu %d\n", (unsigned long long)wall, (unsigned long long)cpu, rc);
		fflush(stdout);
	}
	return 0;
}
