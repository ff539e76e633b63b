// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/think/policy.c daemon/think/store.c
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy.h"

static struct policy table; /* 550 kB: not on the stack */

/* policy_decide() in parts. */
static enum answer decide(const struct policy_watch *watch, const struct verdict *verdict, struct policy_place *place,
			  bool *would)
{
	struct policy_decision decision;

	policy_decide(watch, verdict, &decision);
	*place = decision.place;
	*would = decision.would;
	return decision.answer;
}

static struct policy_watch *add_watch(const char *path, enum store store, enum watch_mode mode)
{
	struct policy_watch *watch = &table.watches[table.watch_count++];

	memset(watch, 0, sizeof(*watch));
	snprintf(watch->path, sizeof(watch->path), "%s", path);
	watch->place = (struct policy_place){.file = 0, .line = 10 * table.watch_count};
	watch->store = store;
	watch->mode = mode;
	watch->ignore_marks = 1;
	watch->deadline_ns = 5000000000u;
	for (uint32_t i = 0; i < POLICY_CASES; i++)
		watch->actions[i] = (struct policy_action){.answer = ANSWER_DENY,
							   .place = {.file = 0, .line = watch->place.line + 1 + i}};
	return watch;
}

static void begin(void)
{
	memset(&table, 0, sizeof(table));
	table.magic = POLICY_MAGIC;
	table.size = sizeof(table);
	table.file_count = 1;
	table.max_definitions_age_s = 86400;
	strcpy(table.files[0], "/etc/mailward/mailward.conf");
	table.scanner = (struct scanner_settings){.max_file_size = 1,
						  .max_scan_size = 1,
						  .max_files = 1,
						  .max_depth = 1,
						  .scan_time_ms = 1,
						  .workers = 1};
}

static struct verdict verdict_of(enum verdict_kind kind, enum verdict_reason reason)
{
	return (struct verdict){.kind = kind, .reason = reason};
}

/* ---- soundness: one field spoilt at a time ---- */

static void a_good_table_is_sound(void)
{
	begin();
	CU_ASSERT_TRUE(policy_is_sound(&table)); /* without a watch too */
	add_watch("/var/vmail", STORE_MAILDIR, MODE_ENFORCE);
	add_watch("/", STORE_FILES, MODE_OFF);
	table.mail_software_count = 1;
	strcpy(table.mail_software[0].name, "postfix");
	strcpy(table.mail_software[0].roots[0], "/usr/lib/postfix/sbin/master");
	table.mail_software[0].root_count = 1;
	table.mail_software[0].place.line = 1;
	CU_ASSERT_TRUE(policy_is_sound(&table));
}

static void origin_exec_and_stop_belong_to_a_good_table(void)
{
	a_good_table_is_sound();
	table.release_on_stop = 1;
	table.watches[0].origin_mail = table.watches[0].exec_never = 1;
	table.watches[0].origin_place.line = table.watches[0].exec_place.line = 12;
	CU_ASSERT_TRUE(policy_is_sound(&table));
}

#define SPOILT(statement)                                                                                              \
	do {                                                                                                           \
		a_good_table_is_sound();                                                                               \
		statement;                                                                                             \
		CU_ASSERT_FALSE(policy_is_sound(&table));                                                              \
	} while (0)

