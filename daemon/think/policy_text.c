// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each source goes through policy_words.h, then libconfuse builds its tree (which words stand where), then the tree's
 * tagged values are judged here.
 */
#include "policy_text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "policy_notify.h"
#include "policy_schedule.h"
#include "policy_values.h"
#include "policy_watch.h"
#include "policy_words.h"

#define WORKERS_MAX 64

void complain(struct complaints *complaints, bool warning, const char *file, unsigned line, const char *format, ...)
{
	char text[LEASH_TEXT];
	va_list arguments;
	size_t slot = complaints->count, length;

	length = (size_t)snprintf(text, sizeof(text), "%.*s:%u: ", POLICY_FILE_SIZE, file, line);
	va_start(arguments, format);
	vsnprintf(text + length, sizeof(text) - length, format, arguments);
	va_end(arguments);
	if (!warning)
		complaints->errors++;
	if (slot == COMPLAINTS_MAX) { /* full: an error takes the place of the last warning */
		while (slot > 0 && !complaints->list[slot - 1].warning)
			slot--;
		if (warning || slot == 0)
			return;
		slot--;
	} else {
		complaints->count++;
	}
	complaints->list[slot].warning = warning;
	text_quote(complaints->list[slot].text, sizeof(complaints->list[slot].text), text, strlen(text));
}

/* ---- the tree ---- */

struct parse {
	struct policy *policy;
	struct policy_reading at;
	struct policy_place notify, attachments, scanner, allow_root_filesystem, on_stop, workers,
		max_scan_size;                   /* line 0: not said */
	struct policy_place max_definitions_age; /* the same */
};

/* Every word as a list, so that no value of a repeated one is lost. The first entry cannot be written in a policy; it
 * carries our own pointer to the error function, which libconfuse gives nothing else. */
#define PARSE_POINTER(parse)                                                                                           \
	{                                                                                                              \
		.name = (char *)" ", .type = CFGT_PTR, .def = {.number = (long)(intptr_t)(parse) }                     \
	}
#define WORD(name) CFG_STR_LIST((char *)(name), 0, CFGF_NONE)
#define BLOCK(name, opts) CFG_SEC((char *)(name), opts, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES)

/* "a, b, c": the words that are known in this block. */
static void list_words(const cfg_t *block, char *out, size_t size)
{
	size_t used = 0;

	out[0] = 0;
	for (const cfg_opt_t *opt = block->opts + 1; opt->name && used < size; opt++)
		used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "", opt->name);
}

static void refuse_word(struct parse *parse, cfg_t *block, const char *word)
{
	char known[512];

	for (const cfg_opt_t *opt = block->opts + 1; opt->name; opt++) {
		if (strcmp(opt->name, word) != 0)
			continue;
		if (opt->type == CFGT_SEC)
			refuse(&parse->at, (unsigned)block->line, "'%s' begins a block: write %s%s { ... }", word, word,
			       strcmp(word, "watch") == 0 ? " \"/path\"" : "");
		else
			refuse(&parse->at, (unsigned)block->line, "'%s' takes a value: write %s = ...", word, word);
		return;
	}
	list_words(block, known, sizeof(known));
	refuse(&parse->at, (unsigned)block->line, "unknown word '%s'%s%s; known here: %s", word,
	       block->title ? " in a block " : "", block->title ? block->name : "", known);
}

/* libconfuse's messages are in the user's language and quote our tags, so only the word they are about is taken. All
 * that can be wrong after policy_words_literal() is a word in the wrong place. */
static void take_error(cfg_t *block, const char *format, va_list arguments)
{
	struct parse *parse = (struct parse *)(intptr_t)block->opts[0].def.number;
	const char *conversion = strchr(format, '%');
	char known[512];

	list_words(block, known, sizeof(known));
	if (conversion && conversion[1] == 's') {
		const char *word = va_arg(arguments, const char *);
		if (word && word[0] >= 'a' && word[0] <= 'z') {
			refuse_word(parse, block, word);
			return;
		}
	}
	refuse(&parse->at, (unsigned)block->line,
	       "this cannot be read: write `word = value` or `word \"title\" { ... }`; known here: %s", known);
}

