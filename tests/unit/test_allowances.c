// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/think/allowances.c
#include <CUnit/Basic.h>
#include <stdio.h>
#include <string.h>

#include "allowances.h"

#define NOW 1000

static struct allowed_table table;
static struct scan_reply reply;
static struct verdict left;

static void fresh(void)
{
	memset(&table, 0, sizeof(table));
	table.magic = ALLOWED_MAGIC;
	table.number = 1;
	table.size = sizeof(table);
	memset(&reply, 0, sizeof(reply));
}

static struct allowed_entry *allow(const char *name, uint64_t until)
{
	struct allowed_entry *entry = &table.entries[table.count++];

	entry->id = table.count;
	entry->kind = ALLOWED_SIGNATURE;
	entry->until_ns = until;
	snprintf(entry->name, sizeof(entry->name), "%s", name);
	return entry;
}

static void found(const char *name, uint8_t heuristic)
{
	if (reply.name_count == 0) {
		reply.verdict.kind = VERDICT_INFECTED;
		reply.verdict.heuristics = heuristic;
		snprintf(reply.verdict.signature, sizeof(reply.verdict.signature), "%s", name);
	}
	reply.name_heuristics[reply.name_count] = heuristic;
	snprintf(reply.names[reply.name_count++], SIGNATURE_SIZE, "%s", name);
}

static const struct allowed_entry *judged(void)
{
	return allowed_verdict(&table, &reply, NOW, &left);
}

static void nothing_allowed_changes_nothing(void)
{
	fresh();
	found("A", 0);
	CU_ASSERT_PTR_NULL(judged());
	CU_ASSERT_EQUAL(memcmp(&left, &reply.verdict, sizeof(left)), 0);
	allow("B", 0);
	CU_ASSERT_PTR_NULL(judged());
	CU_ASSERT_EQUAL(left.kind, VERDICT_INFECTED);
}

static void the_only_name_allowed_leaves_what_is_left(void)
{
	fresh();
	found("A", 0);
	allow("A", 0);
	CU_ASSERT_EQUAL(judged()->id, 1);
	CU_ASSERT_EQUAL(left.kind, VERDICT_CLEAN);
	CU_ASSERT_STRING_EQUAL(left.signature, "");
	reply.rest = REASON_ENCRYPTED;
	CU_ASSERT_EQUAL(judged()->id, 1);
	CU_ASSERT_EQUAL(left.kind, VERDICT_UNSCANNED);
	CU_ASSERT_EQUAL(left.reason, REASON_ENCRYPTED);
}

static void another_name_still_infects(void)
{
	fresh();
	found("A", 0);
	found("B", 0);
	allow("A", 0);
	CU_ASSERT_PTR_NOT_NULL(judged());
	CU_ASSERT_EQUAL(left.kind, VERDICT_INFECTED);
	CU_ASSERT_STRING_EQUAL(left.signature, "B");
	allow("B", 0);
	CU_ASSERT_EQUAL(judged()->id, 1);
	CU_ASSERT_EQUAL(left.kind, VERDICT_CLEAN);
}

static void a_signature_that_is_left_comes_before_a_heuristic(void)
{
	fresh();
	found("A", 0);
	found("Heuristics.One", 1 << HEURISTIC_MACRO);
	found("B", 0);
	allow("A", 0);
	judged();
	CU_ASSERT_STRING_EQUAL(left.signature, "B");
	CU_ASSERT_EQUAL(left.heuristics, 0);
	allow("B", 0);
	reply.rest = REASON_TOO_DEEP;
	judged();
	CU_ASSERT_STRING_EQUAL(left.signature, "Heuristics.One");
	CU_ASSERT_EQUAL(left.heuristics, 1 << HEURISTIC_MACRO);
	CU_ASSERT_EQUAL(left.reason, REASON_TOO_DEEP);
}

static void of_several_heuristics_the_verdicts_own_stays(void)
{
	fresh();
	found("Heuristics.One", 1 << HEURISTIC_MACRO);
	found("Heuristics.Two", 1 << HEURISTIC_BROKEN);
	found("Heuristics.Three", 1 << HEURISTIC_PHISHING);
	strcpy(reply.verdict.signature, "Heuristics.Three");
	allow("Heuristics.One", 0);
	judged();
	CU_ASSERT_STRING_EQUAL(left.signature, "Heuristics.Three");
	CU_ASSERT_EQUAL(left.heuristics, 1 << HEURISTIC_BROKEN | 1 << HEURISTIC_PHISHING);
}

