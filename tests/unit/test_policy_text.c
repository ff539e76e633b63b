// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/think/policy_text.c daemon/think/policy_values.c daemon/think/policy_watch.c
// objects: daemon/think/policy_notify.c daemon/think/policy_schedule.c
// objects: daemon/think/policy_words.c daemon/think/policy.c daemon/think/store.c
// libs: libconfuse
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy_text.h"
#include "policy_words.h"

static struct policy table;
static struct complaints complaints;
#define GB ((uint64_t)1 << 30)

static bool parse_sized(const char *text, size_t size)
{
	struct policy_source source = {.name = "p.conf", .text = text, .size = size};

	memset(&complaints, 0, sizeof(complaints));
	return policy_parse(&table, &source, 1, 2, 64 * GB, &complaints);
}

static bool parse(const char *text)
{
	return parse_sized(text, strlen(text));
}

/* Parses as a good policy without a warning. */
static void good(const char *text)
{
	bool taken = parse(text);

	if (!taken || complaints.count)
		printf("\n  refused or doubted: %s\n  %s\n", text, complaints.list[0].text);
	CU_ASSERT_TRUE(taken);
	CU_ASSERT_EQUAL(complaints.count, 0);
	CU_ASSERT_TRUE(policy_is_sound(&table));
}

/* Is refused, in this line, and one complaint has these words. */
static void bad(unsigned line, const char *words, const char *text)
{
	char place[32];
	bool taken = parse(text), found = false;

	snprintf(place, sizeof(place), "p.conf:%u: ", line);
	for (size_t i = 0; i < complaints.count; i++)
		found = found || (!complaints.list[i].warning && strstr(complaints.list[i].text, words) &&
				  strncmp(complaints.list[i].text, place, strlen(place)) == 0);
	if (taken || !found)
		printf("\n  expected \"%s...%s\" of:\n%s\n  got: %s\n", place, words, text, complaints.list[0].text);
	CU_ASSERT_FALSE(taken);
	CU_ASSERT_TRUE(found);
	CU_ASSERT_TRUE(complaints.errors > 0);
}

/* Is taken, with one warning of these words. */
static void doubtful(unsigned line, const char *words, const char *text)
{
	char place[32];
	bool taken = parse(text);

	snprintf(place, sizeof(place), "p.conf:%u: ", line);
	if (!taken || complaints.count != 1 || !strstr(complaints.list[0].text, words))
		printf("\n  expected a warning \"%s...%s\" of:\n%s\n  got: %s\n", place, words, text,
		       complaints.list[0].text);
	CU_ASSERT_TRUE(taken);
	CU_ASSERT_EQUAL(complaints.count, 1);
	CU_ASSERT_EQUAL(complaints.errors, 0);
	CU_ASSERT_TRUE(complaints.list[0].warning);
	CU_ASSERT_TRUE(strstr(complaints.list[0].text, words) != NULL);
	CU_ASSERT_TRUE(strncmp(complaints.list[0].text, place, strlen(place)) == 0);
	CU_ASSERT_TRUE(policy_is_sound(&table));
}

/* ---- defaults ---- */

static char letter(const struct policy_action *action)
{
	if (action->answer == ANSWER_DENY)
		return action->quarantine ? 'q' : 'd';
	return action->report ? 'r' : 'a';
}

static void answers_are(const char *text, const char *expected)
{
	char got[POLICY_CASES + 1] = "";

	good(text);
	for (int i = 0; i < POLICY_CASES; i++)
		got[i] = letter(&table.watches[0].actions[i]);
	CU_ASSERT_STRING_EQUAL(got, expected);
}

static void a_watch_with_nothing_but_a_path_is_strict(void)
{
	good("watch \"/var/vmail\" { }\n");
	CU_ASSERT_EQUAL(table.watch_count, 1);
	CU_ASSERT_STRING_EQUAL(table.watches[0].path, "/var/vmail");
	CU_ASSERT_EQUAL(table.watches[0].store, STORE_FILES);
	CU_ASSERT_EQUAL(table.watches[0].mode, MODE_ENFORCE);
	CU_ASSERT_EQUAL(table.watches[0].ignore_marks, 1);
	CU_ASSERT_EQUAL(table.watches[0].deadline_ns, 5000000000u);
	CU_ASSERT_EQUAL(table.watches[0].place.line, 1);
	CU_ASSERT_EQUAL(table.allow_root_filesystem, 0);
	for (int i = 0; i < POLICY_CASES; i++) {
		CU_ASSERT_EQUAL(table.watches[0].actions[i].is_default, 1);
		CU_ASSERT_EQUAL(table.watches[0].actions[i].place.line, 1);
	}
	CU_ASSERT_EQUAL(table.scanner.max_file_size, 100u << 20);
	CU_ASSERT_EQUAL(table.scanner.max_scan_size, 200u << 20);
	CU_ASSERT_EQUAL(table.scanner.scan_time_ms, 30000);
	CU_ASSERT_EQUAL(table.scanner.workers, 4); /* two processors: at least four */
	CU_ASSERT_EQUAL(table.scanner.engine, ENGINE_LIBCLAMAV);
	CU_ASSERT_STRING_EQUAL(table.scanner.clamd_socket, "/run/clamav/clamd.ctl");
}

/* order: infected timeout limit encrypted error down macro broken phishing unwanted other type */
static void each_store_has_its_own_defaults(void)
{
	answers_are("watch /v { }", "ddddddrrdrrd");
	answers_are("watch /v { store = files }", "ddddddrrdrrd");
	answers_are("watch /v { store = maildir }", "qdqaadrrqrrq");
	answers_are("watch /v { store = sdbox }", "qdqaadrrqrrq");
	answers_are("watch /v { store = mbox }", "raaaaarrrrrr");
	answers_are("watch /v { store = mdbox }", "raaaaarrrrrr");
	answers_are("watch /v { store = postfix-queue }", "qaaaaarrrrrr");
	answers_are("watch /v { store = postfix-queue on-infected = report on-heuristic = quarantine }",
		    "raaaaaqqqqqq");
}