/* ---- scanner ---- */

#define CLAMD_SOCKET "/run/clamav/clamd.ctl" /* Debian's */

static void take_engine(struct parse *parse, cfg_t *block)
{
	static const struct policy_choice engines[] = {
		{"libclamav", ENGINE_LIBCLAMAV, NULL}, {"clamd", ENGINE_CLAMD, NULL}, {0}};
	struct scanner_settings *scanner = &parse->policy->scanner;
	struct policy_word word;
	uint8_t engine;

	if (policy_one_value(&parse->at, block, "engine", &word) &&
	    policy_choose(&parse->at, "engine", word, engines, &engine))
		scanner->engine = engine;
	if (!policy_one_value(&parse->at, block, "clamd-socket", &word))
		return;
	policy_path(&parse->at, word, "the path of clamd's socket", scanner->clamd_socket,
		    sizeof(scanner->clamd_socket));
	if (scanner->engine != ENGINE_CLAMD)
		doubt(&parse->at, word.line, "clamd-socket says nothing without engine = clamd");
}

static void take_scanner(struct parse *parse, cfg_t *block)
{
	static const struct policy_range workers = {policy_no_units, "", "4", 1, WORKERS_MAX, "1", "64"};
	static const struct policy_range file_size = {policy_size_units, "k M G", "100M", 1 << 10,
						      2047ull << 20,     "1k",    "2047M"};
	static const struct policy_range scan_size = {policy_size_units, "k M G", "200M", 1 << 10,
						      16ull << 30,       "1k",    "16G"};
	static const struct policy_range files = {policy_no_units, "", "10000", 1, 1000000, "1", "1000000"};
	static const struct policy_range depth = {policy_no_units, "", "17", 1, 100, "1", "100"};
	static const struct policy_range scan_time = {
		policy_time_units, "ms s min h d", "30s", 1000, 600000, "1s", "10min"};
	struct policy_word title = policy_word_of(cfg_title(block));
	struct scanner_settings *scanner = &parse->policy->scanner;
	char first[POLICY_FILE_SIZE + 16];
	uint64_t number;

	if (title.text[0])
		refuse(&parse->at, title.line, "scanner has no title: write scanner { ... }");
	if (parse->scanner.line) {
		policy_place_text(parse->policy, parse->scanner, first, sizeof(first));
		refuse(&parse->at, title.line, "the block scanner is repeated (first in %s): make one block of the two",
		       first);
		return;
	}
	parse->scanner = policy_place_at(&parse->at, title.line);
	if (policy_number(&parse->at, block, "workers", &workers, &number, &parse->workers))
		scanner->workers = (uint32_t)number;
	policy_number(&parse->at, block, "max-file-size", &file_size, &scanner->max_file_size,
		      &parse->policy->file_size_place);
	policy_number(&parse->at, block, "max-scan-size", &scan_size, &scanner->max_scan_size, &parse->max_scan_size);
	if (policy_number(&parse->at, block, "max-files", &files, &number, NULL))
		scanner->max_files = (uint32_t)number;
	if (policy_number(&parse->at, block, "max-depth", &depth, &number, NULL))
		scanner->max_depth = (uint32_t)number;
	if (policy_number(&parse->at, block, "scan-time", &scan_time, &number, NULL))
		scanner->scan_time_ms = (uint32_t)number;
	take_engine(parse, block);
	if (scanner->max_scan_size < scanner->max_file_size)
		doubt(&parse->at, title.line,
		      "max-scan-size is below max-file-size: files between the two are unscanned (too-large); raise "
		      "max-scan-size or lower max-file-size");
}

/* ---- quarantine ---- */

