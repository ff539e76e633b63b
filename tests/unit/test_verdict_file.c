// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/edge/verdict_file.c daemon/edge/memory.c daemon/think/cases.c daemon/think/queue.c
#include <CUnit/Basic.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memory.h"
#include "verdict_file.h"

static char base[] = "/tmp/mailward-verdicts-XXXXXX";
static int directory;
static struct memory *memory;
static uint32_t at, seen;
static struct kept_verdict last;

static struct generation file(uint64_t number)
{
	struct generation generation = {.dev = 1, .ino = number, .size = 9, .handle_type = 1, .handle_size = 8};

	memcpy(generation.handle, &number, sizeof(number));
	return generation;
}

static void keep(uint64_t number, enum verdict_kind kind, uint8_t digit)
{
	struct generation generation = file(number);
	struct finding finding = {.verdict.kind = (uint8_t)kind, .definitions = 7, .judged_ns = 5, .worker = 3};
	uint8_t digest[32];

	memset(digest, digit, sizeof(digest));
	if (kind == VERDICT_INFECTED)
		strcpy(finding.verdict.signature, "Test.Signature");
	strcpy(finding.queue_id, "4XyZ");
	memory_keep(memory, &generation, &finding, digest, 0);
}

static bool next(void *owner, struct kept_verdict *kept)
{
	(void)owner;
	return memory_kept_next(memory, &at, kept);
}

static void alive(void *owner)
{
	(void)owner;
}

static void voided(void *owner, const struct generation *generation)
{
	(void)owner, (void)generation;
}

static void each(void *owner, const struct kept_verdict *kept)
{
	(void)owner;
	seen++;
	last = *kept;
}

static int save(void)
{
	at = 0;
	return verdict_file_save(directory, next, alive, NULL);
}

static int load(void)
{
	seen = 0;
	return verdict_file_load(directory, each, NULL);
}

static void restore(void *owner, const struct kept_verdict *kept)
{
	memory_restore(owner, kept);
}

