// SPDX-License-Identifier: GPL-2.0-only
#include "room.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEGA (1ull << 20)
#define SPARE (32 * MEGA)
#define MEASURABLE MEGA
#define FACTOR_UNKNOWN 8
#define FACTOR_LEAST 1
#define FACTOR_MOST 16

uint64_t room_needed(uint64_t bytes, uint64_t files, uint64_t engine)
{
	double factor = FACTOR_UNKNOWN, needed;

	if (files >= MEASURABLE && engine) {
		factor = (double)engine / (double)files;
		factor = factor < FACTOR_LEAST ? FACTOR_LEAST : factor > FACTOR_MOST ? FACTOR_MOST : factor;
	}
	needed = (double)bytes * factor * 1.125 + (double)SPARE;
	return needed < 1e18 ? (uint64_t)needed : (uint64_t)1e18;
}

/* A small file whole; "" where it cannot be read. */
static void slurp(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t got;

	while (fd >= 0 && used < size - 1 && (got = read(fd, out + used, size - 1 - used)) > 0)
		used += (size_t)got;
	if (fd >= 0)
		close(fd);
	out[used] = 0;
}

/* The number after this word at the beginning of a line. false: the word is not there. */
static bool number_after(const char *text, const char *word, uint64_t *out)
{
	size_t length = strlen(word);

	for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		if (strncmp(line, word, length) != 0 || (line[length] != ' ' && line[length] != ':'))
			continue;
		*out = strtoull(line + length + 1, NULL, 10);
		return true;
	}
	return false;
}

static bool number_in(const char *folder, const char *name, uint64_t *out)
{
	char path[4400], text[64];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	slurp(path, text, sizeof(text));
	if (text[0] < '0' || text[0] > '9') /* "max", or nothing */
		return false;
	*out = strtoull(text, NULL, 10);
	return true;
}

/* What the limit of one folder leaves. */
static uint64_t left_in(const char *folder, const char *limit_name, const char *used_name)
{
	uint64_t limit, used, active = 0, inactive = 0;
	char path[4400], stat[8192];

	if (!number_in(folder, limit_name, &limit) || !number_in(folder, used_name, &used))
		return UINT64_MAX;
	snprintf(path, sizeof(path), "%s/memory.stat", folder);
	slurp(path, stat, sizeof(stat));
	number_after(stat, "inactive_file", &inactive);
	number_after(stat, "active_file", &active);
	used -= active + inactive < used ? active + inactive : used;
	return limit > used ? limit - used : 0;
}

/* The least that any folder from this one up to the root of its hierarchy leaves. */
static uint64_t least_upwards(const char *root, const char *below, const char *limit_name, const char *used_name)
{
	char folder[4200];
	uint64_t least = UINT64_MAX;
	size_t stop = (size_t)snprintf(folder, sizeof(folder), "%s", root);
	char *slash;

	snprintf(folder + stop, sizeof(folder) - stop, "%s", below);
	for (;;) {
		uint64_t left = left_in(folder, limit_name, used_name);
		least = left < least ? left : least;
		slash = strrchr(folder, '/');
		if (!slash || strlen(folder) <= stop || (size_t)(slash - folder) < stop)
			return least;
		*slash = 0;
	}
}

static uint64_t cgroup_left(const char *proc, const char *cgroup)
{
	char path[4200], text[8192], *save = NULL;
	uint64_t least = UINT64_MAX, left;

	snprintf(path, sizeof(path), "%s/self/cgroup", proc);
	slurp(path, text, sizeof(text));
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *names = strchr(line, ':'), *below = names ? strchr(names + 1, ':') : NULL;
		if (!below)
			continue;
		*below++ = 0;
		if (strcmp(names, ":") == 0) {
			left = least_upwards(cgroup, below, "memory.max", "memory.current");
		} else if (strcmp(names, ":memory") == 0) {
			snprintf(path, sizeof(path), "%s/memory", cgroup);
			left = least_upwards(path, below, "memory.limit_in_bytes", "memory.usage_in_bytes");
		} else {
			continue;
		}
		least = left < least ? left : least;
	}
	return least;
}

uint64_t room_available(const char *proc, const char *cgroup, const char **why_out)
{
	char path[4200], text[4096];
	uint64_t kilobytes, host = UINT64_MAX, ours = cgroup_left(proc, cgroup);

	snprintf(path, sizeof(path), "%s/meminfo", proc);
	slurp(path, text, sizeof(text));
	if (number_after(text, "MemAvailable", &kilobytes))
		host = kilobytes << 10;
	*why_out = ours < host ? "the limit of the memory cgroup" : "the memory of the host";
	return ours < host ? ours : host;
}

uint64_t room_resident(void)
{
	unsigned long long size, resident, shared;
	char text[256];

	slurp("/proc/self/statm", text, sizeof(text));
	if (sscanf(text, "%llu %llu %llu", &size, &resident, &shared) != 3 || resident < shared)
		return 0;
	return (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}
