// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a worker does with a message, in this process: the engine with its callbacks, the content rule, what Dovecot
 * compressed. No box, no other process; beside tests/bench/bare.c it shows what our own levels cost.
 *
 *   levels DEFINITIONS TMPDIR [types]   as `bare`: "ready SIGNATURES", a path a line in, "WALL_NS CPU_NS RC" a line
 *                                       out; RC is enum verdict_kind less that of clean. types: the content rule, all
 *                                       types of attachments. TMPDIR: the root while it scans
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "content.h"
#include "engine.h"
#include "verdict.h"

static struct scanner_settings settings = {
	.max_file_size = 100u << 20,
	.max_scan_size = 200u << 20,
	.max_files = 10000,
	.max_depth = 17,
	.scan_time_ms = 30000,
	.workers = 1,
};
static struct engine *engine;

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* -1: it does not load, or the root could not be changed. */
static int load(const char *definitions, const char *tmpdir, struct engine_report *report)
{
	int folder = open(definitions, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int own = open(tmpdir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (folder < 0 || own < 0 || engine_start() < 0)
		return -1;
	engine = engine_load(&settings, folder, own, NULL, NULL, report);
	if (!engine || fchdir(own) < 0 || chroot(".") < 0)
		return -1;
	engine_settle(engine);
	return 0;
}

static int scan(int root, const char *path)
{
	struct scan_reply reply = {0};
	int fd = openat(root, path + 1, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	content_scan(engine, &settings, fd, &reply);
	close(fd);
	return (int)reply.verdict.kind - (int)VERDICT_CLEAN;
}

int main(int argc, char **argv)
{
	int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct engine_report report = {0};
	char line[4096];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc == 4 && !strcmp(argv[3], "types"))
		settings.deny_types = (1u << DENY_TYPES) - 1;
	if (argc < 3 || root < 0 || load(argv[1], argv[2], &report) < 0) {
		fprintf(stderr, "levels: %s\n", report.text[0] ? report.text : "DEFINITIONS TMPDIR [types]; as root");
		return 2;
	}
	printf("ready %llu\n", (unsigned long long)report.signatures);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		uint64_t wall = clock_ns(CLOCK_MONOTONIC), cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
		int rc;

		line[strcspn(line, "\n")] = 0;
		rc = scan(root, line);
		cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
		wall = clock_ns(CLOCK_MONOTONIC) - wall;
		printf("%llu %llu %d\n", (unsigned long long)wall, (unsigned long long)cpu, rc);
		fflush(stdout);
	}
	return 0;
}