static void a_table_with_one_wrong_field_is_not_sound(void)
{
	SPOILT(table.magic++);
	SPOILT(table.size--);
	SPOILT(table.file_count = 0);
	SPOILT(table.file_count = POLICY_FILES_MAX + 1);
	SPOILT(table.file_count = 2); /* the second has no name */
	SPOILT(table.watch_count = WATCHES_MAX + 1);
	SPOILT(table.watch_count = UINT32_MAX);
	SPOILT(table.mail_software_count = MAIL_SOFTWARE_MAX + 1);
	SPOILT(table.allow_root_filesystem = 2);
	SPOILT(table.scanner.workers = 0);
	SPOILT(table.scanner.max_file_size = 0);
	SPOILT(table.scanner.max_scan_size = 0);
	SPOILT(table.scanner.max_files = 0);
	SPOILT(table.scanner.max_depth = 0);
	SPOILT(table.scanner.scan_time_ms = 0);
	SPOILT(table.scanner.engine = SCAN_ENGINES);
	SPOILT(table.scanner.engine = ENGINE_CLAMD);
	SPOILT(memset(table.scanner.clamd_socket, '/', CLAMD_PATH_SIZE));
	SPOILT(table.scanner.deny_types = 1u << DENY_TYPES);
	SPOILT(memset(table.files[0], 'x', sizeof(table.files[0])));
	SPOILT(strcpy(table.files[0], "a\nb"));
	SPOILT(table.watches[0].store = STORES);
	SPOILT(table.watches[0].mode = MODES);
	SPOILT(table.watches[0].ignore_marks = 2);
	SPOILT(table.release_on_stop = 2);
	SPOILT(table.watches[0].origin_mail = 2);
	SPOILT(table.watches[0].origin_mail = 1); /* and no line that says so */
	SPOILT(table.watches[0].origin_mail = 1; table.watches[0].origin_place.line = 3; table.mail_software_count = 0);
	SPOILT(table.watches[0].exec_never = 2);
	SPOILT(table.watches[0].exec_never = 1);
	SPOILT(table.max_definitions_age_s = 0);
	SPOILT(table.watches[0].recheck = RECHECKS);
	SPOILT(table.watches[0].recheck = RECHECK_NEVER; table.watches[0].recheck_place.file = 9);
	SPOILT(table.watches[0].exec_never = 1; table.watches[0].exec_place.line = 3;
	       table.watches[0].exec_place.file = 9);
	SPOILT(table.watches[0].exec_never = 1; table.watches[0].exec_place.line = 3;
	       table.watches[0].store = STORE_MBOX);
	SPOILT(table.watches[0].deadline_ns = 99999999u);
	SPOILT(table.watches[0].deadline_ns = 60000000001u);
	SPOILT(table.watches[0].place.file = 1);
	SPOILT(table.watches[0].place.line = 0);
	SPOILT(table.watches[1].actions[CASE_DOWN].answer = ANSWER_NONE);
	SPOILT(table.watches[1].actions[CASE_LIMIT].answer = ANSWERS);
	SPOILT(table.watches[1].actions[CASE_LIMIT].is_default = 2);
	SPOILT(table.watches[1].actions[CASE_ERROR].place.file = 7);
	SPOILT(table.watches[1].actions[CASE_TYPE].answer = ANSWER_NONE);
	SPOILT(table.watches[1].actions[CASE_TYPE].quarantine = 2);
	SPOILT(table.watches[1].actions[CASE_TYPE].report = 1); /* and denies */
	SPOILT(table.watches[1].actions[CASE_TYPE].answer = ANSWER_ALLOW;
	       table.watches[1].actions[CASE_TYPE].quarantine = 1);
	SPOILT(strcpy(table.watches[1].path, table.watches[0].path));
	SPOILT(table.mail_software[0].root_count = 0);
	SPOILT(table.mail_software[0].root_count = MAIL_ROOTS_MAX + 1);
	SPOILT(table.mail_software[0].root_count = 2);
	SPOILT(table.mail_software[0].name[0] = 0);
	SPOILT(memset(table.mail_software[0].roots[0], 'x', 1024));
	SPOILT(strcpy(table.mail_software[0].roots[0], "master"));
	SPOILT(table.mail_software[0].place.line = 0);
}

static void a_table_with_a_wrong_path_is_not_sound(void)
{
	static const char *const wrong[] = {"",    "var", "/var/", "//",    "/var//mail", "/var/./mail", "/var/..",
					    "/..", "/.",  "./var", "/a\tb", "/a\177b",    NULL};
	static const char *const right[] = {"/a", "/...", "/.a", "/a..", "/..a/b.", "/a b", "/\xff", NULL};

	for (size_t i = 0; wrong[i]; i++) {
		a_good_table_is_sound();
		strcpy(table.watches[0].path, wrong[i]);
		CU_ASSERT_FALSE(policy_is_sound(&table));
	}
	for (size_t i = 0; right[i]; i++) {
		a_good_table_is_sound();
		strcpy(table.watches[0].path, right[i]);
		CU_ASSERT_TRUE(policy_is_sound(&table));
	}
	a_good_table_is_sound();
	memset(table.watches[0].path, 'x', POLICY_PATH_SIZE);
	table.watches[0].path[0] = '/';
	CU_ASSERT_FALSE(policy_is_sound(&table));
}

/* ---- match ---- */