static void every_word_is_taken_with_its_line(void)
{
	good("allow-root-filesystem = yes\n"
	     "mail-software postfix { roots = { \"/usr/lib/postfix/sbin/master\", '/a b/c' } }\n"
	     "scanner {\n workers = 3\n max-file-size = 10M max-scan-size = 2G\n max-files = 7 max-depth = 5\n"
	     " scan-time = 1min engine = clamd clamd-socket = '/run/a b/clamd.ctl'\n}\n"
	     "watch \"/v\" {\n store = maildir\n mode = observe\n origin = any\n exec = scan\n deadline = 250ms\n"
	     " on-infected = report\n on-timeout = allow\n on-limit = allow\n on-encrypted = allow\n"
	     " on-error = allow\n on-down = allow\n on-macro = allow\n on-broken = allow\n on-phishing = allow\n"
	     " on-unwanted = allow\n on-heuristic = allow\n on-type = allow\n marks = none\n}\n");
	CU_ASSERT_EQUAL(table.allow_root_filesystem, 1);
	CU_ASSERT_EQUAL(table.mail_software_count, 1);
	CU_ASSERT_STRING_EQUAL(table.mail_software[0].name, "postfix");
	CU_ASSERT_EQUAL(table.mail_software[0].root_count, 2);
	CU_ASSERT_STRING_EQUAL(table.mail_software[0].roots[1], "/a b/c");
	CU_ASSERT_EQUAL(table.mail_software[0].place.line, 2);
	CU_ASSERT_EQUAL(table.scanner.workers, 3);
	CU_ASSERT_EQUAL(table.scanner.max_file_size, 10u << 20);
	CU_ASSERT_EQUAL(table.scanner.max_scan_size, 2 * GB);
	CU_ASSERT_EQUAL(table.scanner.max_files, 7);
	CU_ASSERT_EQUAL(table.scanner.max_depth, 5);
	CU_ASSERT_EQUAL(table.scanner.scan_time_ms, 60000);
	CU_ASSERT_EQUAL(table.scanner.engine, ENGINE_CLAMD);
	CU_ASSERT_STRING_EQUAL(table.scanner.clamd_socket, "/run/a b/clamd.ctl");
	const struct policy_watch *watch = &table.watches[0];
	CU_ASSERT_EQUAL(watch->place.line, 9);
	CU_ASSERT_EQUAL(watch->mode, MODE_OBSERVE);
	CU_ASSERT_EQUAL(watch->deadline_ns, 250000000u);
	CU_ASSERT_EQUAL(watch->ignore_marks, 0);
	for (uint32_t i = 0; i < POLICY_CASES; i++) {
		CU_ASSERT_EQUAL(watch->actions[i].answer, ANSWER_ALLOW);
		CU_ASSERT_EQUAL(watch->actions[i].is_default, 0);
		CU_ASSERT_EQUAL(watch->actions[i].place.line, 15 + i);
	}
}

static void several_words_may_stand_in_one_line_with_comments(void)
{
	good("# a comment with \"quotes\", { braces } and \\\n"
	     "watch \"/home\" { store = files  mode = off deadline=1s} # end\n"
	     "watch /var/mail{store=mbox}");
	CU_ASSERT_EQUAL(table.watch_count, 2);
	CU_ASSERT_EQUAL(table.watches[0].mode, MODE_OFF);
	CU_ASSERT_EQUAL(table.watches[1].store, STORE_MBOX);
	CU_ASSERT_EQUAL(table.watches[1].place.line, 3);
}

static void workers_follow_the_processors_and_have_bounds(void)
{
	struct policy_source source = {.name = "p.conf", .text = "watch /v { }", .size = 12};

	memset(&complaints, 0, sizeof(complaints));
	CU_ASSERT_TRUE(policy_parse(&table, &source, 1, 16, 64 * GB, &complaints));
	CU_ASSERT_EQUAL(table.scanner.workers, 16);
	CU_ASSERT_TRUE(policy_parse(&table, &source, 1, 500, 64 * GB, &complaints));
	CU_ASSERT_EQUAL(table.scanner.workers, 64);
}

/* ---- paths ---- */

static void path_is(const char *text, const char *expected)
{
	bool taken = parse(text);

	if (!taken)
		printf("\n  refused: %s: %s\n", text, complaints.list[0].text);
	CU_ASSERT_TRUE_FATAL(taken);
	CU_ASSERT_STRING_EQUAL(table.watches[0].path, expected);
	CU_ASSERT_TRUE(policy_is_sound(&table));
}

static void nothing_is_expanded_inside_a_path(void)
{
	setenv("HOME", "/expanded", 1);
	path_is("watch \"/v/${HOME}/x\" { }", "/v/${HOME}/x");
	path_is("watch '/v/${HOME}/x' { }", "/v/${HOME}/x");
	path_is("watch \"/v/${HOME:-x}\" { }", "/v/${HOME:-x}");
	path_is("watch \"/v/$HOME\" { }", "/v/$HOME");
	path_is("watch \"/v/\\n\\x41\\101\\\\\" { }", "/v/\\n\\x41\\101\\\\");
	path_is("watch '/v/\\'  { }", "/v/\\");
	path_is("watch \"/v/it's\" { }", "/v/it's");
	path_is("watch '/v/a\"b' { }", "/v/a\"b");
	path_is("watch \"/v/# no comment, /* nor this\" { }", "/v/# no comment, /* nor this");
	path_is("watch \"/v/{a,b}=c;d\" { }", "/v/{a,b}=c;d");
	path_is("watch \"/v/~root/%h/*\" { }", "/v/~root/%h/*");
	path_is("watch \"/v/ leading and trailing \" { }", "/v/ leading and trailing ");
	path_is("watch \"/v/\xc3\xa4\xff\xfe\" { }", "/v/\xc3\xa4\xff\xfe");
	path_is("watch \"/v/1.2:x\" { }", "/v/1.2:x");
}

static void paths_are_normalised(void)
{
	path_is("watch \"/v/\" { }", "/v");
	path_is("watch \"/v///\" { }", "/v");
	path_is("watch \"//v//w/\" { }", "/v/w");
	path_is("watch \"/\" { }", "/");
	path_is("watch \"///\" { }", "/");
	path_is("watch /v/...  { }", "/v/...");
}

static void a_wrong_path_is_refused_with_its_line(void)
{
	bad(2, "is relative", "\nwatch \"var/vmail\" { }\n");
	bad(1, "is relative", "watch \"~/Maildir\" { }\n");
	bad(1, "is relative", "watch \"./x\" { }\n");
	bad(1, "\".\" or \"..\"", "watch \"/var/../etc\" { }\n");
	bad(1, "\".\" or \"..\"", "watch \"/var/..\" { }\n");
	bad(1, "\".\" or \"..\"", "watch \"/var/./x\" { }\n");
	bad(1, "is missing", "watch \"\" { }\n");
	bad(1, "is missing", "watch { }\n");
	bad(1, "control character \\x5cx07", "watch \"/v\a\" { }\n");
	bad(1, "control character \\x5cx1b", "watch \"/v\033[2J\" { }\n");
	bad(1, "control character \\x5cx7f", "watch \"/v\177\" { }\n");
}

static void a_path_may_be_as_long_as_linux_takes_it(void)
{
	char text[POLICY_PATH_SIZE + 64];
	size_t longest = POLICY_PATH_SIZE - 1;

	for (size_t length = longest; length <= longest + 1; length++) {
		memset(text, 0, sizeof(text));
		strcpy(text, "watch \"/");
		memset(text + strlen(text), 'x', length - 1);
		strcat(text, "\" { }");
		CU_ASSERT_EQUAL(parse(text), length == longest);
	}
	CU_ASSERT_TRUE(strstr(complaints.list[0].text, "is too long") != NULL);
}

