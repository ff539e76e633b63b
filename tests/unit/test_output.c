// SPDX-License-Identifier: GPL-2.0-only
// objects: tools/output.c tools/since.c
// libs: jansson
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "output.h"
#include "record.h"
#include "since.h"

#define SECOND 1000000000LL

/* Everything that has ever been used to forge a line, a column or a colour, each as bytes. */
static const char *const hostile[] = {
	"new\nline",
	"carriage\rreturn",
	"escape\033[2Jsequence",
	"bell\a",
	"c1 \xc2\x9b"
	"31m",
	"raw c1 \x9b"
	"31m",
	"bidi \xe2\x80\xae override",
	"isolate \xe2\x81\xa6 x",
	"line separator \xe2\x80\xa8 x",
	"invalid \xff\xfe",
	"overlong \xc0\xaf",
	"surrogate \xed\xa0\x80",
	"cut \xe2\x82",
	"tab\there",
	"del\x7f",
};
#define HOSTILE (sizeof(hostile) / sizeof(hostile[0]))

static struct row_frame *sample(void)
{
	static struct row_frame row;

	memset(&row, 0, sizeof(row));
	row = (struct row_frame){.version = WIRE_VERSION,
				 .kind = ROW_RECORD,
				 .time_ns = 1788257472LL * SECOND + 345000000,
				 .count = 3,
				 .wait_ns = 41000000,
				 .answer = ANSWER_DENY,
				 .pid = 4711,
				 .uid = 1000,
				 .phase = PHASE_SCAN,
				 .verdict = {.kind = VERDICT_INFECTED, .signature = "Mailward.Test.Eicar"},
				 .user = "alice",
				 .watch = "/var/vmail",
				 .policy = "mailward.conf:12",
				 .queue_id = "4Xyz",
				 .message_id = "a@b"};
	row.exe_size = (uint32_t)strlen(strcpy(row.exe, "/usr/bin/cat"));
	row.path_size = (uint32_t)strlen(strcpy(row.path, "/var/vmail/a/new/1"));
	return &row;
}

/* The line of a row, for a terminal of that width or a file (0). Freed by the next call. */
static char *line_of(const struct row_frame *row, unsigned width, bool colours)
{
	static char *text;
	size_t size;
	FILE *out;

	free(text);
	out = open_memstream(&text, &size);
	print_row(out, row, width, colours);
	fclose(out);
	return text;
}

static char *json_line_of(const struct row_frame *row)
{
	static char *text;
	size_t size;
	FILE *out;

	free(text);
	out = open_memstream(&text, &size);
	print_json(out, row_to_json(row));
	fclose(out);
	return text;
}

/* One line, no control character but its end, valid UTF-8 without anything that turns text. */
static bool is_one_harmless_line(const char *text)
{
	size_t size = strlen(text);

	return size > 0 && text[size - 1] == '\n' && text_is_plain(text, size - 1);
}

static unsigned words(const char *text)
{
	unsigned count = 0;

	for (; *text; text++)
		count += *text != ' ' && *text != '\n' && (text[1] == ' ' || text[1] == '\n');
	return count;
}

static void hostile_bytes_in_any_text_leave_one_harmless_line(void)
{
	for (size_t i = 0; i < HOSTILE; i++) {
		size_t size = strlen(hostile[i]);
		struct row_frame *row = sample();
		memcpy(row->path, hostile[i], size);
		row->path_size = (uint32_t)size;
		memcpy(row->exe, hostile[i], size);
		row->exe_size = (uint32_t)size;
		strcpy(row->user, hostile[i]);
		strcpy(row->watch, hostile[i]);
		strcpy(row->policy, hostile[i]);
		strcpy(row->queue_id, hostile[i]);
		strcpy(row->message_id, hostile[i]);
		strcpy(row->verdict.signature, hostile[i]);
		CU_ASSERT_FALSE(text_is_plain(hostile[i], size));
		for (unsigned width = 0; width <= 200; width += 40)
			CU_ASSERT_TRUE(is_one_harmless_line(line_of(row, width, false)));
		CU_ASSERT_TRUE(is_one_harmless_line(json_line_of(row)));
	}
}

static void spaces_in_a_program_a_user_or_a_signature_forge_no_column(void)
{
	struct row_frame *row = sample();
	unsigned before = words(line_of(row, 0, false));

	row->exe_size = (uint32_t)strlen(strcpy(row->exe, "/tmp/x  1ms 1 mailward.conf:1 /etc/passwd"));
	strcpy(row->user, "root /bin/sh");
	strcpy(row->verdict.signature, "None clean \xc2\xa0 x");
	CU_ASSERT_EQUAL(words(line_of(row, 0, false)), before);
	CU_ASSERT_PTR_NOT_NULL(strstr(line_of(row, 0, false), "infected:None\\x20clean\\x20\\xc2\\xa0\\x20x"));
}