static void the_longest_path_wins_in_any_order(void)
{
	for (int order = 0; order < 2; order++) {
		begin();
		add_watch(order ? "/v" : "/v/a/b", STORE_FILES, MODE_ENFORCE);
		add_watch("/v/a", STORE_FILES, MODE_OFF);
		add_watch(order ? "/v/a/b" : "/v", STORE_FILES, MODE_ENFORCE);
		int top = order ? 0 : 2, bottom = order ? 2 : 0;
		CU_ASSERT_EQUAL(policy_match(&table, "/v/x"), top);
		CU_ASSERT_EQUAL(policy_match(&table, "/v"), top);
		CU_ASSERT_EQUAL(policy_match(&table, "/v/a"), 1);
		CU_ASSERT_EQUAL(policy_match(&table, "/v/a/bb"), 1);
		CU_ASSERT_EQUAL(policy_match(&table, "/v/a/b"), bottom);
		CU_ASSERT_EQUAL(policy_match(&table, "/v/a/b/c/d"), bottom);
		CU_ASSERT_EQUAL(policy_match(&table, "/vv"), -1);
		CU_ASSERT_EQUAL(policy_match(&table, "/"), -1);
		CU_ASSERT_EQUAL(policy_match(&table, "v/a"), -1);
		CU_ASSERT_EQUAL(policy_match(&table, ""), -1);
	}
}

static void a_watch_on_the_root_folder_holds_every_path(void)
{
	begin();
	add_watch("/", STORE_FILES, MODE_ENFORCE);
	add_watch("/v", STORE_FILES, MODE_ENFORCE);
	CU_ASSERT_EQUAL(policy_match(&table, "/"), 0);
	CU_ASSERT_EQUAL(policy_match(&table, "/x"), 0);
	CU_ASSERT_EQUAL(policy_match(&table, "/v/x"), 1);
	CU_ASSERT_EQUAL(policy_match(&table, "x"), -1);
}

static void a_policy_without_watches_matches_nothing(void)
{
	begin();
	CU_ASSERT_EQUAL(policy_match(&table, "/"), -1);
	CU_ASSERT_EQUAL(policy_strictest(&table, ~(uint64_t)0), -1);
}

static void the_strictest_candidate_answers_for_what_nobody_can_place(void)
{
	begin();
	add_watch("/off", STORE_FILES, MODE_OFF);
	add_watch("/observe", STORE_FILES, MODE_OBSERVE);
	add_watch("/mbox", STORE_MBOX, MODE_ENFORCE);
	struct policy_watch *mild = add_watch("/mild", STORE_MAILDIR, MODE_ENFORCE);
	mild->actions[CASE_ERROR].answer = ANSWER_ALLOW;
	add_watch("/strict", STORE_FILES, MODE_ENFORCE);
	CU_ASSERT_EQUAL(policy_strictest(&table, ~(uint64_t)0), 4);
	CU_ASSERT_EQUAL(policy_strictest(&table, 0xf), 3);
	CU_ASSERT_EQUAL(policy_strictest(&table, 0x3), 1);
	CU_ASSERT_EQUAL(policy_strictest(&table, 0x1), 0);
	CU_ASSERT_EQUAL(policy_strictest(&table, 0), -1);
	CU_ASSERT_EQUAL(policy_strictest(&table, 1ull << 63), -1);
	/* A file that nobody can place may have been written by anybody. */
	table.watches[4].origin_mail = 1;
	CU_ASSERT_EQUAL(policy_strictest(&table, ~(uint64_t)0), 3);
	table.watches[3].origin_mail = 1;
	CU_ASSERT_EQUAL(policy_strictest(&table, ~(uint64_t)0), 4);
	CU_ASSERT_EQUAL(policy_strictest(&table, 0xf), 3); /* enforcing is still above observing */
	struct policy_watch *never = add_watch("/never", STORE_FILES, MODE_ENFORCE);
	never->origin_mail = never->exec_never = 1;
	CU_ASSERT_EQUAL(policy_strictest(&table, ~(uint64_t)0), 5);
}

/* ---- answers ---- */