static void a_pattern_in_a_path_is_doubted(void)
{
	doubtful(1, "nothing is expanded", "watch \"/home/*/Maildir\" { }");
	doubtful(1, "nothing is expanded", "watch \"/home/$USER\" { }");
}

/* ---- mistakes ---- */

static void the_engine_and_its_socket_are_checked(void)
{
	bad(2, "libclamav", "scanner {\n engine = kaspersky\n}\n");
	bad(2, "is relative", "scanner { engine = clamd\n clamd-socket = 'clamd.ctl' }\n");
	bad(1, "is too long",
	    "scanner { engine = clamd clamd-socket = '/a0123456789012345678901234567890123456789012345678901234567890"
	    "123456789012345678901234567890123456789012345678901' }\n");
	doubtful(2, "says nothing without engine = clamd",
		 "scanner {\n clamd-socket = /run/clamd.ctl }\nwatch /v { }\n");
	good("scanner { engine = clamd }\nwatch /v { }\n");
	CU_ASSERT_STRING_EQUAL(table.scanner.clamd_socket, "/run/clamav/clamd.ctl");
}

static void an_unknown_word_lists_the_words_known_there(void)
{
	bad(2,
	    "unknown word 'colour'; known here: allow-root-filesystem, on-stop, watch, scanner, mail-software, "
	    "attachments, notify",
	    "watch /v { }\ncolour = red\n");
	bad(2,
	    "unknown word 'on-virus' in a block watch; known here: store, mode, origin, exec, deadline, on-infected, "
	    "on-timeout, on-limit, on-encrypted, on-error, on-down, on-heuristic, on-macro, on-broken, on-phishing, "
	    "on-unwanted, on-type, marks",
	    "watch /v {\n on-virus = deny }\n");
	bad(3,
	    "known here: workers, max-file-size, max-scan-size, max-files, max-depth, scan-time, engine, clamd-socket",
	    "scanner {\n\n threads = 3\n}\n");
	bad(2, "known here: max-age, max-size", "quarantine {\n size = 3G }\n");
	bad(2, "known here: postmaster, owner, every, command", "notify {\n mailto = root }\n");
	bad(1, "known here: roots", "mail-software exim { root = \"/usr/sbin/exim4\" }\n");
	bad(1, "unknown word 'watches'", "watches \"/v\" { }");
	bad(2, "unknown word 'watch' in a block watch", "watch /v {\nwatch /w { }\n}\n");
	bad(1, "unknown word 'mode'", "mode = off\n");
}

static void a_word_in_the_wrong_place_is_refused(void)
{
	bad(1, "'watch' begins a block", "watch = \"/v\"\n");
	bad(1, "'scanner' begins a block", "scanner = 3\n");
	bad(2, "'mode' takes a value", "watch /v {\n mode { }\n}\n");
	bad(1, "there is no 'include'", "include = \"/etc/x\"\n");
	bad(1, "there is no 'include'", "include \"/etc/x\"\nwatch /v { }\n");
	bad(1, "there is no 'include'", "include(\"/etc/passwd\")\n");
	bad(1, "scanner has no title", "scanner x { }\n");
}

static void a_repeated_option_names_both_lines(void)
{
	bad(4, "'mode' is repeated (first in p.conf:2)", "watch /v {\n mode = off\n\n mode = enforce\n}\n");
	bad(1, "'mode' is repeated (first in p.conf:1)", "watch /v { mode = off mode = off }\n");
	bad(3, "'engine' is repeated (first in p.conf:2)", "scanner {\n engine = clamd\n engine = clamd\n}\n");
	bad(3, "'workers' is repeated (first in p.conf:2)", "scanner {\n workers = 2\n workers = 2\n}\n");
	bad(2, "'allow-root-filesystem' is repeated (first in p.conf:1)",
	    "allow-root-filesystem = yes\nallow-root-filesystem = no\n");
	bad(2, "the block scanner is repeated (first in p.conf:1)", "scanner { workers = 1 }\nscanner { }\n");
	bad(3, "'roots' is repeated (first in p.conf:2)",
	    "mail-software a {\n roots = { \"/a\" }\n roots = { \"/b\" }\n}\n");
	bad(2, "mail-software \"a\" is repeated (first in p.conf:1)",
	    "mail-software a { roots = { \"/a\" } }\nmail-software a { roots = { \"/b\" } }\n");
}

static void a_repeated_watch_names_both_lines(void)
{
	bad(5, "the watch \"/v\" is repeated (first in p.conf:2)", "\nwatch /v {\n mode = off\n}\nwatch /v { }\n");
	bad(2, "the watch \"/v\" is repeated (first in p.conf:1)", "watch /v { }\nwatch \"//v/\" { }\n");
	bad(1, "the watch \"/v\" is repeated (first in p.conf:1)", "watch /v { } watch /v { }\n");
}

static void a_list_where_one_value_belongs_is_refused(void)
{
	bad(1, "takes one value", "watch /v { mode = { off, enforce } }");
	bad(2, "has an empty list", "watch /v {\n mode = { } }");
	good("watch /v { mode = { off } }");
}

static void units_are_required(void)
{
	bad(1, "'5' is no value for deadline: write a whole number and its unit (ms s min h d), as in 5s",
	    "watch /v { deadline = 5 }");
	bad(1, "whole number and its unit", "watch /v { deadline = 5.5s }");
	bad(1, "whole number and its unit", "watch /v { deadline = -5s }");
	bad(1, "whole number and its unit", "watch /v { deadline = \"5 s\" }");
	bad(1, "whole number and its unit", "watch /v { deadline = 5S }");
	bad(1, "whole number and its unit", "watch /v { deadline = s }");
	bad(1, "whole number and its unit", "watch /v { deadline = 99999999999999999999s }");
	bad(1, "whole number and its unit", "watch /v { deadline = 0x5s }");
	bad(1, "(k M G), as in 100M", "scanner { max-file-size = 100 }");
	bad(1, "(k M G), as in 100M", "scanner { max-file-size = 100MB }");
	bad(1, "(k M G), as in 100M", "scanner { max-file-size = 100m }");
	bad(1, "without a unit, as in 4", "scanner { workers = 4k }");
	bad(1, "without a unit, as in 10000", "scanner { max-files = many }");
	bad(1, "without a unit", "scanner { max-files = \"\" }");
}