static void a_row_in_json_has_every_field_of_the_manual_and_no_other(void)
{
	static const char *const names[] = {"time",       "access",   "answer",    "verdict", "signature", "reason",
					    "watch",      "policy",   "pid",       "uid",     "user",      "exe",
					    "path",       "path_hex", "wait_ms",   "count",   "phase",     "queue_id",
					    "message_id", "detail",   "heuristics"};
	json_t *json = row_to_json(sample());

	CU_ASSERT_EQUAL(json_object_size(json), sizeof(names) / sizeof(names[0]));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		CU_ASSERT_PTR_NOT_NULL(json_object_get(json, names[i]));
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "time")), "2026-09-01T10:11:12.345Z");
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "answer")), "deny");
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "path")), "/var/vmail/a/new/1");
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "path_hex")), "");
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(json, "wait_ms")), 41);
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(json, "count")), 3);
	json_decref(json);
}

static void a_path_that_is_not_plain_is_escaped_and_given_whole_as_hex(void)
{
	struct row_frame *row = sample();
	json_t *json;

	memcpy(row->path, "/a\n\xff\\", 5);
	row->path_size = 5;
	json = row_to_json(row);
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "path")), "/a\\x0a\\xff\\x5c");
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "path_hex")), "2f610aff5c");
	json_decref(json);
}

static void a_path_in_plain_utf8_is_literal_even_with_a_backslash(void)
{
	struct row_frame *row = sample();
	json_t *json;

	row->path_size = (uint32_t)strlen(strcpy(row->path, "/Größe/日本\\x0a/\"q\""));
	json = row_to_json(row);
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "path")), "/Größe/日本\\x0a/\"q\"");
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "path_hex")), "");
	json_decref(json);
}

static void long_plain_text_stays_plain_wherever_its_characters_fall(void)
{
	char text[2048];

	for (unsigned shift = 0; shift < 8; shift++) {
		size_t size = shift;
		memset(text, 'x', sizeof(text));
		while (size + 3 < sizeof(text)) {
			memcpy(text + size, "\xe2\x82\xac", 3);
			size += 3;
		}
		CU_ASSERT_TRUE(text_is_plain(text, size));
		text[size - 1] = (char)0xff;
		CU_ASSERT_FALSE(text_is_plain(text, size));
	}
}

static void a_line_fits_the_terminal_and_a_file_gets_everything(void)
{
	struct row_frame *row = sample();
	const char *line;

	memset(row->path, 'a', 500);
	row->path[0] = '/';
	row->path_size = 500;
	for (unsigned width = 80; width <= 200; width += 10) {
		unsigned characters = 0;
		for (line = line_of(row, width, false); *line; line++)
			characters += ((unsigned char)*line & 0xc0) != 0x80;
		CU_ASSERT_TRUE(characters <= width + 1);
	}
	line = line_of(row, 0, false);
	CU_ASSERT_PTR_NOT_NULL(memmem(line, strlen(line), row->path, 500));
}

static void there_are_colours_only_where_they_are_asked_for(void)
{
	CU_ASSERT_PTR_NULL(strchr(line_of(sample(), 200, false), '\033'));
	CU_ASSERT_PTR_NOT_NULL(strchr(line_of(sample(), 200, true), '\033'));
	CU_ASSERT_FALSE(colours_are_on()); /* the output of a test is no terminal, or TERM is not set */
}

static void a_gap_says_how_many_records_were_lost(void)
{
	struct row_frame *row = sample();
	json_t *json;

	row->kind = ROW_GAP;
	row->count = 77;
	CU_ASSERT_PTR_NOT_NULL(strstr(line_of(row, 0, false), "77 records lost"));
	json = row_to_json(row);
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "phase")), "lost");
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(json, "count")), 77);
	json_decref(json);
}

static void would_deny_is_told_apart_from_deny(void)
{
	struct row_frame *row = sample();
	json_t *json;

	row->would = 1;
	json = row_to_json(row);
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "answer")), "would-deny");
	CU_ASSERT_PTR_NOT_NULL(strstr(line_of(row, 0, false), "would-deny"));
	json_decref(json);
}

