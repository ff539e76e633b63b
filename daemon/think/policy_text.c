// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each source goes through policy_words.h, then libconfuse builds its tree (which words stand where), then the tree's
 * tagged values are judged here.
 */
#include "policy_text.h"

#include <confuse.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "policy_words.h"

#define WORKERS_MAX 64
#define SECOND_NS 1000000000ull

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
	struct complaints *complaints;
	const char *file; /* the source being read, and its index */
	uint16_t file_index;
	bool too_many_watches;
	struct policy_place scanner, allow_root_filesystem, workers, max_scan_size; /* line 0: not said */
};

/* Every word as a list, so that no value of a repeated one is lost. The first entry cannot be written in a policy; it
 * carries our own pointer to the error function, which libconfuse gives nothing else. */
#define PARSE_POINTER(parse) {.name = (char *)" ", .type = CFGT_PTR, .def = {.number = (long)(intptr_t)(parse)}}
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
			complain(parse->complaints, false, parse->file, (unsigned)block->line,
				 "'%s' begins a block: write %s%s { ... }", word, word,
				 strcmp(word, "watch") == 0 ? " \"/path\"" : "");
		else
			complain(parse->complaints, false, parse->file, (unsigned)block->line,
				 "'%s' takes a value: write %s = ...", word, word);
		return;
	}
	list_words(block, known, sizeof(known));
	complain(parse->complaints, false, parse->file, (unsigned)block->line,
		 "unknown word '%s'%s%s; known here: %s", word, block->title ? " in a block " : "",
		 block->title ? block->name : "", known);
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
	complain(parse->complaints, false, parse->file, (unsigned)block->line,
		 "this cannot be read: write `word = value` or `word \"title\" { ... }`; known here: %s", known);
}

/* ---- values ---- */

static struct policy_place place_at(const struct parse *parse, unsigned line)
{
	return (struct policy_place){.file = parse->file_index, .line = line};
}

/* The one value of a word in a block. false: not said (word_out is untouched), or said wrongly (a complaint). */
static bool one_value(struct parse *parse, cfg_t *block, const char *name, struct policy_word *word_out)
{
	unsigned count = cfg_size(block, name);
	struct policy_word first, other;

	if (count == 0) {
		if (cfg_getopt(block, name)->flags & CFGF_MODIFIED)
			complain(parse->complaints, false, parse->file, (unsigned)block->line,
				 "'%s' has an empty list: give it one value, or leave it out", name);
		return false;
	}
	first = policy_word_of(cfg_getnstr(block, name, 0));
	for (unsigned i = 1; i < count; i++) {
		other = policy_word_of(cfg_getnstr(block, name, i));
		if (other.assignment != first.assignment)
			complain(parse->complaints, false, parse->file, other.line,
				 "'%s' is repeated (first in %s:%u): keep one of the two lines", name, parse->file,
				 first.line);
		else
			complain(parse->complaints, false, parse->file, other.line,
				 "'%s' takes one value, not a list: keep one", name);
		return false;
	}
	*word_out = first;
	return true;
}

struct choice {
	const char *text;
	uint8_t value;
	const char *refused; /* known, but not in this version: what to use instead */
};

/* choices end with a null text. */
static bool choose(struct parse *parse, const char *name, struct policy_word word, const struct choice *choices,
		   uint8_t *value_out)
{
	char known[160];
	size_t used = 0;

	known[0] = 0;
	for (const struct choice *choice = choices; choice->text; choice++) {
		if (strcmp(choice->text, word.text) == 0 && choice->refused) {
			complain(parse->complaints, false, parse->file, word.line,
				 "not in this version yet: %s = %s; use %s", name, word.text, choice->refused);
			return false;
		}
		if (strcmp(choice->text, word.text) == 0) {
			*value_out = choice->value;
			return true;
		}
		if (!choice->refused && used < sizeof(known))
			used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "",
						 choice->text);
	}
	complain(parse->complaints, false, parse->file, word.line, "'%s' is no value for %s: use one of %s", word.text,
		 name, known);
	return false;
}