static void numbers_have_ranges(void)
{
	bad(1, "deadline = 99ms is out of range: use 100ms to 60s", "watch /v { deadline = 99ms }");
	bad(1, "out of range", "watch /v { deadline = 0s }");
	bad(1, "out of range", "watch /v { deadline = 60001ms }");
	bad(1, "out of range", "watch /v { deadline = 2min }");
	bad(1, "out of range", "watch /v { deadline = 99999999d }");
	good("watch /v { deadline = 100ms }");
	good("watch /v { deadline = 60s }");
	good("watch /v { deadline = 1min }");
	bad(1, "workers = 0 is out of range: use 1 to 64", "scanner { workers = 0 }");
	bad(1, "out of range", "scanner { workers = 65 }");
	bad(1, "out of range", "scanner { max-file-size = 2048M }");
	bad(1, "out of range", "scanner { max-scan-size = 17G }");
	bad(1, "out of range", "scanner { max-depth = 101 }");
	bad(1, "out of range", "scanner { scan-time = 0s }");
}

static void an_unknown_value_lists_those_that_are_known(void)
{
	bad(1, "'exim' is no value for store: use one of files, maildir, sdbox, mbox, mdbox, postfix-queue",
	    "watch /v { store = exim }");
	bad(1, "use one of off, observe, enforce", "watch /v { mode = on }");
	bad(1, "use one of off, observe, enforce", "watch /v { mode = Enforce }");
	bad(1, "use one of deny, quarantine, report", "watch /v { on-infected = allow }");
	bad(1, "use one of allow, deny", "watch /v { on-timeout = quarantine }");
	bad(1, "use one of allow, deny", "watch /v { on-down = report }");
	bad(1, "use one of none, cached", "watch /v { marks = all }");
	bad(1, "use one of no, yes", "allow-root-filesystem = true\n");
	bad(1, "use one of", "watch /v { mode = \"off \" }");
}

static void quarantine_is_taken_where_something_can_be_moved(void)
{
	static const char *const words[] = {"on-infected", "on-limit",    "on-encrypted", "on-error", "on-macro",
					    "on-broken",   "on-phishing", "on-unwanted",  "on-type",  "on-heuristic"};
	static const char *const stores[] = {"files", "maildir", "sdbox"};
	char text[128];

	for (size_t s = 0; s < 3; s++)
		for (size_t w = 0; w < sizeof(words) / sizeof(words[0]); w++) {
			unsigned moved = 0;
			snprintf(text, sizeof(text), "watch /v { store = %s %s = quarantine }", stores[s], words[w]);
			good(text);
			for (int i = 0; i < POLICY_CASES; i++) {
				const struct policy_action *action = &table.watches[0].actions[i];
				moved += !action->is_default && action->quarantine && action->answer == ANSWER_DENY;
			}
			CU_ASSERT_EQUAL(moved, w == 9 ? HEURISTICS : 1);
		}
}

static void a_word_of_one_heuristic_goes_before_the_word_of_all(void)
{
	answers_are("watch /v { on-heuristic = deny on-macro = report }", "ddddddrddddd");
	answers_are("watch /v { on-macro = quarantine on-heuristic = allow }", "ddddddqaaaaa");
	answers_are("watch /v { store = mbox on-heuristic = allow }", "raaaaaaaaaaa");
	good("watch /v {\n on-heuristic = deny\n on-type = report\n}");
	CU_ASSERT_EQUAL(table.watches[0].actions[CASE_OTHER].place.line, 2);
	CU_ASSERT_EQUAL(table.watches[0].actions[CASE_TYPE].place.line, 3);
	bad(1, "unknown word 'on-other'", "watch /v { on-other = deny }");
	bad(2, "'on-macro' is repeated (first in p.conf:1)", "watch /v { on-macro = deny\n on-macro = deny }");
	bad(1, "use one of allow, deny, report, quarantine", "watch /v { on-heuristic = block }");
}

#define SOFTWARE "mail-software a { roots = { \"/a\" } }\n"

static void origin_and_exec_are_taken_with_their_lines(void)
{
	good(SOFTWARE "watch /v {\n origin = mail\n exec = never\n}\nwatch /w {\n origin = any\n exec = scan\n}\n"
		      "watch /x { }\n");
	CU_ASSERT_EQUAL(table.watches[0].origin_mail, 1);
	CU_ASSERT_EQUAL(table.watches[0].origin_place.line, 3);
	CU_ASSERT_EQUAL(table.watches[0].exec_never, 1);
	CU_ASSERT_EQUAL(table.watches[0].exec_place.line, 4);
	CU_ASSERT_EQUAL(table.watches[1].origin_mail + table.watches[1].exec_never, 0);
	CU_ASSERT_EQUAL(table.watches[1].origin_place.line, 7);
	CU_ASSERT_EQUAL(table.watches[1].exec_place.line, 8);
	CU_ASSERT_EQUAL(table.watches[2].origin_mail + table.watches[2].exec_never, 0);
	CU_ASSERT_EQUAL(table.watches[2].origin_place.line, 10); /* the default: by the line of the watch */
	CU_ASSERT_EQUAL(table.watches[2].exec_place.line, 10);
	bad(1, "use one of any, mail", "watch /v { origin = postfix }");
	bad(1, "use one of scan, never", "watch /v { exec = always }");
	bad(3, "'exec' is repeated (first in p.conf:2)", "watch /v {\n exec = never\n exec = never\n}");
	bad(3, "'origin' is repeated (first in p.conf:2)", "watch /v {\n origin = any\n origin = any\n}");
}

static void origin_mail_without_mail_software_is_refused(void)
{
	struct policy_source sources[] = {{.name = "p.conf", .text = "watch /v {\n origin = mail\n}\n"},
					  {.name = "q.conf", .text = SOFTWARE}};

	bad(2, "origin = mail guards nothing: no mail software is named", sources[0].text);
	for (size_t i = 0; i < 2; i++)
		sources[i].size = strlen(sources[i].text);
	memset(&complaints, 0, sizeof(complaints));
	CU_ASSERT_TRUE(policy_parse(&table, sources, 2, 2, 64 * GB, &complaints)); /* it stands in a drop-in */
	CU_ASSERT_EQUAL(complaints.count, 0);
}

static void exec_never_is_refused_where_nothing_is_ever_denied(void)
{
	static const char *const never[] = {"mbox", "mdbox", "postfix-queue"};
	static const char *const held[] = {"files", "maildir", "sdbox"};
	char text[128];

	for (size_t i = 0; i < 3; i++) {
		snprintf(text, sizeof(text), "watch /v {\n exec = never\n store = %s\n}", never[i]);
		bad(2, "exec = never cannot be kept in store = ", text);
		snprintf(text, sizeof(text), "watch /v {\n exec = scan\n store = %s\n}", never[i]);
		good(text);
		snprintf(text, sizeof(text), "watch /v {\n exec = never\n store = %s\n}", held[i]);
		good(text);
	}
}