static void what_nobody_judged_says_what_it_was_refused_for(void)
{
	static const struct {
		uint32_t phase;
		uint8_t reason;
		const char *said;
	} rows[] = {{PHASE_HOOK, REASON_NONE, " not-judged-yet "},
		    {PHASE_HOOK, REASON_EXEC_NEVER, " exec-never "},
		    {PHASE_KNOWN, REASON_EXEC_NEVER, " exec-never "},
		    {PHASE_DOWN, REASON_NONE, " no-gate "}};
	struct row_frame *row = sample();
	json_t *json;

	row->verdict = (struct verdict){.kind = VERDICT_NONE};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		row->phase = rows[i].phase;
		row->verdict.reason = rows[i].reason;
		CU_ASSERT_PTR_NOT_NULL(strstr(line_of(row, 0, false), rows[i].said));
		json = row_to_json(row);
		CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "verdict")), "none");
		json_decref(json);
	}
}

static bool since_is(const char *text, int64_t expected)
{
	int64_t ns;

	return since_parse(text, 1000000 * SECOND, &ns) && ns == expected;
}

static void since_takes_spans_and_times(void)
{
	int64_t now = 1000000 * SECOND;

	CU_ASSERT_TRUE(since_is("30s", now - 30 * SECOND));
	CU_ASSERT_TRUE(since_is("10min", now - 600 * SECOND));
	CU_ASSERT_TRUE(since_is("1h", now - 3600 * SECOND));
	CU_ASSERT_TRUE(since_is("7d", now - 7 * 86400 * SECOND));
	CU_ASSERT_TRUE(since_is("99999999999999999d", 0));
	CU_ASSERT_TRUE(since_is("2026-09-01T10:11:12Z", 1788257472 * SECOND));
	CU_ASSERT_TRUE(since_is("2026-09-01T12:11:12+02:00", 1788257472 * SECOND));
	CU_ASSERT_TRUE(since_is("2026-09-01T10:11:12.5Z", 1788257472 * SECOND + SECOND / 2));
}

static void since_takes_nothing_else(void)
{
	static const char *const wrong[] = {"",
					    "1",
					    "h",
					    "-1h",
					    "1 h",
					    "1hour",
					    "1m",
					    "1h30min",
					    "yesterday",
					    "99999999999999999999d",
					    "2026-09-01",
					    "2026-09-01T10:11:12",
					    "2026-13-01T10:11:12Z",
					    "2026-09-01T10:11:12Zx",
					    "2026-09-01T10:11:12+2"};
	int64_t ns;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CU_ASSERT_FALSE(since_parse(wrong[i], 1000000 * SECOND, &ns));
}

static void spans_are_short_and_right(void)
{
	char text[32];

	span_text(text, sizeof(text), 500000);
	CU_ASSERT_STRING_EQUAL(text, "<1ms");
	span_text(text, sizeof(text), 41 * 1000000u);
	CU_ASSERT_STRING_EQUAL(text, "41ms");
	span_text(text, sizeof(text), 3250 * 1000000ull);
	CU_ASSERT_STRING_EQUAL(text, "3.2s");
	span_text(text, sizeof(text), 1999600000);
	CU_ASSERT_STRING_EQUAL(text, "2.0s");
	span_text(text, sizeof(text), 7200ull * SECOND);
	CU_ASSERT_STRING_EQUAL(text, "2h");
}

#define TEST(name) CU_add_test(suite, #name, name)
int main(void)
{
	CU_pSuite suite;
	unsigned failed;

	unsetenv("TERM");
	CU_initialize_registry();
	suite = CU_add_suite("output", NULL, NULL);
	TEST(hostile_bytes_in_any_text_leave_one_harmless_line);
	TEST(spaces_in_a_program_a_user_or_a_signature_forge_no_column);
	TEST(a_row_in_json_has_every_field_of_the_manual_and_no_other);
	TEST(a_path_that_is_not_plain_is_escaped_and_given_whole_as_hex);
	TEST(a_path_in_plain_utf8_is_literal_even_with_a_backslash);
	TEST(long_plain_text_stays_plain_wherever_its_characters_fall);
	TEST(a_line_fits_the_terminal_and_a_file_gets_everything);
	TEST(there_are_colours_only_where_they_are_asked_for);
	TEST(a_gap_says_how_many_records_were_lost);
	TEST(would_deny_is_told_apart_from_deny);
	TEST(what_nobody_judged_says_what_it_was_refused_for);
	TEST(since_takes_spans_and_times);
	TEST(since_takes_nothing_else);
	TEST(spans_are_short_and_right);
	CU_basic_run_tests();
	failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