struct unit {
	const char *text;
	uint64_t factor;
};
static const struct unit time_units[] = {{"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}, {0}};
static const struct unit size_units[] = {{"k", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {0}};
static const struct unit no_units[] = {{"", 1}, {0}};

struct range {
	const struct unit *units;
	const char *known_units; /* for messages */
	const char *example;
	uint64_t low, high;
	const char *low_text, *high_text;
};

/* Digits and a unit, nothing else: "5s". */
static bool read_number(const char *text, const struct unit *units, uint64_t *value_out)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t number = 0;

	if (digits == 0 || digits > 15)
		return false;
	for (size_t i = 0; i < digits; i++)
		number = number * 10 + (uint64_t)(text[i] - '0');
	for (const struct unit *unit = units; unit->text; unit++)
		if (strcmp(unit->text, text + digits) == 0)
			return !__builtin_mul_overflow(number, unit->factor, value_out);
	return false;
}

static bool number_of(struct parse *parse, const char *name, struct policy_word word, const struct range *range,
		      uint64_t *value_out)
{
	uint64_t value;

	if (!read_number(word.text, range->units, &value)) {
		if (range->known_units[0])
			complain(parse->complaints, false, parse->file, word.line,
				 "'%s' is no value for %s: write a whole number and its unit (%s), as in %s", word.text,
				 name, range->known_units, range->example);
		else
			complain(parse->complaints, false, parse->file, word.line,
				 "'%s' is no value for %s: write a whole number without a unit, as in %s", word.text,
				 name, range->example);
		return false;
	}
	if (value < range->low || value > range->high) {
		complain(parse->complaints, false, parse->file, word.line, "%s = %s is out of range: use %s to %s",
			 name, word.text, range->low_text, range->high_text);
		return false;
	}
	*value_out = value;
	return true;
}

static bool number_word(struct parse *parse, cfg_t *block, const char *name, const struct range *range,
			uint64_t *value_out, struct policy_place *place_out)
{
	struct policy_word word;

	if (!one_value(parse, block, name, &word) || !number_of(parse, name, word, range, value_out))
		return false;
	if (place_out)
		*place_out = place_at(parse, word.line);
	return true;
}

/* An absolute path without "." and "..", repeated and trailing slashes taken away. what: for messages. */
static bool copy_path(struct parse *parse, struct policy_word word, const char *what, char *out, size_t size)
{
	const char *reason = NULL;
	size_t used = 0;

	if (word.text[0] == 0)
		reason = "is missing: write it in quotes, from / on";
	else if (word.text[0] != '/')
		reason = "is relative: write it from / on (nothing is expanded, ~ neither)";
	else if (strlen(word.text) >= size)
		reason = "is too long: use a shorter one, through a bind mount for instance";
	for (const char *part = word.text; !reason && *part;) {
		size_t length;
		part += strspn(part, "/");
		length = strcspn(part, "/");
		if (length == 0)
			break;
		if ((length == 1 && part[0] == '.') || (length == 2 && part[0] == '.' && part[1] == '.')) {
			reason = "has a part \".\" or \"..\": write the path that is meant";
			break;
		}
		out[used++] = '/';
		memcpy(out + used, part, length);
		used += length;
		part += length;
	}
	if (reason) {
		complain(parse->complaints, false, parse->file, word.line, "the path %s%s%.400s%s%s", what,
			 word.text[0] ? " '" : "", word.text, word.text[0] ? "' " : " ", reason);
		return false;
	}
	if (used == 0)
		out[used++] = '/';
	out[used] = 0;
	return true;
}

/* ---- watch ---- */

static const struct choice store_choices[] = {{"files", STORE_FILES, 0},
					      {"maildir", STORE_MAILDIR, 0},
					      {"sdbox", STORE_SDBOX, 0},
					      {"mbox", STORE_MBOX, 0},
					      {"mdbox", STORE_MDBOX, 0},
					      {"postfix-queue", STORE_POSTFIX_QUEUE, 0},
					      {0}};
static const struct choice mode_choices[] = {
	{"off", MODE_OFF, 0}, {"observe", MODE_OBSERVE, 0}, {"enforce", MODE_ENFORCE, 0}, {0}};
static const struct choice origin_choices[] = {
	{"any", 0, 0}, {"mail", 1, "origin = any (every file below the path, whoever wrote it)"}, {0}};
static const struct choice exec_choices[] = {
	{"scan", 0, 0}, {"never", 1, "exec = scan (an exec waits for its verdict as an open does)"}, {0}};
static const struct choice marks_choices[] = {{"none", 0, 0}, {"cached", 1, 0}, {0}};
static const struct choice yes_choices[] = {{"no", 0, 0}, {"yes", 1, 0}, {0}};
static const struct range deadline_range = {time_units, "ms s min h d", "5s", 100, 60000, "100ms", "60s"};

static const struct choice infected_choices[] = {
	{"deny", ANSWER_DENY, 0},
	{"quarantine", ANSWER_DENY, "deny (the open is refused, the file stays)"},
	{"report", ANSWER_ALLOW, 0},
	{0}};
static const struct choice plain_choices[] = {{"allow", ANSWER_ALLOW, 0}, {"deny", ANSWER_DENY, 0}, {0}};
static const struct choice lasting_choices[] = {
	{"allow", ANSWER_ALLOW, 0},
	{"deny", ANSWER_DENY, 0},
	{"quarantine", ANSWER_DENY, "allow (it is recorded) or deny (the open is refused, the file stays)"},
	{0}};

static const struct action_word {
	const char *name;
	const struct choice *choices;
	bool lasting;	     /* the reason does not pass by itself */
	uint8_t boxed_default; /* in maildir and sdbox; in files it is always deny */
} action_words[POLICY_CASES] = {
	[CASE_INFECTED] = {"on-infected", infected_choices, false, ANSWER_DENY},
	[CASE_TIMEOUT] = {"on-timeout", plain_choices, false, ANSWER_DENY},
	[CASE_LIMIT] = {"on-limit", lasting_choices, true, ANSWER_DENY}, /* quarantine, once there is one */
	[CASE_ENCRYPTED] = {"on-encrypted", lasting_choices, true, ANSWER_ALLOW},
	[CASE_ERROR] = {"on-error", lasting_choices, true, ANSWER_ALLOW},
	[CASE_DOWN] = {"on-down", plain_choices, false, ANSWER_DENY},
};

/* A store whose files are never held gets no default that it could not keep. */
static uint8_t action_default(const struct action_word *action, uint8_t store)
{
	if (!store_may_hold(store))
		return ANSWER_ALLOW;
	return store == STORE_FILES ? ANSWER_DENY : action->boxed_default;
}

static void take_action(struct parse *parse, cfg_t *block, struct policy_watch *watch, enum policy_case which)
{
	static const char *const stores[] = STORE_NAMES;
	const struct action_word *known = &action_words[which];
	struct policy_action *action = &watch->actions[which];
	struct policy_word word;

	*action = (struct policy_action){
		.answer = action_default(known, watch->store), .is_default = 1, .place = watch->place};
	if (!one_value(parse, block, known->name, &word))
		return;
	action->place = place_at(parse, word.line);
	action->is_default = 0;
	if (!store_may_hold(watch->store) && (strcmp(word.text, "deny") == 0 || strcmp(word.text, "quarantine") == 0)) {
		complain(parse->complaints, false, parse->file, word.line,
			 "%s = %s cannot be kept in store = %s: its files are never held or denied, because one denial "
			 "stops the mail of everybody in it; use %s, or leave the word out",
			 known->name, word.text, stores[watch->store], which == CASE_INFECTED ? "report" : "allow");
		return;
	}
	if (!choose(parse, known->name, word, known->choices, &action->answer))
		return;
	if (known->lasting && action->answer == ANSWER_DENY &&
	    (watch->store == STORE_MAILDIR || watch->store == STORE_SDBOX))
		complain(parse->complaints, true, parse->file, word.line,
			 "%s = deny in store = %s: a message that stays and is denied cuts the mail client off at each "
			 "sync; use allow (it is recorded all the same)",
			 known->name, stores[watch->store]);
}

static void take_watch_words(struct parse *parse, cfg_t *block, struct policy_watch *watch)
{
	uint64_t deadline_ms = 5000;
	struct policy_place deadline_place = {0};
	struct policy_word word;
	uint8_t ignored;

	watch->mode = MODE_ENFORCE;
	watch->ignore_marks = 1;
	if (one_value(parse, block, "store", &word))
		choose(parse, "store", word, store_choices, &watch->store);
	if (one_value(parse, block, "mode", &word))
		choose(parse, "mode", word, mode_choices, &watch->mode);
	if (one_value(parse, block, "origin", &word))
		choose(parse, "origin", word, origin_choices, &ignored);
	if (one_value(parse, block, "exec", &word))
		choose(parse, "exec", word, exec_choices, &ignored);
	if (one_value(parse, block, "marks", &word))
		choose(parse, "marks", word, marks_choices, &watch->ignore_marks);
	number_word(parse, block, "deadline", &deadline_range, &deadline_ms, &deadline_place);
	watch->deadline_ns = deadline_ms * (SECOND_NS / 1000);
	if (deadline_place.line && !store_may_hold(watch->store))
		complain(parse->complaints, true, parse->file, deadline_place.line,
			 "a deadline has no effect here: nothing in this store is ever held; leave it out");
	for (int i = 0; i < POLICY_CASES; i++)
		take_action(parse, block, watch, (enum policy_case)i);
}

static void refuse_repeated_watch(struct parse *parse, const struct policy_watch *watch)
{
	const struct policy *policy = parse->policy;
	char first[POLICY_FILE_SIZE + 16];

	for (uint32_t i = 0; i < policy->watch_count; i++) {
		if (strcmp(policy->watches[i].path, watch->path) != 0)
			continue;
		policy_place_text(policy, policy->watches[i].place, first, sizeof(first));
		complain(parse->complaints, false, parse->file, watch->place.line,
			 "the watch \"%.400s\" is repeated (first in %s): make one block of the two", watch->path,
			 first);
		return;
	}
}

static void take_watch(struct parse *parse, cfg_t *block)
{
	struct policy *policy = parse->policy;
	struct policy_word title = policy_word_of(cfg_title(block));
	struct policy_watch *watch;

	if (policy->watch_count == WATCHES_MAX) {
		if (!parse->too_many_watches)
			complain(parse->complaints, false, parse->file, title.line,
				 "too many watches: %d is the limit; watch a folder above several of them", WATCHES_MAX);
		parse->too_many_watches = true;
		return;
	}
	watch = &policy->watches[policy->watch_count];
	memset(watch, 0, sizeof(*watch));
	watch->place = place_at(parse, title.line);
	if (!copy_path(parse, title, "of a watch", watch->path, sizeof(watch->path)))
		return;
	refuse_repeated_watch(parse, watch);
	if (strpbrk(watch->path, "*?[$"))
		complain(parse->complaints, true, parse->file, title.line,
			 "nothing is expanded in a path: \"%.400s\" is watched under just that name; if a pattern was "
			 "meant, name the folder above",
			 watch->path);
	take_watch_words(parse, block, watch);
	policy->watch_count++;
}

/* ---- scanner ---- */

static void take_scanner(struct parse *parse, cfg_t *block)
{
	static const struct range workers = {no_units, "", "4", 1, WORKERS_MAX, "1", "64"};
	static const struct range file_size = {size_units, "k M G", "100M", 1 << 10, 2047ull << 20, "1k", "2047M"};
	static const struct range scan_size = {size_units, "k M G", "200M", 1 << 10, 16ull << 30, "1k", "16G"};
	static const struct range files = {no_units, "", "10000", 1, 1000000, "1", "1000000"};
	static const struct range depth = {no_units, "", "17", 1, 100, "1", "100"};
	static const struct range scan_time = {time_units, "ms s min h d", "30s", 1000, 600000, "1s", "10min"};
	struct policy_word title = policy_word_of(cfg_title(block));
	struct scanner_settings *scanner = &parse->policy->scanner;
	char first[POLICY_FILE_SIZE + 16];
	uint64_t number;

	if (title.text[0])
		complain(parse->complaints, false, parse->file, title.line,
			 "scanner has no title: write scanner { ... }");
	if (parse->scanner.line) {
		policy_place_text(parse->policy, parse->scanner, first, sizeof(first));
		complain(parse->complaints, false, parse->file, title.line,
			 "the block scanner is repeated (first in %s): make one block of the two", first);
		return;
	}
	parse->scanner = place_at(parse, title.line);
	if (number_word(parse, block, "workers", &workers, &number, &parse->workers))
		scanner->workers = (uint32_t)number;
	number_word(parse, block, "max-file-size", &file_size, &scanner->max_file_size, NULL);
	number_word(parse, block, "max-scan-size", &scan_size, &scanner->max_scan_size, &parse->max_scan_size);
	if (number_word(parse, block, "max-files", &files, &number, NULL))
		scanner->max_files = (uint32_t)number;
	if (number_word(parse, block, "max-depth", &depth, &number, NULL))
		scanner->max_depth = (uint32_t)number;
	if (number_word(parse, block, "scan-time", &scan_time, &number, NULL))
		scanner->scan_time_ms = (uint32_t)number;
	if (scanner->max_scan_size < scanner->max_file_size)
		complain(parse->complaints, true, parse->file, title.line,
			 "max-scan-size is below max-file-size: files between the two are unscanned (too-large); raise "
			 "max-scan-size or lower max-file-size");
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
	if (memory_bytes == 0 || (!__builtin_mul_overflow(scanner->workers, scanner->max_scan_size, &wanted) &&
				  wanted <= memory_bytes / 2))
		return;
	complain(parse->complaints, false, parse->policy->files[place.file], place.line,
		 "scanner: %u workers x max-scan-size %" PRIu64 "M is more than half of the memory (%" PRIu64
		 "M): lower workers or max-scan-size",
		 scanner->workers, scanner->max_scan_size >> 20, memory_bytes >> 20);
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
		complain(parse->complaints, false, parse->file, software->place.line,
			 "mail-software \"%s\" has no roots: name the program that starts it, roots = { \"/usr/sbin/...\" "
			 "}",
			 software->name);
		return;
	}
	first = policy_word_of(cfg_getnstr(block, "roots", 0));
	for (unsigned i = 0; i < count; i++) {
		word = policy_word_of(cfg_getnstr(block, "roots", i));
		if (word.assignment != first.assignment) {
			complain(parse->complaints, false, parse->file, word.line,
				 "'roots' is repeated (first in %s:%u): keep one list, roots = { \"/a\", \"/b\" }",
				 parse->file, first.line);
			return;
		}
		if (i == MAIL_ROOTS_MAX) {
			complain(parse->complaints, false, parse->file, word.line,
				 "too many roots: %d is the limit for one mail-software; make a second block",
				 MAIL_ROOTS_MAX);
			return;
		}
		if (!copy_path(parse, word, "of a root", software->roots[i], sizeof(software->roots[i])))
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
		complain(parse->complaints, false, parse->file, title.line,
			 "mail-software needs a name of small letters, digits and hyphens: mail-software postfix { ... "
			 "}");
		return;
	}
	for (uint32_t i = 0; i < policy->mail_software_count; i++) {
		if (strcmp(policy->mail_software[i].name, title.text) != 0)
			continue;
		policy_place_text(policy, policy->mail_software[i].place, first, sizeof(first));
		complain(parse->complaints, false, parse->file, title.line,
			 "mail-software \"%s\" is repeated (first in %s): make one block of the two", title.text, first);
		return;
	}
	if (policy->mail_software_count == MAIL_SOFTWARE_MAX) {
		complain(parse->complaints, false, parse->file, title.line,
			 "too many blocks mail-software: %d is the limit; put several roots into one",
			 MAIL_SOFTWARE_MAX);
		return;
	}
	software = &policy->mail_software[policy->mail_software_count++];
	memset(software, 0, sizeof(*software));
	memcpy(software->name, title.text, strlen(title.text) + 1);
	software->place = place_at(parse, title.line);
	take_roots(parse, block, software);
}

/* ---- a source ---- */

static void take_allow_root(struct parse *parse, cfg_t *tree)
{
	static const char name[] = "allow-root-filesystem";
	struct policy_word word;
	char first[POLICY_FILE_SIZE + 16];

	if (!one_value(parse, tree, name, &word))
		return;
	if (parse->allow_root_filesystem.line) {
		policy_place_text(parse->policy, parse->allow_root_filesystem, first, sizeof(first));
		complain(parse->complaints, false, parse->file, word.line,
			 "'%s' is repeated (first in %s): keep one of the two lines", name, first);
		return;
	}
	parse->allow_root_filesystem = place_at(parse, word.line);
	choose(parse, name, word, yes_choices, &parse->policy->allow_root_filesystem);
}

static void take_tree(struct parse *parse, cfg_t *tree)
{
	take_allow_root(parse, tree);
	for (unsigned i = 0; i < cfg_size(tree, "scanner"); i++)
		take_scanner(parse, cfg_getnsec(tree, "scanner", i));
	for (unsigned i = 0; i < cfg_size(tree, "mail-software"); i++)
		take_mail_software(parse, cfg_getnsec(tree, "mail-software", i));
	for (unsigned i = 0; i < cfg_size(tree, "watch"); i++)
		take_watch(parse, cfg_getnsec(tree, "watch", i));
}

static void take_source(struct parse *parse, const char *source_text, size_t size)
{
	const struct policy_source source = {.name = parse->file, .text = source_text, .size = size};
	char *text = policy_words_literal(&source, parse->complaints);
	cfg_opt_t watch[] = {PARSE_POINTER(parse), WORD("store"),	 WORD("mode"),	     WORD("origin"),
			     WORD("exec"),	   WORD("deadline"),	 WORD("on-infected"), WORD("on-timeout"),
			     WORD("on-limit"),	   WORD("on-encrypted"), WORD("on-error"),    WORD("on-down"),
			     WORD("marks"),	   CFG_END()};
	cfg_opt_t scanner[] = {PARSE_POINTER(parse), WORD("workers"),	WORD("max-file-size"), WORD("max-scan-size"),
			       WORD("max-files"),    WORD("max-depth"), WORD("scan-time"),     CFG_END()};
	cfg_opt_t software[] = {PARSE_POINTER(parse), WORD("roots"), CFG_END()};
	cfg_opt_t top[] = {PARSE_POINTER(parse),      WORD("allow-root-filesystem"),
			   BLOCK("watch", watch),     BLOCK("scanner", scanner),
			   BLOCK("mail-software", software), CFG_END()};
	cfg_t *tree;

	if (!text)
		return;
	tree = cfg_init(top, CFGF_NONE);
	if (tree) {
		cfg_set_error_function(tree, take_error);
		if (cfg_parse_buf(tree, text) == CFG_SUCCESS)
			take_tree(parse, tree);
		else if (parse->complaints->errors == 0)
			complain(parse->complaints, false, parse->file, 1, "cannot be read: not enough memory?");
		cfg_free(tree);
	} else {
		complain(parse->complaints, false, parse->file, 1, "cannot be read: not enough memory");
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
	policy->scanner = (struct scanner_settings){
		.max_file_size = 100 << 20,
		.max_scan_size = 200 << 20,
		.max_files = 10000,
		.max_depth = 17,
		.scan_time_ms = 30000,
		.workers = processors < 4 ? 4 : processors > WORKERS_MAX ? WORKERS_MAX : processors,
	};
}

bool policy_parse(struct policy *policy, const struct policy_source *sources, size_t count, unsigned processors,
		  uint64_t memory_bytes, struct complaints *complaints)
{
	struct parse parse = {.policy = policy, .complaints = complaints};
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
		parse.file = policy->files[i];
		parse.file_index = (uint16_t)i;
		take_source(&parse, sources[i].text, sources[i].size);
	}
	if (complaints->errors == errors_before) {
		check_memory(&parse, memory_bytes);
		if (policy->watch_count == 0 && count > 0)
			complain(complaints, true, policy->files[0], 1,
				 "there is no watch, so nothing is guarded: add watch \"/path\" { }");
	}
	return complaints->errors == errors_before;
}