static void kinds_of_attachments_are_taken_from_one_block(void)
{
	good("watch /v { }\n");
	CU_ASSERT_EQUAL(table.scanner.deny_types, 0);
	good("watch /v { }\nattachments { }\n");
	CU_ASSERT_EQUAL(table.scanner.deny_types, 0);
	good("attachments { deny-types = { executable, script, shortcut, disk-image, macro-document } }\nwatch /v { "
	     "}\n");
	CU_ASSERT_EQUAL(table.scanner.deny_types, (1u << DENY_TYPES) - 1);
	good("attachments { deny-types = shortcut }\nwatch /v { }\n");
	CU_ASSERT_EQUAL(table.scanner.deny_types, 1u << TYPE_SHORTCUT);
	bad(2, "'exe' is no value for deny-types: use some of executable, script, shortcut, disk-image, macro-document",
	    "attachments {\n deny-types = { script, exe } }\n");
	bad(2, "names script twice", "attachments {\n deny-types = { script, script } }\n");
	bad(3, "'deny-types' is repeated (first in p.conf:2)",
	    "attachments {\n deny-types = { script }\n deny-types = { shortcut }\n}\n");
	bad(2, "the block attachments is repeated (first in p.conf:1)", "attachments { }\nattachments { }\n");
	bad(1, "empty list", "attachments { deny-types = { } }\n");
	bad(1, "known here: deny-types", "attachments { allow-types = { script } }\n");
	bad(1, "attachments has no title", "attachments x { }\n");
}

static void the_quarantine_is_bounded(void)
{
	good("watch /v { }\n");
	CU_ASSERT_EQUAL(table.quarantine.max_age_ns, 90 * 86400ull * 1000000000);
	CU_ASSERT_EQUAL(table.quarantine.max_size, 10ull << 30);
	good("quarantine { max-age = 30d\n max-size = 300M }\nwatch /v { }\n");
	CU_ASSERT_EQUAL(table.quarantine.max_age_ns, 30 * 86400ull * 1000000000);
	CU_ASSERT_EQUAL(table.quarantine.max_size, 300ull << 20);
	CU_ASSERT_EQUAL(table.quarantine.place.line, 1);
	bad(1, "max-age", "quarantine { max-age = 23h }\n");
	bad(1, "max-age", "quarantine { max-age = 4000d }\n");
	bad(1, "max-size", "quarantine { max-size = 1k }\n");
	bad(1, "max-size", "quarantine { max-size = 10 }\n");
	bad(3, "'max-size' is repeated (first in p.conf:2)", "quarantine {\n max-size = 1G\n max-size = 2G\n}\n");
	bad(2, "the block quarantine is repeated (first in p.conf:1)", "quarantine { }\nquarantine { }\n");
	bad(1, "quarantine has no title", "quarantine x { }\n");
}

static void who_is_told_is_said_in_one_block(void)
{
	good("watch /v { }\n");
	CU_ASSERT_EQUAL(table.notify.on, 0);
	good("watch /v { }\nnotify { }\n");
	CU_ASSERT_EQUAL(table.notify.on, 1);
	CU_ASSERT_EQUAL(table.notify.owner, 0);
	CU_ASSERT_EQUAL(table.notify.every_s, 3600);
	CU_ASSERT_STRING_EQUAL(table.notify.postmaster, "postmaster");
	CU_ASSERT_STRING_EQUAL(table.notify.command, "/usr/sbin/sendmail");
	good("notify {\n postmaster = \"mail-team@example.org\"\n owner = yes\n every = 15min\n"
	     " command = \"/usr/lib/sendmail\"\n}\nwatch /v { }\n");
	CU_ASSERT_EQUAL(table.notify.owner, 1);
	CU_ASSERT_EQUAL(table.notify.every_s, 900);
	CU_ASSERT_STRING_EQUAL(table.notify.postmaster, "mail-team@example.org");
	CU_ASSERT_STRING_EQUAL(table.notify.command, "/usr/lib/sendmail");
	bad(2, "takes one address", "notify {\n postmaster = \"-oQ/tmp\"\n}\n");
	bad(2, "takes one address", "notify {\n postmaster = \"a b\"\n}\n");
	bad(2, "takes one address", "notify {\n postmaster = \"\"\n}\n");
	bad(2, "is relative", "notify {\n command = \"sendmail\"\n}\n");
	bad(2, "1s", "notify {\n every = 10ms\n}\n");
	bad(2, "yes", "notify {\n owner = maybe\n}\n");
	bad(3, "'every' is repeated", "notify {\n every = 1h\n every = 2h\n}\n");
	bad(2, "the block notify is repeated (first in p.conf:1)", "notify { }\nnotify { }\n");
	bad(1, "notify has no title", "notify x { }\n");
}

static void a_stop_holds_unless_the_policy_says_release(void)
{
	struct policy_source sources[] = {{.name = "p.conf", .text = "watch /v { }\non-stop = release\n"},
					  {.name = "q.conf", .text = "\non-stop = hold\n"}};

	good("watch /v { }\n");
	CU_ASSERT_EQUAL(table.release_on_stop, 0);
	good("on-stop = hold\nwatch /v { }\n");
	CU_ASSERT_EQUAL(table.release_on_stop, 0);
	good("watch /v { }\non-stop = release\n");
	CU_ASSERT_EQUAL(table.release_on_stop, 1);
	bad(1, "use one of hold, release", "on-stop = detach\n");
	bad(1, "unknown word 'on-stop'", "watch /v { on-stop = hold }\n");
	for (size_t i = 0; i < 2; i++)
		sources[i].size = strlen(sources[i].text);
	memset(&complaints, 0, sizeof(complaints));
	CU_ASSERT_FALSE(policy_parse(&table, sources, 2, 2, 64 * GB, &complaints));
	CU_ASSERT_STRING_EQUAL(complaints.list[0].text,
			       "q.conf:2: 'on-stop' is repeated (first in p.conf:2): keep one of the two lines");
}