static void an_execution_that_is_never_allowed_is_denied_by_its_own_line(void)
{
	static struct policy_watch watch;
	struct verdict verdict = verdict_of(VERDICT_NONE, REASON_EXEC_NEVER);
	struct policy_place place;
	bool would;

	watch = (struct policy_watch){.mode = MODE_ENFORCE, .store = STORE_FILES, .exec_never = 1};
	watch.place.line = 3;
	watch.exec_place.line = 7;
	CU_ASSERT_EQUAL(decide(&watch, &verdict, &place, &would), ANSWER_DENY);
	CU_ASSERT_FALSE(would);
	CU_ASSERT_EQUAL(place.line, 7);
	watch.mode = MODE_OBSERVE;
	CU_ASSERT_EQUAL(decide(&watch, &verdict, &place, &would), ANSWER_DENY);
	CU_ASSERT_TRUE(would);
	watch.mode = MODE_ENFORCE;
	watch.store = STORE_MBOX;
	decide(&watch, &verdict, &place, &would);
	CU_ASSERT_TRUE(would);
}

static void a_queue_gives_up_what_is_infected_and_denies_nobody(void)
{
	static struct policy_watch watch;
	struct verdict infected = verdict_of(VERDICT_INFECTED, REASON_NONE),
		       large = verdict_of(VERDICT_UNSCANNED, REASON_TOO_LARGE);
	struct policy_decision decision;

	watch = (struct policy_watch){.mode = MODE_ENFORCE, .store = STORE_POSTFIX_QUEUE};
	for (int i = 0; i < POLICY_CASES; i++)
		watch.actions[i] = (struct policy_action){.answer = ANSWER_DENY, .quarantine = 1};
	policy_decide(&watch, &infected, &decision);
	CU_ASSERT_TRUE(decision.empty);
	CU_ASSERT_TRUE(decision.would);
	CU_ASSERT_FALSE(decision.quarantine);
	policy_decide(&watch, &large, &decision);
	CU_ASSERT_FALSE(decision.empty);
	watch.mode = MODE_OBSERVE;
	policy_decide(&watch, &infected, &decision);
	CU_ASSERT_FALSE(decision.empty);
	watch.mode = MODE_ENFORCE;
	watch.actions[CASE_INFECTED] = (struct policy_action){.answer = ANSWER_ALLOW, .report = 1};
	policy_decide(&watch, &infected, &decision);
	CU_ASSERT_FALSE(decision.empty);
	for (int store = 0; store < STORES; store++) {
		watch.store = (uint8_t)store;
		watch.actions[CASE_INFECTED] = (struct policy_action){.answer = ANSWER_DENY, .quarantine = 1};
		policy_decide(&watch, &infected, &decision);
		CU_ASSERT_EQUAL(decision.empty, store == STORE_POSTFIX_QUEUE);
	}
}

static void each_reason_has_its_case(void)
{
	static const enum policy_case expected[REASONS] = {
		[REASON_NONE] = CASE_ERROR,          [REASON_TIMEOUT] = CASE_TIMEOUT,
		[REASON_TOO_LARGE] = CASE_LIMIT,     [REASON_TOO_DEEP] = CASE_LIMIT,
		[REASON_ENCRYPTED] = CASE_ENCRYPTED, [REASON_UNSUPPORTED] = CASE_ERROR,
		[REASON_IO_ERROR] = CASE_ERROR,      [REASON_ENGINE_ERROR] = CASE_ERROR,
		[REASON_CRASHED] = CASE_ERROR,       [REASON_NO_DEFINITIONS] = CASE_ERROR,
		[REASON_BUSY] = CASE_ERROR,          [REASON_EXEC_NEVER] = CASE_ERROR,
	};

	for (int reason = 0; reason < REASONS; reason++) {
		struct verdict verdict = verdict_of(VERDICT_UNSCANNED, (enum verdict_reason)reason);
		CU_ASSERT_EQUAL(policy_case_of(&verdict), expected[reason]);
	}
	struct verdict infected = verdict_of(VERDICT_INFECTED, REASON_NONE);
	CU_ASSERT_EQUAL(policy_case_of(&infected), CASE_INFECTED);
}