static void what_was_kept_comes_back_for_its_content_alone(void)
{
	struct generation clean = file(1), bad = file(2);
	uint8_t one[32], two[32];
	const struct finding *found;

	memset(one, 1, sizeof(one));
	memset(two, 2, sizeof(two));
	CU_ASSERT_EQUAL_FATAL(memory_open(&memory, -1), 0);
	keep(1, VERDICT_CLEAN, 1);
	keep(2, VERDICT_INFECTED, 2);
	CU_ASSERT_EQUAL(save(), 2);
	memory_close(&memory);
	CU_ASSERT_EQUAL_FATAL(memory_open(&memory, -1), 0);
	CU_ASSERT_EQUAL(verdict_file_load(directory, restore, memory), 2);
	CU_ASSERT_PTR_NULL(memory_known(memory, &clean, 7, 0));
	CU_ASSERT_PTR_NULL(memory_same_content(memory, &clean, two, 7, 0));
	CU_ASSERT_PTR_NULL(memory_same_content(memory, &clean, one, 8, 0));
	CU_ASSERT_PTR_NOT_NULL_FATAL(memory_same_content(memory, &clean, one, 7, 0));
	CU_ASSERT_EQUAL(memory_same_content(memory, &clean, one, 7, 0)->verdict.kind, VERDICT_CLEAN);
	found = memory_same_content(memory, &bad, two, 7, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(found);
	CU_ASSERT_EQUAL(found->verdict.kind, VERDICT_INFECTED);
	CU_ASSERT_STRING_EQUAL(found->verdict.signature, "Test.Signature");
	CU_ASSERT_STRING_EQUAL(found->queue_id, "4XyZ");
	memory_close(&memory);
}

static void what_passes_or_has_no_digest_is_not_kept(void)
{
	struct generation generation = file(3);
	struct finding finding = {.verdict.kind = VERDICT_CLEAN, .definitions = 7};

	CU_ASSERT_EQUAL_FATAL(memory_open(&memory, -1), 0);
	memory_keep(memory, &generation, &finding, NULL, 0);
	finding.verdict = (struct verdict){.kind = VERDICT_UNSCANNED, .reason = REASON_TIMEOUT};
	generation = file(4);
	memory_keep(memory, &generation, &finding, (const uint8_t[32]){4}, 0);
	CU_ASSERT_EQUAL(save(), 0);
	memory_close(&memory);
}

static void a_withdrawn_worker_is_not_kept(void)
{
	CU_ASSERT_EQUAL_FATAL(memory_open(&memory, -1), 0);
	keep(1, VERDICT_CLEAN, 1);
	CU_ASSERT_EQUAL(memory_withdrawals(memory), 0);
	memory_withdraw(memory, 3, voided, NULL);
	CU_ASSERT_EQUAL(memory_withdrawals(memory), 1);
	CU_ASSERT_EQUAL(save(), 0);
	memory_close(&memory);
}

/* Each single byte of the file, each length: nothing of it is taken, or all of it is as it was. */
static void a_file_with_one_wrong_byte_is_not_taken(void)
{
	char path[64];
	uint8_t bytes[8192];
	ssize_t size;
	int fd;

	CU_ASSERT_EQUAL_FATAL(memory_open(&memory, -1), 0);
	keep(1, VERDICT_CLEAN, 1);
	keep(2, VERDICT_INFECTED, 2);
	CU_ASSERT_EQUAL(save(), 2);
	memory_close(&memory);
	snprintf(path, sizeof(path), "%s/" VERDICT_FILE, base);
	fd = open(path, O_RDWR);
	size = read(fd, bytes, sizeof(bytes));
	CU_ASSERT_TRUE_FATAL(size > 200 && size < (ssize_t)sizeof(bytes));
	for (ssize_t i = 0; i < size; i++) {
		uint8_t wrong = bytes[i] ^ 0x41;
		CU_ASSERT_EQUAL(pwrite(fd, &wrong, 1, i), 1);
		CU_ASSERT_TRUE(load() < 0 && seen == 0);
		CU_ASSERT_EQUAL(pwrite(fd, &bytes[i], 1, i), 1);
	}
	CU_ASSERT_EQUAL(load(), 2);
	for (ssize_t i = size - 1; i >= 0; i -= 7) {
		CU_ASSERT_EQUAL(ftruncate(fd, i), 0);
		CU_ASSERT_TRUE(load() < 0 && seen == 0);
	}
	close(fd);
}

static struct verdict strange;
static bool strange_given;

static bool next_strange(void *owner, struct kept_verdict *kept)
{
	(void)owner;
	*kept = (struct kept_verdict){
		.generation = file(1), .verdict = strange, .definitions = 7, .judged_ns = 5, .digest = {1}};
	strange_given = !strange_given;
	return strange_given;
}

static uint32_t taken(struct verdict verdict)
{
	strange = verdict;
	CU_ASSERT_EQUAL(verdict_file_save(directory, next_strange, alive, NULL), 1);
	CU_ASSERT_EQUAL(load(), 1);
	return seen;
}

/* In a whole file, of root's own: what fits no case of a policy would be answered by another one's word. */
static void a_verdict_that_nobody_could_have_made_is_left_out(void)
{
	CU_ASSERT_EQUAL(taken((struct verdict){.kind = VERDICT_INFECTED, .signature = "A"}), 1);
	CU_ASSERT_EQUAL(taken((struct verdict){.kind = VERDICT_INFECTED, .signature = "A", .heuristics = 1}), 1);
	CU_ASSERT_EQUAL(taken((struct verdict){.kind = VERDICT_UNSCANNED, .reason = REASON_ENCRYPTED}), 1);
	CU_ASSERT_EQUAL(taken((struct verdict){.kind = VERDICT_CLEAN}), 1);
	CU_ASSERT_EQUAL(taken((struct verdict){.kind = VERDICT_INFECTED, .signature = "A", .heuristics = 0x80}), 0);
	CU_ASSERT_EQUAL(taken((struct verdict){.kind = VERDICT_INFECTED, .signature = "A", .reason = 1}), 0);
	CU_ASSERT_EQUAL(taken((struct verdict){.kind = VERDICT_INFECTED}), 0);
	CU_ASSERT_EQUAL(taken((struct verdict){.kind = VERDICT_UNSCANNED}), 0);
	CU_ASSERT_EQUAL(taken((struct verdict){.kind = VERDICT_UNSCANNED, .reason = REASONS}), 0);
	CU_ASSERT_EQUAL(taken((struct verdict){.kind = VERDICT_NONE}), 0);
	CU_ASSERT_EQUAL(taken((struct verdict){.kind = VERDICT_KINDS}), 0);
	verdict_file_remove(directory);
}

static void a_file_that_others_could_write_is_not_taken(void)
{
	char path[64], other[80];

	CU_ASSERT_EQUAL_FATAL(memory_open(&memory, -1), 0);
	keep(1, VERDICT_CLEAN, 1);
	CU_ASSERT_EQUAL(save(), 1);
	memory_close(&memory);
	snprintf(path, sizeof(path), "%s/" VERDICT_FILE, base);
	snprintf(other, sizeof(other), "%s/other", base);
	CU_ASSERT_EQUAL(load(), 1);
	chmod(path, 0620);
	CU_ASSERT_TRUE(load() < 0 && seen == 0);
	chmod(path, 0600);
	CU_ASSERT_EQUAL(link(path, other), 0);
	CU_ASSERT_TRUE(load() < 0 && seen == 0);
	unlink(path);
	CU_ASSERT_EQUAL(symlink("other", path), 0);
	CU_ASSERT_TRUE(load() < 0 && seen == 0);
	unlink(path);
	CU_ASSERT_TRUE(load() < 0);
	unlink(other);
}

static void a_gate_that_follows_takes_whole_entries_only(void)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);
	struct generation one = file(1), two = file(2);
	uint8_t *bytes;
	size_t where;

	CU_ASSERT_EQUAL_FATAL(ftruncate(fd, (off_t)memory_size()), 0);
	CU_ASSERT_EQUAL_FATAL(memory_open(&memory, fd), 0);
	keep(1, VERDICT_CLEAN, 1);
	keep(2, VERDICT_CLEAN, 0x5a);
	memory_close(&memory);
	bytes = mmap(NULL, memory_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	for (where = 0; where + 32 < memory_size() && memcmp(bytes + where, "ZZZZZZZZ", 8) != 0; where++)
		;
	bytes[where] ^= 1; /* as if the gate had ended in the middle of it */
	munmap(bytes, memory_size());
	CU_ASSERT_EQUAL_FATAL(memory_open(&memory, fd), 0);
	CU_ASSERT_PTR_NOT_NULL(memory_known(memory, &one, 7, 0));
	CU_ASSERT_PTR_NULL(memory_known(memory, &two, 7, 0));
	memory_close(&memory);
	close(fd);
}

int main(void)
{
	char command[64];

	if (!mkdtemp(base))
		return 1;
	directory = open(base, O_RDONLY | O_DIRECTORY);
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("verdict_file", NULL, NULL);
	CU_ADD_TEST(suite, what_was_kept_comes_back_for_its_content_alone);
	CU_ADD_TEST(suite, what_passes_or_has_no_digest_is_not_kept);
	CU_ADD_TEST(suite, a_withdrawn_worker_is_not_kept);
	CU_ADD_TEST(suite, a_file_with_one_wrong_byte_is_not_taken);
	CU_ADD_TEST(suite, a_verdict_that_nobody_could_have_made_is_left_out);
	CU_ADD_TEST(suite, a_file_that_others_could_write_is_not_taken);
	CU_ADD_TEST(suite, a_gate_that_follows_takes_whole_entries_only);
	CU_basic_run_tests();
	int failed = (int)CU_get_number_of_failures();
	CU_cleanup_registry();
	snprintf(command, sizeof(command), "rm -r %s", base);
	if (system(command) != 0)
		failed++;
	return failed != 0;
}