static void a_sweep_is_made_each_day_unless_the_policy_says_otherwise(void)
{
	struct policy_source sources[] = {{.name = "p.conf", .text = "watch /v { }\nschedule { }\n"},
					  {.name = "q.conf", .text = "\nschedule { sweep = never }\n"}};

	good("watch /v { }\n");
	CU_ASSERT_EQUAL(table.schedule.sweep, SCHEDULE_DEFAULT);
	CU_ASSERT_EQUAL(table.schedule.minute, 180);
	CU_ASSERT_EQUAL(table.schedule.place.line, 0);
	good("watch /v { }\nschedule { sweep = \"23:59\"\n paths = { \"/srv\", /opt/ } }\n");
	CU_ASSERT_EQUAL(table.schedule.sweep, SCHEDULE_AT);
	CU_ASSERT_EQUAL(table.schedule.minute, 23 * 60 + 59);
	CU_ASSERT_EQUAL(table.schedule.place.line, 2);
	CU_ASSERT_EQUAL(table.schedule.path_count, 2);
	CU_ASSERT_STRING_EQUAL(table.schedule.paths[1], "/opt");
	doubtful(2, "never looked at again", "watch /v { }\nschedule { sweep = never }\n");
	CU_ASSERT_EQUAL(table.schedule.sweep, SCHEDULE_NEVER);
	bad(1, "write a local time of 24 hours", "schedule { sweep = \"24:00\" }\n");
	bad(1, "write a local time of 24 hours", "schedule { sweep = \"3:00\" }\n");
	bad(1, "write a local time of 24 hours", "schedule { sweep = \"03:60\" }\n");
	bad(1, "write a local time of 24 hours", "schedule { sweep = daily }\n");
	bad(2, "'sweep' is repeated (first in p.conf:1)", "schedule { sweep = \"03:00\"\nsweep = \"04:00\" }\n");
	bad(2, "'paths' is repeated (first in p.conf:1)", "schedule { paths = { /a }\npaths = { /b } }\n");
	bad(1, "is relative", "schedule { paths = { srv } }\n");
	bad(1, "known here: sweep, paths", "schedule { time = \"03:00\" }\n");
	bad(1, "schedule has no title", "schedule x { }\n");
	for (size_t i = 0; i < 2; i++)
		sources[i].size = strlen(sources[i].text);
	memset(&complaints, 0, sizeof(complaints));
	CU_ASSERT_FALSE(policy_parse(&table, sources, 2, 2, 64 * GB, &complaints));
	CU_ASSERT_PTR_NOT_NULL(strstr(complaints.list[0].text, "the block schedule is repeated (first in p.conf:2)"));
}

static void definitions_may_be_a_week_old_unless_the_policy_says_otherwise(void)
{
	struct policy_source sources[] = {{.name = "p.conf", .text = "watch /v { }\nmax-definitions-age = 2d\n"},
					  {.name = "q.conf", .text = "\nmax-definitions-age = 3d\n"}};

	good("watch /v { }\n");
	CU_ASSERT_EQUAL(table.max_definitions_age_s, 7 * 86400);
	good("max-definitions-age = 36h\nwatch /v { }\n");
	CU_ASSERT_EQUAL(table.max_definitions_age_s, 36 * 3600);
	bad(1, "out of range: use 1h to 3650d", "max-definitions-age = 59min\n");
	bad(1, "write a whole number and its unit", "max-definitions-age = 7\n");
	bad(1, "unknown word 'max-definitions-age'", "watch /v { max-definitions-age = 7d }\n");
	for (size_t i = 0; i < 2; i++)
		sources[i].size = strlen(sources[i].text);
	memset(&complaints, 0, sizeof(complaints));
	CU_ASSERT_FALSE(policy_parse(&table, sources, 2, 2, 64 * GB, &complaints));
	CU_ASSERT_STRING_EQUAL(
		complaints.list[0].text,
		"q.conf:2: 'max-definitions-age' is repeated (first in p.conf:2): keep one of the two lines");
}

static void a_watch_says_what_new_definitions_mean(void)
{
	good("watch /v { }\n");
	CU_ASSERT_EQUAL(table.watches[0].recheck, RECHECK_ON_OPEN);
	good("watch /v {\n recheck = background }\n");
	CU_ASSERT_EQUAL(table.watches[0].recheck, RECHECK_BACKGROUND);
	CU_ASSERT_EQUAL(table.watches[0].recheck_place.line, 2);
	doubtful(2, "what was clean stays clean", "watch /v {\n recheck = never }\n");
	CU_ASSERT_EQUAL(table.watches[0].recheck, RECHECK_NEVER);
	bad(2, "use one of on-open, background, never", "watch /v {\n recheck = daily }\n");
	bad(3, "'recheck' is repeated", "watch /v {\n recheck = never\n recheck = on-open }\n");
}

static void a_promise_that_a_store_cannot_keep_is_refused(void)
{
	static const char *const stores[] = {"mbox", "mdbox", "postfix-queue"};
	static const char *const words[] = {"on-infected", "on-timeout", "on-limit",     "on-encrypted",
					    "on-error",    "on-down",    "on-heuristic", "on-type"};
	char text[256], expected[256];

	for (size_t s = 0; s < 3; s++)
		for (size_t w = 0; w < 8; w++) {
			snprintf(text, sizeof(text), "watch /v {\n store = %s\n %s = deny\n}\n", stores[s], words[w]);
			snprintf(expected, sizeof(expected), "%s = deny cannot be kept in store = %s", words[w],
				 stores[s]);
			bad(3, expected, text);
			/* wherever the store is named */
			snprintf(text, sizeof(text), "watch /v {\n %s = deny\n store = %s\n}\n", words[w], stores[s]);
			bad(2, expected, text);
			snprintf(text, sizeof(text), "watch /v { store = %s %s = %s }", stores[s], words[w],
				 w ? "allow" : "report");
			good(text);
		}
	bad(1, "cannot be kept", "watch /v { store = mbox on-infected = quarantine }");
	bad(1, "use quarantine (which denies nobody) or report",
	    "watch /v { store = postfix-queue on-infected = deny }");
	bad(1, "use allow", "watch /v { store = postfix-queue on-limit = quarantine }");
	good("watch /v { store = postfix-queue deadline = 2s on-infected = quarantine }");
	doubtful(1, "a deadline has no effect here", "watch /v { store = mbox deadline = 5s }");
}

static void a_lasting_deny_in_maildir_is_doubted(void)
{
	doubtful(2, "on-error = deny in store = maildir", "watch /v { store = maildir\n on-error = deny }");
	doubtful(1, "on-limit = deny in store = maildir", "watch /v { store = maildir on-limit = deny }");
	doubtful(1, "on-encrypted = deny in store = sdbox", "watch /v { store = sdbox on-encrypted = deny }");
	doubtful(1, "on-heuristic = deny in store = maildir", "watch /v { store = maildir on-heuristic = deny }");
	doubtful(1, "use quarantine, or report", "watch /v { store = sdbox on-type = deny }");
	good("watch /v { store = maildir on-timeout = deny on-down = deny on-infected = deny }");
	good("watch /v { store = files on-error = deny on-limit = deny on-encrypted = deny }");
}

static void memory_bounds_the_workers(void)
{
	struct policy_source source = {.name = "p.conf", .text = "watch /v { }\nscanner {\nworkers = 8\n}\n"};

	source.size = strlen(source.text);
	memset(&complaints, 0, sizeof(complaints));
	CU_ASSERT_FALSE(policy_parse(&table, &source, 1, 2, 3 * GB, &complaints));
	CU_ASSERT_TRUE(strstr(complaints.list[0].text, "p.conf:3: scanner: 8 workers x max-scan-size 200M is more than "
						       "half of the memory (3072M): lower workers") != NULL);
	memset(&complaints, 0, sizeof(complaints));
	CU_ASSERT_TRUE(policy_parse(&table, &source, 1, 2, 3200ull << 20, &complaints));
	CU_ASSERT_TRUE(policy_parse(&table, &source, 1, 2, 0, &complaints)); /* not known */
	CU_ASSERT_EQUAL(complaints.count, 0);
	doubtful(2, "max-scan-size is below max-file-size", "watch /v { }\nscanner { max-scan-size = 50M }\n");
}