static void every_case_has_the_answer_and_the_line_of_its_own_word(void)
{
	static const struct verdict verdicts[POLICY_CASES] = {
		[CASE_INFECTED] = {.kind = VERDICT_INFECTED},
		[CASE_TIMEOUT] = {.kind = VERDICT_UNSCANNED, .reason = REASON_TIMEOUT},
		[CASE_LIMIT] = {.kind = VERDICT_UNSCANNED, .reason = REASON_TOO_DEEP},
		[CASE_ENCRYPTED] = {.kind = VERDICT_UNSCANNED, .reason = REASON_ENCRYPTED},
		[CASE_ERROR] = {.kind = VERDICT_UNSCANNED, .reason = REASON_CRASHED},
	};

	for (int denied = CASE_INFECTED; denied <= CASE_ERROR; denied++) {
		begin();
		struct policy_watch *watch = add_watch("/v", STORE_MAILDIR, MODE_ENFORCE);
		for (int i = 0; i < POLICY_CASES; i++)
			watch->actions[i].answer = i == denied ? ANSWER_DENY : ANSWER_ALLOW;
		for (int asked = CASE_TIMEOUT; asked <= CASE_ERROR; asked++) {
			struct policy_place place = {0};
			bool would = true;
			CU_ASSERT_EQUAL(decide(watch, &verdicts[asked], &place, &would),
					asked == denied ? ANSWER_DENY : ANSWER_ALLOW);
			CU_ASSERT_FALSE(would);
			CU_ASSERT_EQUAL(place.line, watch->actions[asked].place.line);
		}
	}
}

static void clean_is_allowed_by_the_line_of_the_watch(void)
{
	struct verdict clean = verdict_of(VERDICT_CLEAN, REASON_NONE);
	struct policy_place place = {0};
	bool would = true;

	begin();
	struct policy_watch *watch = add_watch("/v", STORE_FILES, MODE_ENFORCE);
	CU_ASSERT_EQUAL(decide(watch, &clean, &place, &would), ANSWER_ALLOW);
	CU_ASSERT_EQUAL(place.line, watch->place.line);
	CU_ASSERT_FALSE(would);
}

static void no_verdict_is_never_clean(void)
{
	struct verdict none = verdict_of(VERDICT_NONE, REASON_NONE), wild = {.kind = 200, .reason = 200};
	struct policy_place place;
	bool would;

	begin();
	struct policy_watch *watch = add_watch("/v", STORE_FILES, MODE_ENFORCE);
	CU_ASSERT_EQUAL(decide(watch, &none, &place, &would), ANSWER_DENY);
	CU_ASSERT_EQUAL(decide(watch, &wild, &place, &would), ANSWER_DENY);
	CU_ASSERT_EQUAL(policy_case_of(&wild), CASE_ERROR);
}

static void report_lets_go_and_tells(void)
{
	struct verdict infected = verdict_of(VERDICT_INFECTED, REASON_NONE);
	struct policy_place place;
	bool would = false;

	begin();
	struct policy_watch *watch = add_watch("/v", STORE_FILES, MODE_ENFORCE);
	watch->actions[CASE_INFECTED].answer = ANSWER_ALLOW;
	CU_ASSERT_EQUAL(decide(watch, &infected, &place, &would), ANSWER_DENY);
	CU_ASSERT_TRUE(would);
	CU_ASSERT_EQUAL(place.line, watch->actions[CASE_INFECTED].place.line);
}

static void quarantine_denies_and_says_so_where_the_watch_may(void)
{
	struct verdict infected = verdict_of(VERDICT_INFECTED, REASON_NONE);
	struct policy_decision decision;

	begin();
	struct policy_watch *watch = add_watch("/v", STORE_MAILDIR, MODE_ENFORCE);
	policy_decide(watch, &infected, &decision);
	CU_ASSERT_EQUAL(decision.answer, ANSWER_DENY);
	CU_ASSERT_FALSE(decision.quarantine);
	watch->actions[CASE_INFECTED].quarantine = 1;
	CU_ASSERT_TRUE(policy_is_sound(&table));
	policy_decide(watch, &infected, &decision);
	CU_ASSERT_EQUAL(decision.answer, ANSWER_DENY);
	CU_ASSERT_TRUE(decision.quarantine);
	CU_ASSERT_FALSE(decision.would);
	CU_ASSERT_EQUAL(decision.which, CASE_INFECTED);
	watch->mode = MODE_OBSERVE;
	policy_decide(watch, &infected, &decision);
	CU_ASSERT_FALSE(decision.quarantine);
	CU_ASSERT_TRUE(decision.would);
	watch->mode = MODE_ENFORCE;
	watch->store = STORE_MDBOX;
	policy_decide(watch, &infected, &decision);
	CU_ASSERT_FALSE(decision.quarantine);
	CU_ASSERT_TRUE(decision.would);
}