static void take_quarantine(struct parse *parse, cfg_t *block)
{
	static const struct policy_range age = {policy_time_units,  "ms s min h d", "90d",  86400000ull,
						3650ull * 86400000, "1d",           "3650d"};
	static const struct policy_range size = {policy_size_units, "k M G", "10G",     1 << 20,
						 1ull << 50,        "1M",    "1048576G"};
	struct policy_word title = policy_word_of(cfg_title(block));
	struct policy_quarantine *quarantine = &parse->policy->quarantine;
	char first[POLICY_FILE_SIZE + 16];
	uint64_t number;

	if (title.text[0])
		refuse(&parse->at, title.line, "quarantine has no title: write quarantine { ... }");
	if (quarantine->place.line) {
		policy_place_text(parse->policy, quarantine->place, first, sizeof(first));
		refuse(&parse->at, title.line,
		       "the block quarantine is repeated (first in %s): make one block of the two", first);
		return;
	}
	quarantine->place = policy_place_at(&parse->at, title.line);
	if (policy_number(&parse->at, block, "max-age", &age, &number, NULL))
		quarantine->max_age_ns = number * 1000000;
	policy_number(&parse->at, block, "max-size", &size, &quarantine->max_size, NULL);
}

static void check_memory(struct parse *parse, uint64_t memory_bytes)
{
	const struct scanner_settings *scanner = &parse->policy->scanner;
	struct policy_place place = {.file = 0, .line = 1};
	uint64_t wanted;

	if (parse->scanner.line)
		place = parse->scanner;
	if (parse->workers.line)
		place = parse->workers;
	if (parse->max_scan_size.line)
		place = parse->max_scan_size;
	if (memory_bytes == 0 ||
	    (!__builtin_mul_overflow(scanner->workers, scanner->max_scan_size, &wanted) && wanted <= memory_bytes / 2))
		return;
	complain(parse->at.complaints, false, parse->policy->files[place.file], place.line,
		 "scanner: %u workers x max-scan-size %" PRIu64 "M is more than half of the memory (%" PRIu64
		 "M): lower workers or max-scan-size",
		 scanner->workers, scanner->max_scan_size >> 20, memory_bytes >> 20);
}

/* ---- attachments ---- */

static void take_deny_type(struct parse *parse, struct policy_word word)
{
	static const char *const names[DENY_TYPES] = DENY_TYPE_NAMES;
	uint32_t *types = &parse->policy->scanner.deny_types;
	char known[160] = "";
	size_t used = 0;

	for (int i = 0; i < DENY_TYPES; i++) {
		used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "", names[i]);
		if (strcmp(names[i], word.text) != 0)
			continue;
		if (*types >> i & 1)
			refuse(&parse->at, word.line, "deny-types names %s twice: keep one", word.text);
		*types |= 1u << i;
		return;
	}
	refuse(&parse->at, word.line, "'%s' is no value for deny-types: use some of %s", word.text, known);
}

static void take_attachments(struct parse *parse, cfg_t *block)
{
	struct policy_word title = policy_word_of(cfg_title(block)), first, word;
	unsigned count = cfg_size(block, "deny-types");
	char place[POLICY_FILE_SIZE + 16];

	if (title.text[0])
		refuse(&parse->at, title.line, "attachments has no title: write attachments { ... }");
	if (parse->attachments.line) {
		policy_place_text(parse->policy, parse->attachments, place, sizeof(place));
		refuse(&parse->at, title.line,
		       "the block attachments is repeated (first in %s): make one block of the two", place);
		return;
	}
	parse->attachments = policy_place_at(&parse->at, title.line);
	if (count == 0 && cfg_getopt(block, "deny-types")->flags & CFGF_MODIFIED)
		refuse(&parse->at, title.line, "'deny-types' has an empty list: name a kind, or leave it out");
	for (unsigned i = 0; i < count; i++) {
		word = policy_word_of(cfg_getnstr(block, "deny-types", i));
		first = i ? first : word;
		if (word.assignment != first.assignment) {
			refuse(&parse->at, word.line,
			       "'deny-types' is repeated (first in %s:%u): keep one list, deny-types = { executable, "
			       "script }",
			       parse->at.file, first.line);
			return;
		}
		take_deny_type(parse, word);
	}
}

/* ---- mail-software ---- */