static void broken_syntax_is_refused_with_its_line(void)
{
	bad(3, "block that begins in line 1: a closing brace is missing", "watch /v {\n mode = off\n");
	bad(2, "a closing brace too many", "watch /v { }\n}\n");
	bad(1, "is not closed on its line: a \" is missing", "watch \"/v { }\n");
	bad(1, "is not closed on its line: a ' is missing", "watch '/v { }\n");
	bad(2, "'mode' needs an equal sign before its value", "watch /v {\n mode off\n deadline = 5s }\n");
	bad(2, "'mode' needs an equal sign", "watch /v {\n mode off }\n");
	bad(2, "'mode' has no value", "watch /v {\n mode = }\n");
	bad(1, "the file ends after 'mode'", "mode");
	bad(1, "the file ends after 'mode'", "mode =");
	bad(1, "the file ends within the statement 'watch'", "watch /v");
	bad(1, "no semicolons", "watch /v { mode = off; }\n");
	bad(1, "carriage return", "watch /v { }\r\n");
	bad(1, "byte order mark", "\xef\xbb\xbfwatch /v { }\n");
	bad(1, "straight quotes", "watch \xe2\x80\x9c/v\xe2\x80\x9d { }\n");
	bad(1, "a comment begins with #", "// watch\n");
	bad(1, "a comment begins with #", "/* watch */\n");
	bad(1, "stray character '$'", "watch ${HOME} { }\n");
	bad(1, "stray character '\\x5c'", "watch \\x { }\n");
	bad(1, "an equal sign belongs", "= off\n");
	bad(1, "an equal sign belongs", "watch /v { mode == off }\n");
	bad(1, "stray character '+'", "watch /v { mode += off }\n");
	bad(1, "a comma stands between", "watch /v { mode = off, }\n");
	bad(1, "a comma is missing", "mail-software a { roots = { \"/a\" \"/b\" } }\n");
	bad(1, "an opening brace without a word", "{ }\n");
	bad(1, "not with the string", "\"watch\" /v { }\n");
	bad(1, "not with 'Watch'", "Watch /v { }\n");
	bad(1, "not nested that deeply", "a { b { c { d { e { } } } } }\n");
	bad(1, "control character", "watch /v { mode = o\bff }\n");
}

static void a_zero_byte_anywhere_is_refused(void)
{
	static const char in_word[] = "watch /v { mo\0de = off }", in_string[] = "watch \"/v\0w\" { }",
			  in_comment[] = "# a\0b\nwatch /v { }";

	CU_ASSERT_FALSE(parse_sized(in_word, sizeof(in_word) - 1));
	CU_ASSERT_TRUE(strstr(complaints.list[0].text, "zero byte") != NULL);
	CU_ASSERT_FALSE(parse_sized(in_string, sizeof(in_string) - 1));
	CU_ASSERT_FALSE(parse_sized(in_comment, sizeof(in_comment) - 1));
	CU_ASSERT_TRUE(strstr(complaints.list[0].text, "zero byte") != NULL);
}

static void mail_software_needs_a_name_and_absolute_roots(void)
{
	bad(1, "has no roots", "mail-software a { }");
	bad(1, "has no roots", "mail-software a { roots = { } }");
	bad(1, "needs a name", "mail-software { roots = { \"/a\" } }");
	bad(1, "needs a name", "mail-software \"A b\" { roots = { \"/a\" } }");
	bad(1, "is relative", "mail-software a { roots = { \"master\" } }");
	bad(1, "the path of a root", "mail-software a { roots = { \"/usr/../bin/sh\" } }");
}

static void counts_have_limits(void)
{
	static char text[65536];
	size_t used = 0;

	for (int i = 0; i < WATCHES_MAX; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "watch /v/%d { }\n", i);
	good(text);
	CU_ASSERT_EQUAL(table.watch_count, WATCHES_MAX);
	snprintf(text + used, sizeof(text) - used, "watch /one/more { }\nwatch /two/more { }\n");
	bad(WATCHES_MAX + 1, "too many watches: 64 is the limit", text);
	CU_ASSERT_EQUAL(complaints.errors, 1);

	used = (size_t)snprintf(text, sizeof(text), "mail-software a { roots = { ");
	for (int i = 0; i <= MAIL_ROOTS_MAX; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "\"/r%d\", ", i);
	snprintf(text + used, sizeof(text) - used, "} }\n");
	bad(1, "too many roots: 16 is the limit", text);

	used = 0;
	for (int i = 0; i <= MAIL_SOFTWARE_MAX; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "mail-software m%d { roots = { \"/a\" } }\n",
					 i);
	bad(MAIL_SOFTWARE_MAX + 1, "too many blocks mail-software", text);
}

static void every_wrong_value_is_told_at_once(void)
{
	CU_ASSERT_FALSE(parse("watch /v {\n store = x\n mode = y\n deadline = z\n}\nwatch w { }\n"));
	CU_ASSERT_EQUAL(complaints.errors, 4);
	CU_ASSERT_EQUAL(complaints.count, 4);
}

static void more_complaints_than_there_is_room_for_are_counted(void)
{
	static char text[65536];
	size_t used = 0;

	for (int i = 0; i < 40; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "watch \"/v*%d\" { }\n", i);
	CU_ASSERT_TRUE(parse(text)); /* 40 warnings */
	CU_ASSERT_EQUAL(complaints.count, COMPLAINTS_MAX);
	snprintf(text + used, sizeof(text) - used, "watch relative { }\n");
	CU_ASSERT_FALSE(parse(text));
	CU_ASSERT_EQUAL(complaints.errors, 1);
	CU_ASSERT_EQUAL(complaints.count, COMPLAINTS_MAX);
	CU_ASSERT_TRUE(strstr(complaints.list[COMPLAINTS_MAX - 1].text, "is relative") != NULL);
}

static void a_policy_without_a_watch_is_doubted(void)
{
	doubtful(1, "nothing is guarded", "");
	doubtful(1, "nothing is guarded", "# nothing\n");
}

/* ---- several files ---- */