static void each_heuristic_has_its_own_action(void)
{
	for (int denied = 0; denied < HEURISTICS; denied++) {
		begin();
		struct policy_watch *watch = add_watch("/v", STORE_FILES, MODE_ENFORCE);
		for (int i = 0; i < POLICY_CASES; i++)
			watch->actions[i].answer = i == CASE_MACRO + denied ? ANSWER_DENY : ANSWER_ALLOW;
		for (int asked = 0; asked < HEURISTICS; asked++) {
			struct verdict verdict = {.kind = VERDICT_INFECTED, .heuristics = (uint8_t)(1 << asked)};
			struct policy_decision decision;
			policy_decide(watch, &verdict, &decision);
			CU_ASSERT_EQUAL(decision.answer, asked == denied ? ANSWER_DENY : ANSWER_ALLOW);
			CU_ASSERT_FALSE(decision.would);
			CU_ASSERT_EQUAL(decision.which, CASE_MACRO + asked);
			CU_ASSERT_EQUAL(decision.place.line, watch->actions[CASE_MACRO + asked].place.line);
		}
	}
}

static void a_signature_is_answered_by_on_infected_alone(void)
{
	struct verdict signature = verdict_of(VERDICT_INFECTED, REASON_NONE);
	struct verdict macro = {.kind = VERDICT_INFECTED, .heuristics = 1 << HEURISTIC_MACRO};
	struct policy_decision decision;

	begin();
	struct policy_watch *watch = add_watch("/v", STORE_FILES, MODE_ENFORCE);
	watch->actions[CASE_MACRO].answer = ANSWER_ALLOW;
	policy_decide(watch, &signature, &decision);
	CU_ASSERT_EQUAL(decision.answer, ANSWER_DENY);
	policy_decide(watch, &macro, &decision);
	CU_ASSERT_EQUAL(decision.answer, ANSWER_ALLOW);
	CU_ASSERT_FALSE(decision.would); /* allow: not even told as what would be denied */
	watch->actions[CASE_MACRO].report = 1;
	policy_decide(watch, &macro, &decision);
	CU_ASSERT_EQUAL(decision.answer, ANSWER_DENY);
	CU_ASSERT_TRUE(decision.would);
}

static void of_several_the_strictest_action_counts(void)
{
	struct verdict both = {.kind = VERDICT_INFECTED,
			       .heuristics = 1 << HEURISTIC_MACRO | 1 << HEURISTIC_PHISHING | 1 << HEURISTIC_TYPE};
	struct policy_decision decision;

	begin();
	struct policy_watch *watch = add_watch("/v", STORE_MAILDIR, MODE_ENFORCE);
	for (int i = 0; i < POLICY_CASES; i++)
		watch->actions[i].answer = ANSWER_ALLOW;
	policy_decide(watch, &both, &decision);
	CU_ASSERT_EQUAL(decision.answer, ANSWER_ALLOW);
	watch->actions[CASE_PHISHING].report = 1;
	policy_decide(watch, &both, &decision);
	CU_ASSERT_EQUAL(decision.which, CASE_PHISHING);
	CU_ASSERT_TRUE(decision.would);
	watch->actions[CASE_MACRO].answer = ANSWER_DENY;
	policy_decide(watch, &both, &decision);
	CU_ASSERT_EQUAL(decision.which, CASE_MACRO);
	CU_ASSERT_EQUAL(decision.answer, ANSWER_DENY);
	CU_ASSERT_FALSE(decision.would);
	watch->actions[CASE_TYPE].answer = ANSWER_DENY;
	watch->actions[CASE_TYPE].quarantine = 1;
	policy_decide(watch, &both, &decision);
	CU_ASSERT_EQUAL(decision.which, CASE_TYPE);
	CU_ASSERT_TRUE(decision.quarantine);
}