static bool software_name_is_good(const char *name)
{
	size_t length = strlen(name);

	return length > 0 && length < sizeof(((struct policy_mail_software *)0)->name) &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

static void take_roots(struct parse *parse, cfg_t *block, struct policy_mail_software *software)
{
	unsigned count = cfg_size(block, "roots");
	struct policy_word first, word;

	if (count == 0) {
		refuse(&parse->at, software->place.line,
		       "mail-software \"%s\" has no roots: name the program that starts it, roots = { "
		       "\"/usr/sbin/...\" "
		       "}",
		       software->name);
		return;
	}
	first = policy_word_of(cfg_getnstr(block, "roots", 0));
	for (unsigned i = 0; i < count; i++) {
		word = policy_word_of(cfg_getnstr(block, "roots", i));
		if (word.assignment != first.assignment) {
			refuse(&parse->at, word.line,
			       "'roots' is repeated (first in %s:%u): keep one list, roots = { \"/a\", \"/b\" }",
			       parse->at.file, first.line);
			return;
		}
		if (i == MAIL_ROOTS_MAX) {
			refuse(&parse->at, word.line,
			       "too many roots: %d is the limit for one mail-software; make a second block",
			       MAIL_ROOTS_MAX);
			return;
		}
		if (!policy_path(&parse->at, word, "of a root", software->roots[i], sizeof(software->roots[i])))
			return;
		software->root_count++;
	}
}

static void take_mail_software(struct parse *parse, cfg_t *block)
{
	struct policy *policy = parse->policy;
	struct policy_word title = policy_word_of(cfg_title(block));
	struct policy_mail_software *software;
	char first[POLICY_FILE_SIZE + 16];

	if (!software_name_is_good(title.text)) {
		refuse(&parse->at, title.line,
		       "mail-software needs a name of small letters, digits and hyphens: mail-software postfix { ... "
		       "}");
		return;
	}
	for (uint32_t i = 0; i < policy->mail_software_count; i++) {
		if (strcmp(policy->mail_software[i].name, title.text) != 0)
			continue;
		policy_place_text(policy, policy->mail_software[i].place, first, sizeof(first));
		refuse(&parse->at, title.line,
		       "mail-software \"%s\" is repeated (first in %s): make one block of the two", title.text, first);
		return;
	}
	if (policy->mail_software_count == MAIL_SOFTWARE_MAX) {
		refuse(&parse->at, title.line,
		       "too many blocks mail-software: %d is the limit; put several roots into one", MAIL_SOFTWARE_MAX);
		return;
	}
	software = &policy->mail_software[policy->mail_software_count++];
	memset(software, 0, sizeof(*software));
	memcpy(software->name, title.text, strlen(title.text) + 1);
	software->place = policy_place_at(&parse->at, title.line);
	take_roots(parse, block, software);
}

/* ---- a source ---- */

static const struct policy_choice yes_choices[] = {{"no", 0, 0}, {"yes", 1, 0}, {0}};

static const struct policy_choice stop_choices[] = {{"hold", 0, 0}, {"release", 1, 0}, {0}};

/* A word at the top, which may stand once in all the files. place: where it was said before, and is now. */
static void take_top_word(struct parse *parse, cfg_t *tree, const char *name, const struct policy_choice *choices,
			  struct policy_place *place, uint8_t *value_out)
{
	struct policy_word word;
	char first[POLICY_FILE_SIZE + 16];

	if (!policy_one_value(&parse->at, tree, name, &word))
		return;
	if (place->line) {
		policy_place_text(parse->policy, *place, first, sizeof(first));
		refuse(&parse->at, word.line, "'%s' is repeated (first in %s): keep one of the two lines", name, first);
		return;
	}
	*place = policy_place_at(&parse->at, word.line);
	policy_choose(&parse->at, name, word, choices, value_out);
}

/* As take_top_word(), for a time. */
static void take_max_age(struct parse *parse, cfg_t *tree)
{
	static const struct policy_range range = {policy_time_units,  "ms s min h d", "7d",   3600000,
						  86400000ull * 3650, "1h",           "3650d"};
	struct policy_place *place = &parse->max_definitions_age;
	char first[POLICY_FILE_SIZE + 16];
	struct policy_word word;
	uint64_t ms;

	if (!policy_one_value(&parse->at, tree, "max-definitions-age", &word))
		return;
	if (place->line) {
		policy_place_text(parse->policy, *place, first, sizeof(first));
		refuse(&parse->at, word.line,
		       "'max-definitions-age' is repeated (first in %s): keep one of the two lines", first);
		return;
	}
	if (policy_number(&parse->at, tree, "max-definitions-age", &range, &ms, place))
		parse->policy->max_definitions_age_s = ms / 1000;
}

static void take_tree(struct parse *parse, cfg_t *tree)
{
	take_top_word(parse, tree, "allow-root-filesystem", yes_choices, &parse->allow_root_filesystem,
		      &parse->policy->allow_root_filesystem);
	take_top_word(parse, tree, "on-stop", stop_choices, &parse->on_stop, &parse->policy->release_on_stop);
	take_max_age(parse, tree);
	for (unsigned i = 0; i < cfg_size(tree, "scanner"); i++)
		take_scanner(parse, cfg_getnsec(tree, "scanner", i));
	for (unsigned i = 0; i < cfg_size(tree, "schedule"); i++)
		policy_take_schedule(&parse->at, parse->policy, cfg_getnsec(tree, "schedule", i));
	for (unsigned i = 0; i < cfg_size(tree, "notify"); i++)
		policy_take_notify(&parse->at, parse->policy, cfg_getnsec(tree, "notify", i), &parse->notify);
	for (unsigned i = 0; i < cfg_size(tree, "attachments"); i++)
		take_attachments(parse, cfg_getnsec(tree, "attachments", i));
	for (unsigned i = 0; i < cfg_size(tree, "quarantine"); i++)
		take_quarantine(parse, cfg_getnsec(tree, "quarantine", i));
	for (unsigned i = 0; i < cfg_size(tree, "mail-software"); i++)
		take_mail_software(parse, cfg_getnsec(tree, "mail-software", i));
	for (unsigned i = 0; i < cfg_size(tree, "watch"); i++)
		if (!policy_take_watch(&parse->at, parse->policy, cfg_getnsec(tree, "watch", i)))
			break;
}

static void take_source(struct parse *parse, const char *source_text, size_t size)
{
	const struct policy_source source = {.name = parse->at.file, .text = source_text, .size = size};
	char *text = policy_words_literal(&source, parse->at.complaints);
	cfg_opt_t watch[] = {PARSE_POINTER(parse), WORD("store"),       WORD("mode"),
			     WORD("origin"),       WORD("exec"),        WORD("deadline"),
			     WORD("on-infected"),  WORD("on-timeout"),  WORD("on-limit"),
			     WORD("on-encrypted"), WORD("on-error"),    WORD("on-down"),
			     WORD("on-heuristic"), WORD("on-macro"),    WORD("on-broken"),
			     WORD("on-phishing"),  WORD("on-unwanted"), WORD("on-type"),
			     WORD("marks"),        WORD("recheck"),     CFG_END()};
	cfg_opt_t scanner[] = {PARSE_POINTER(parse), WORD("workers"),   WORD("max-file-size"), WORD("max-scan-size"),
			       WORD("max-files"),    WORD("max-depth"), WORD("scan-time"),     WORD("engine"),
			       WORD("clamd-socket"), CFG_END()};
	cfg_opt_t attachments[] = {PARSE_POINTER(parse), WORD("deny-types"), CFG_END()};
	cfg_opt_t software[] = {PARSE_POINTER(parse), WORD("roots"), CFG_END()};
	cfg_opt_t schedule[] = {PARSE_POINTER(parse), WORD("sweep"), WORD("paths"), CFG_END()};
	cfg_opt_t notify[] = {PARSE_POINTER(parse), WORD("postmaster"), WORD("owner"),
			      WORD("every"),        WORD("command"),    CFG_END()};
	cfg_opt_t quarantine[] = {PARSE_POINTER(parse), WORD("max-age"), WORD("max-size"), CFG_END()};
	cfg_opt_t top[] = {PARSE_POINTER(parse),
			   WORD("allow-root-filesystem"),
			   WORD("on-stop"),
			   BLOCK("watch", watch),
			   BLOCK("scanner", scanner),
			   BLOCK("mail-software", software),
			   BLOCK("attachments", attachments),
			   BLOCK("notify", notify),
			   BLOCK("quarantine", quarantine),
			   WORD("max-definitions-age"),
			   BLOCK("schedule", schedule),
			   CFG_END()};
	cfg_t *tree;

	if (!text)
		return;
	tree = cfg_init(top, CFGF_NONE);
	if (tree) {
		cfg_set_error_function(tree, take_error);
		if (cfg_parse_buf(tree, text) == CFG_SUCCESS)
			take_tree(parse, tree);
		else if (parse->at.complaints->errors == 0)
			refuse(&parse->at, 1, "cannot be read: not enough memory?");
		cfg_free(tree);
	} else {
		refuse(&parse->at, 1, "cannot be read: not enough memory");
	}
	free(text);
}

/* The end of a name that is too long is what tells files apart. */
static void name_file(struct policy *policy, uint16_t index, const char *name)
{
	size_t length = strlen(name);

	if (length < POLICY_FILE_SIZE)
		memcpy(policy->files[index], name, length + 1);
	else
		snprintf(policy->files[index], POLICY_FILE_SIZE, "...%s", name + length - (POLICY_FILE_SIZE - 4));
}

static void set_defaults(struct policy *policy, unsigned processors)
{
	memset(policy, 0, sizeof(*policy));
	policy->magic = POLICY_MAGIC;
	policy->size = sizeof(*policy);
	policy->quarantine =
		(struct policy_quarantine){.max_age_ns = 90ull * 86400 * 1000000000, .max_size = 10ull << 30};
	policy->max_definitions_age_s = 7 * 86400ull;
	policy->schedule.minute = SCHEDULE_DEFAULT_MINUTE;
	policy->scanner = (struct scanner_settings){
		.max_file_size = 100 << 20,
		.max_scan_size = 200 << 20,
		.max_files = 10000,
		.max_depth = 17,
		.scan_time_ms = 30000,
		.workers = processors < 4             ? 4
			   : processors > WORKERS_MAX ? WORKERS_MAX
						      : processors,
		.clamd_socket = CLAMD_SOCKET,
	};
}

/* Known when the last file has been read: the blocks may stand in another one. */
static void check_origins(struct parse *parse)
{
	const struct policy *policy = parse->policy;

	for (uint32_t i = 0; policy->mail_software_count == 0 && i < policy->watch_count; i++) {
		const struct policy_watch *watch = &policy->watches[i];
		if (watch->origin_mail)
			complain(parse->at.complaints, false, policy->files[watch->origin_place.file],
				 watch->origin_place.line,
				 "origin = mail guards nothing: no mail software is named; add mail-software postfix { "
				 "roots = { \"/usr/lib/postfix/sbin/master\" } } and its like");
	}
}

bool policy_parse(struct policy *policy, const struct policy_source *sources, size_t count, unsigned processors,
		  uint64_t memory_bytes, struct complaints *complaints)
{
	struct parse parse = {.policy = policy, .at.complaints = complaints};
	size_t errors_before = complaints->errors;

	set_defaults(policy, processors);
	if (count > POLICY_FILES_MAX) {
		complain(complaints, false, sources[POLICY_FILES_MAX].name, 1,
			 "too many policy files: %d is the limit, drop-ins included; join some", POLICY_FILES_MAX);
		count = POLICY_FILES_MAX;
	}
	for (size_t i = 0; i < count; i++) {
		name_file(policy, (uint16_t)i, sources[i].name);
		policy->file_count = (uint32_t)i + 1;
		parse.at.file = policy->files[i];
		parse.at.file_index = (uint16_t)i;
		take_source(&parse, sources[i].text, sources[i].size);
	}
	if (complaints->errors == errors_before) {
		check_memory(&parse, memory_bytes);
		check_origins(&parse);
		if (policy->watch_count == 0 && count > 0)
			complain(complaints, true, policy->files[0], 1,
				 "there is no watch, so nothing is guarded: add watch \"/path\" { }");
	}
	return complaints->errors == errors_before;
}