static void drop_ins_join_the_file_and_repeats_name_both_files(void)
{
	static const struct policy_source sources[] = {
		{"main.conf", "watch /v {\n}\nscanner { }\n", 25},
		{"a.conf", "watch /w { mode = off }\n", 24},
		{"b.conf", "\n\nwatch /v { }\nscanner { }\nallow-root-filesystem = yes\n", 54},
	};

	memset(&complaints, 0, sizeof(complaints));
	CU_ASSERT_TRUE(policy_parse(&table, sources, 2, 2, 64 * GB, &complaints));
	CU_ASSERT_EQUAL(table.watch_count, 2);
	CU_ASSERT_EQUAL(table.watches[1].place.file, 1);
	CU_ASSERT_STRING_EQUAL(table.files[1], "a.conf");
	CU_ASSERT_TRUE(policy_is_sound(&table));
	CU_ASSERT_FALSE(policy_parse(&table, sources, 3, 2, 64 * GB, &complaints));
	CU_ASSERT_EQUAL(complaints.count, 2);
	CU_ASSERT_TRUE(strstr(complaints.list[0].text,
			      "b.conf:4: the block scanner is repeated (first in main.conf:3)") != NULL);
	CU_ASSERT_TRUE(strstr(complaints.list[1].text,
			      "b.conf:3: the watch \"/v\" is repeated (first in main.conf:1)") != NULL);
}

static void one_broken_file_does_not_hide_the_mistakes_of_the_next(void)
{
	static const struct policy_source sources[] = {{"a.conf", "watch {", 7}, {"b.conf", "colour = red", 12}};

	memset(&complaints, 0, sizeof(complaints));
	CU_ASSERT_FALSE(policy_parse(&table, sources, 2, 2, 64 * GB, &complaints));
	CU_ASSERT_EQUAL(complaints.errors, 2);
	CU_ASSERT_TRUE(strncmp(complaints.list[1].text, "b.conf:1: unknown word 'colour'", 31) == 0);
}

static void a_long_file_name_keeps_its_end(void)
{
	char name[600] = "/";
	struct policy_source source = {.name = name, .text = "watch x { }", .size = 11};

	memset(name + 1, 'd', 500);
	strcpy(name + 500, "/end.conf");
	memset(&complaints, 0, sizeof(complaints));
	CU_ASSERT_FALSE(policy_parse(&table, &source, 1, 2, 64 * GB, &complaints));
	CU_ASSERT_TRUE(strstr(complaints.list[0].text, "/end.conf:1: ") != NULL);
}

static void a_hostile_name_forges_nothing_in_a_complaint(void)
{
	complain(&complaints, false, "a\nb", 1, "x\033[2Jy\xff%s", "\n");
	CU_ASSERT_TRUE(strchr(complaints.list[complaints.count - 1].text, '\n') == NULL);
	CU_ASSERT_TRUE(strchr(complaints.list[complaints.count - 1].text, '\033') == NULL);
}

static void tagged_strings_read_back(void)
{
	struct policy_word word = policy_word_of("12.7:3.4:x");

	CU_ASSERT_EQUAL(word.line, 12);
	CU_ASSERT_EQUAL(word.assignment, 7);
	CU_ASSERT_STRING_EQUAL(word.text, "3.4:x");
}

int main(void)
{
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("policy_text", NULL, NULL);
	CU_ADD_TEST(suite, a_watch_with_nothing_but_a_path_is_strict);
	CU_ADD_TEST(suite, each_store_has_its_own_defaults);
	CU_ADD_TEST(suite, every_word_is_taken_with_its_line);
	CU_ADD_TEST(suite, several_words_may_stand_in_one_line_with_comments);
	CU_ADD_TEST(suite, workers_follow_the_processors_and_have_bounds);
	CU_ADD_TEST(suite, nothing_is_expanded_inside_a_path);
	CU_ADD_TEST(suite, paths_are_normalised);
	CU_ADD_TEST(suite, a_wrong_path_is_refused_with_its_line);
	CU_ADD_TEST(suite, a_path_may_be_as_long_as_linux_takes_it);
	CU_ADD_TEST(suite, a_pattern_in_a_path_is_doubted);
	CU_ADD_TEST(suite, the_engine_and_its_socket_are_checked);
	CU_ADD_TEST(suite, an_unknown_word_lists_the_words_known_there);
	CU_ADD_TEST(suite, a_word_in_the_wrong_place_is_refused);
	CU_ADD_TEST(suite, a_repeated_option_names_both_lines);
	CU_ADD_TEST(suite, a_repeated_watch_names_both_lines);
	CU_ADD_TEST(suite, a_list_where_one_value_belongs_is_refused);
	CU_ADD_TEST(suite, units_are_required);
	CU_ADD_TEST(suite, numbers_have_ranges);
	CU_ADD_TEST(suite, an_unknown_value_lists_those_that_are_known);
	CU_ADD_TEST(suite, quarantine_is_taken_where_something_can_be_moved);
	CU_ADD_TEST(suite, a_word_of_one_heuristic_goes_before_the_word_of_all);
	CU_ADD_TEST(suite, origin_and_exec_are_taken_with_their_lines);
	CU_ADD_TEST(suite, origin_mail_without_mail_software_is_refused);
	CU_ADD_TEST(suite, exec_never_is_refused_where_nothing_is_ever_denied);
	CU_ADD_TEST(suite, kinds_of_attachments_are_taken_from_one_block);
	CU_ADD_TEST(suite, who_is_told_is_said_in_one_block);
	CU_ADD_TEST(suite, a_stop_holds_unless_the_policy_says_release);
	CU_ADD_TEST(suite, the_quarantine_is_bounded);
	CU_ADD_TEST(suite, a_sweep_is_made_each_day_unless_the_policy_says_otherwise);
	CU_ADD_TEST(suite, definitions_may_be_a_week_old_unless_the_policy_says_otherwise);
	CU_ADD_TEST(suite, a_watch_says_what_new_definitions_mean);
	CU_ADD_TEST(suite, a_promise_that_a_store_cannot_keep_is_refused);
	CU_ADD_TEST(suite, a_lasting_deny_in_maildir_is_doubted);
	CU_ADD_TEST(suite, memory_bounds_the_workers);
	CU_ADD_TEST(suite, broken_syntax_is_refused_with_its_line);
	CU_ADD_TEST(suite, a_zero_byte_anywhere_is_refused);
	CU_ADD_TEST(suite, mail_software_needs_a_name_and_absolute_roots);
	CU_ADD_TEST(suite, counts_have_limits);
	CU_ADD_TEST(suite, every_wrong_value_is_told_at_once);
	CU_ADD_TEST(suite, more_complaints_than_there_is_room_for_are_counted);
	CU_ADD_TEST(suite, a_policy_without_a_watch_is_doubted);
	CU_ADD_TEST(suite, drop_ins_join_the_file_and_repeats_name_both_files);
	CU_ADD_TEST(suite, one_broken_file_does_not_hide_the_mistakes_of_the_next);
	CU_ADD_TEST(suite, a_long_file_name_keeps_its_end);
	CU_ADD_TEST(suite, a_hostile_name_forges_nothing_in_a_complaint);
	CU_ADD_TEST(suite, tagged_strings_read_back);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	unsigned failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