static void what_was_not_looked_at_beside_a_heuristic_counts_too(void)
{
	struct verdict beside = {
		.kind = VERDICT_INFECTED, .heuristics = 1 << HEURISTIC_MACRO, .reason = REASON_ENCRYPTED};
	struct policy_decision decision;

	begin();
	struct policy_watch *watch = add_watch("/v", STORE_FILES, MODE_ENFORCE);
	watch->actions[CASE_MACRO].answer = ANSWER_ALLOW;
	watch->actions[CASE_MACRO].report = 1;
	policy_decide(watch, &beside, &decision);
	CU_ASSERT_EQUAL(decision.which, CASE_ENCRYPTED);
	CU_ASSERT_EQUAL(decision.answer, ANSWER_DENY);
	CU_ASSERT_FALSE(decision.would);
	watch->actions[CASE_ENCRYPTED].answer = ANSWER_ALLOW;
	policy_decide(watch, &beside, &decision);
	CU_ASSERT_EQUAL(decision.which, CASE_MACRO);
	CU_ASSERT_TRUE(decision.would);
}

static void what_cannot_be_held_or_does_not_enforce_would_only_be_denied(void)
{
	struct verdict infected = verdict_of(VERDICT_INFECTED, REASON_NONE);
	struct policy_place place;
	bool would;

	for (int store = 0; store < STORES; store++)
		for (int mode = 0; mode < MODES; mode++) {
			begin();
			struct policy_watch *watch = add_watch("/v", (enum store)store, (enum watch_mode)mode);
			enum answer answer = decide(watch, &infected, &place, &would);
			bool held = mode == MODE_ENFORCE && store_may_hold((enum store)store);
			CU_ASSERT_EQUAL(would, !held);
			CU_ASSERT_EQUAL(answer, mode == MODE_OFF ? ANSWER_ALLOW : ANSWER_DENY);
			CU_ASSERT_EQUAL(policy_answer_down(watch), held ? ANSWER_DENY : ANSWER_ALLOW);
			watch->actions[CASE_DOWN].answer = ANSWER_ALLOW;
			CU_ASSERT_EQUAL(policy_answer_down(watch), ANSWER_ALLOW);
		}
}

static void a_place_reads_file_and_line(void)
{
	char text[64];

	begin();
	policy_place_text(&table, (struct policy_place){.file = 0, .line = 42}, text, sizeof(text));
	CU_ASSERT_STRING_EQUAL(text, "/etc/mailward/mailward.conf:42");
	policy_place_text(&table, (struct policy_place){.file = 9, .line = 42}, text, sizeof(text));
	CU_ASSERT_STRING_EQUAL(text, "?:42");
	policy_place_text(&table, (struct policy_place){.file = 0, .line = 42}, text, 5);
	CU_ASSERT_STRING_EQUAL(text, "/etc");
}

int main(void)
{
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("policy", NULL, NULL);
	CU_ADD_TEST(suite, a_good_table_is_sound);
	CU_ADD_TEST(suite, origin_exec_and_stop_belong_to_a_good_table);
	CU_ADD_TEST(suite, a_table_with_one_wrong_field_is_not_sound);
	CU_ADD_TEST(suite, a_table_with_a_wrong_path_is_not_sound);
	CU_ADD_TEST(suite, the_longest_path_wins_in_any_order);
	CU_ADD_TEST(suite, a_watch_on_the_root_folder_holds_every_path);
	CU_ADD_TEST(suite, a_policy_without_watches_matches_nothing);
	CU_ADD_TEST(suite, the_strictest_candidate_answers_for_what_nobody_can_place);
	CU_ADD_TEST(suite, an_execution_that_is_never_allowed_is_denied_by_its_own_line);
	CU_ADD_TEST(suite, a_queue_gives_up_what_is_infected_and_denies_nobody);
	CU_ADD_TEST(suite, each_reason_has_its_case);
	CU_ADD_TEST(suite, every_case_has_the_answer_and_the_line_of_its_own_word);
	CU_ADD_TEST(suite, clean_is_allowed_by_the_line_of_the_watch);
	CU_ADD_TEST(suite, no_verdict_is_never_clean);
	CU_ADD_TEST(suite, report_lets_go_and_tells);
	CU_ADD_TEST(suite, quarantine_denies_and_says_so_where_the_watch_may);
	CU_ADD_TEST(suite, each_heuristic_has_its_own_action);
	CU_ADD_TEST(suite, a_signature_is_answered_by_on_infected_alone);
	CU_ADD_TEST(suite, of_several_the_strictest_action_counts);
	CU_ADD_TEST(suite, what_was_not_looked_at_beside_a_heuristic_counts_too);
	CU_ADD_TEST(suite, what_cannot_be_held_or_does_not_enforce_would_only_be_denied);
	CU_ADD_TEST(suite, a_place_reads_file_and_line);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	unsigned failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