static void a_worker_that_does_not_name_all_gets_nothing_allowed(void)
{
	fresh();
	found("A", 0);
	allow("A", 0);
	CU_ASSERT_PTR_NOT_NULL(judged());
	reply.names_more = 1;
	CU_ASSERT_PTR_NULL(judged());
	CU_ASSERT_EQUAL(left.kind, VERDICT_INFECTED);
	reply.names_more = 0;
	reply.name_count = 0;
	CU_ASSERT_PTR_NULL(judged());
	CU_ASSERT_EQUAL(left.kind, VERDICT_INFECTED);
}

static void an_entry_ends(void)
{
	fresh();
	found("A", 0);
	allow("A", NOW + 1);
	CU_ASSERT_PTR_NOT_NULL(judged());
	table.entries[0].until_ns = NOW;
	CU_ASSERT_PTR_NULL(judged());
	CU_ASSERT_PTR_NULL(allowed_by_id(&table, 1, NOW));
	CU_ASSERT_PTR_NOT_NULL(allowed_by_id(&table, 1, NOW - 1));
}

static void contents_are_found_by_the_whole_digest(void)
{
	uint8_t digest[32] = {1, 2, 3};

	fresh();
	struct allowed_entry *entry = allow("", 0);
	entry->kind = ALLOWED_CONTENT;
	memcpy(entry->digest, digest, 32);
	CU_ASSERT_PTR_EQUAL(allowed_content(&table, digest, NOW), entry);
	CU_ASSERT_PTR_NULL(allowed_signature(&table, "", NOW));
	digest[31] = 1;
	CU_ASSERT_PTR_NULL(allowed_content(&table, digest, NOW));
}

static void the_identity_is_that_of_what_is_allowed_now(void)
{
	uint64_t a, ab;

	fresh();
	CU_ASSERT_EQUAL(allowed_identity(&table, NOW), 0);
	allow("A", 0);
	a = allowed_identity(&table, NOW);
	CU_ASSERT_NOT_EQUAL(a, 0);
	allow("B", NOW + 5);
	ab = allowed_identity(&table, NOW);
	CU_ASSERT_NOT_EQUAL(a, ab);
	CU_ASSERT_EQUAL(allowed_identity(&table, NOW + 5), a);
	CU_ASSERT_EQUAL(allowed_next_end(&table, NOW), NOW + 5);
	CU_ASSERT_EQUAL(allowed_next_end(&table, NOW + 5), 0);
	fresh();
	allow("B", 0);
	allow("A", 0);
	CU_ASSERT_EQUAL(allowed_identity(&table, NOW), ab);
}

static void a_table_that_is_none_is_not_used(void)
{
	fresh();
	allow("A", 0);
	CU_ASSERT_TRUE(allowed_is_sound(&table));
	table.count = ALLOWED_MAX + 1;
	CU_ASSERT_FALSE(allowed_is_sound(&table));
	table.count = 1;
	table.entries[0].kind = ALLOWED_KINDS;
	CU_ASSERT_FALSE(allowed_is_sound(&table));
	table.entries[0].kind = ALLOWED_SIGNATURE;
	memset(table.entries[0].name, 'x', SIGNATURE_SIZE);
	CU_ASSERT_FALSE(allowed_is_sound(&table));
	strcpy(table.entries[0].name, "a\nb");
	CU_ASSERT_FALSE(allowed_is_sound(&table));
}

int main(void)
{
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("allowances", NULL, NULL);
#define TEST(name) CU_ADD_TEST(suite, name)
	TEST(nothing_allowed_changes_nothing);
	TEST(the_only_name_allowed_leaves_what_is_left);
	TEST(another_name_still_infects);
	TEST(a_signature_that_is_left_comes_before_a_heuristic);
	TEST(of_several_heuristics_the_verdicts_own_stays);
	TEST(a_worker_that_does_not_name_all_gets_nothing_allowed);
	TEST(an_entry_ends);
	TEST(contents_are_found_by_the_whole_digest);
	TEST(the_identity_is_that_of_what_is_allowed_now);
	TEST(a_table_that_is_none_is_not_used);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	unsigned failures = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failures != 0;
}
