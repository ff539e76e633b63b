// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/scanner/room.c
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "room.h"

#define MB (1ull << 20)
static char base[64];
static const char *why;

static void put(const char *name, const char *text)
{
	char path[256], *slash;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", base, name);
	for (slash = strchr(path + strlen(base) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		mkdir(path, 0755);
		*slash = '/';
	}
	file = fopen(path, "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	fputs(text, file);
	fclose(file);
}

static uint64_t available(void)
{
	char proc[128], cgroup[128];

	snprintf(proc, sizeof(proc), "%s/proc", base);
	snprintf(cgroup, sizeof(cgroup), "%s/cgroup", base);
	return room_available(proc, cgroup, &why);
}

static void a_folder_of_the_same_size_takes_what_the_one_in_use_takes(void)
{
	uint64_t needed = room_needed(100 * MB, 50 * MB, 200 * MB);

	CU_ASSERT_TRUE(needed > 400 * MB && needed < 500 * MB);
	CU_ASSERT_TRUE(room_needed(0, 0, 0) < 64 * MB);
}

static void what_is_too_small_to_measure_by_counts_eight_times_its_bytes(void)
{
	uint64_t needed = room_needed(100 * MB, 100, 20 * MB);

	CU_ASSERT_TRUE(needed > 900 * MB && needed < 1000 * MB);
	CU_ASSERT_EQUAL(room_needed(100 * MB, 50 * MB, 100000 * MB), room_needed(100 * MB, 50 * MB, 800 * MB));
	CU_ASSERT_TRUE(room_needed(UINT64_MAX, 50 * MB, 200 * MB) >= (uint64_t)1e18);
}

static void the_host_decides_where_no_cgroup_has_a_limit(void)
{
	put("proc/meminfo", "MemTotal: 4000000 kB\nMemFree: 1 kB\nMemAvailable:   204800 kB\n");
	put("proc/self/cgroup", "0::/a/b\n");
	put("cgroup/a/b/memory.max", "max\n");
	put("cgroup/a/b/memory.current", "5\n");
	CU_ASSERT_EQUAL(available(), 200 * MB);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "host"));
}

static void the_nearest_limit_of_a_cgroup_decides_and_page_cache_is_free(void)
{
	put("cgroup/a/memory.max", "104857600\n");
	put("cgroup/a/memory.current", "94371840\n");
	put("cgroup/a/memory.stat", "anon 1\nactive_file 10485760\ninactive_file 31457280\n");
	CU_ASSERT_EQUAL(available(), 50 * MB);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "cgroup"));
	put("cgroup/a/b/memory.max", "7\n");
	CU_ASSERT_EQUAL(available(), 2);
	put("cgroup/a/b/memory.max", "3\n"); /* below what is used already */
	CU_ASSERT_EQUAL(available(), 0);
}

static void version_one_has_its_own_words(void)
{
	put("proc/self/cgroup", "9:memory:/m\n0::/x\n");
	put("cgroup/memory/m/memory.limit_in_bytes", "1000\n");
	put("cgroup/memory/m/memory.usage_in_bytes", "400\n");
	CU_ASSERT_EQUAL(available(), 600);
}

static void nobody_can_say_is_no_refusal(void)
{
	CU_ASSERT_EQUAL(room_available("/nonexistent", "/nonexistent", &why), UINT64_MAX);
	CU_ASSERT_TRUE(room_resident() > 0);
}

int main(void)
{
	char command[128];

	snprintf(base, sizeof(base), "/tmp/mailward-room-XXXXXX");
	if (!mkdtemp(base))
		return 1;
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("room", NULL, NULL);
	CU_ADD_TEST(suite, a_folder_of_the_same_size_takes_what_the_one_in_use_takes);
	CU_ADD_TEST(suite, what_is_too_small_to_measure_by_counts_eight_times_its_bytes);
	CU_ADD_TEST(suite, the_host_decides_where_no_cgroup_has_a_limit);
	CU_ADD_TEST(suite, the_nearest_limit_of_a_cgroup_decides_and_page_cache_is_free);
	CU_ADD_TEST(suite, version_one_has_its_own_words);
	CU_ADD_TEST(suite, nobody_can_say_is_no_refusal);
	CU_basic_run_tests();
	int failed = (int)CU_get_number_of_failures();
	CU_cleanup_registry();
	snprintf(command, sizeof(command), "rm -r %s", base);
	if (system(command) != 0)
		failed++;
	return failed != 0;
}
