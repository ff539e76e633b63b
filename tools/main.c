// SPDX-License-Identifier: GPL-2.0-only
/* mailward VERB: the table of verbs, and the options that all of them take. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "output.h"
#include "tool.h"

static const struct verb {
	const char *name;
	int (*run)(const struct options *options, int argc, char **argv);
	const char *arguments;
	const char *purpose;
} verbs[] = {
	{"status", verb_status, "[--field NAME]", "mode, health, coverage of each watch, processes, counters"},
	{"blocked", verb_blocked, "[--since 1h] [--path P] [--user U] [--reason R] [--follow] [--fail-on-found]",
	 "every access that was denied: who, what, why, by which line"},
	{"watch", verb_watch, "[--path P] [--user U] [--reason R] [--fail-on-found]", "every decision, live"},
	{"explain", verb_explain, "PATH", "what an open of PATH would get now, and which line says so"},
	{"check", verb_check, "[FILE]", "is a policy right, and what does it say"},
	{"selftest", verb_selftest, "", "is a canary refused in each watch that enforces"},
	{"probe", verb_probe, "", "what this kernel can do, tried for real; needs no daemon, but root"},
	{"definitions", verb_definitions, "",
	 "what verdicts are made with: files, versions, age, and what is not in use"},
	{"reload", verb_reload, "", "take the policy file again; the old one stays where it is wrong"},
	{"scan", verb_scan, "[--all] [--quarantine] [--mounts] PATH... | --resume",
	 "have files judged, now; what accesses wait for goes first"},
	{"quarantine", verb_quarantine, "[list] | show ID | restore ID | delete ID --yes",
	 "what was moved away, and getting it back"},
	{"allow", verb_allow, "[list] | add --sha256 HEX|--signature NAME [--until TIME] --reason TEXT | remove ID",
	 "what is allowed although the scanner finds something, and until when"},
	{"clean", verb_clean, "PATH | MESSAGE-ID [--user USER] [--yes]",
	 "take one infected message out of an mbox or mdbox file"},
	{"release", verb_release, "ID", "restore it, and allow that content from now on"},
};
#define VERBS (sizeof(verbs) / sizeof(verbs[0]))
static const char *const later[] = {"top", "report", "metrics", "diag"};

static void print_usage(FILE *out)
{
	fputs("usage: mailward [OPTION]... VERB [ARGUMENT]...\n\n", out);
	for (size_t i = 0; i < VERBS; i++)
		fprintf(out, "  %-10s %s\n", verbs[i].name, verbs[i].purpose);
	fputs("\n"
	      "  --runtime-dir DIR  where mailwardd serves its sockets (/run/mailward)\n"
	      "  --state-dir DIR    where it keeps its history (/var/lib/mailward)\n"
	      "  --json             one object, or one a line\n"
	      "  --no-header        no line of titles\n"
	      "  --help --version\n\n"
	      "Exit: 0 fine, 1 found something, 2 usage, policy or I/O error, 3 not running, 4 can't tell.\n"
	      "mailward VERB --help; the whole of it: man mailward\n",
	      out);
}

int trouble(const char *format, ...)
{
	char text[2048], quoted[QUOTED_ROOM(sizeof(text))];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	text_quote(quoted, sizeof(quoted), text, strlen(text));
	fflush(stdout);
	fprintf(stderr, "mailward: %s\n", quoted);
	return EXIT_TROUBLE;
}

int usage_error(const char *verb, const char *format, ...)
{
	char text[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	return trouble("%s: %s (mailward %s --help)", verb, text, verb);
}

/* Takes --NAME VALUE or --NAME=VALUE at argv[*at]. 1: taken; 0: another word; -1: its value is missing (said). */
static int take_value(int argc, char **argv, int *at, const char *name, const char **value_out)
{
	size_t length = strlen(name);

	if (strncmp(argv[*at], name, length) != 0 || (argv[*at][length] != 0 && argv[*at][length] != '='))
		return 0;
	if (argv[*at][length] == '=') {
		*value_out = argv[*at] + length + 1;
	} else if (*at + 1 < argc) {
		*value_out = argv[++*at];
	} else {
		trouble("%s needs a directory", name);
		return -1;
	}
	return 1;
}

/* Moves the global options out of argv. Returns what is left of argc, or -1. */
static int take_options(struct options *options, int argc, char **argv, bool *help, bool *version)
{
	int left = 0, taken = 0;

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--") == 0) {
			while (i < argc)
				argv[left++] = argv[i++];
			break;
		}
		taken = take_value(argc, argv, &i, "--runtime-dir", &options->runtime_dir);
		if (taken == 0)
			taken = take_value(argc, argv, &i, "--state-dir", &options->state_dir);
		if (taken < 0)
			return -1;
		if (taken)
			continue;
		if (strcmp(argv[i], "--json") == 0)
			options->json = true;
		else if (strcmp(argv[i], "--no-header") == 0)
			options->header = false;
		else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			*help = true;
		else if (strcmp(argv[i], "--version") == 0)
			*version = true;
		else
			argv[left++] = argv[i];
	}
	argv[left] = NULL;
	return left;
}

static const struct verb *verb_find(const char *name)
{
	for (size_t i = 0; i < VERBS; i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

static int verb_unknown(const char *name)
{
	if (name[0] == '-')
		return trouble("unknown option %s (mailward --help)", name);
	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++)
		if (strcmp(later[i], name) == 0)
			return trouble("%s is not in this version yet", name);
	return trouble(
		"unknown verb %s; there are: status blocked watch explain check selftest probe definitions reload scan "
		"quarantine clean allow release",
		name);
}

static int run(int argc, char **argv)
{
	struct options options = {.runtime_dir = "/run/mailward", .state_dir = "/var/lib/mailward", .header = true};
	bool help = false, version = false;
	const struct verb *verb;
	int left = take_options(&options, argc - 1, argv + 1, &help, &version);

	if (left < 0)
		return EXIT_TROUBLE;
	if (version) {
		puts("mailward " MAILWARD_VERSION);
		return EXIT_FINE;
	}
	if (left == 0) {
		print_usage(help ? stdout : stderr);
		return help ? EXIT_FINE : EXIT_TROUBLE;
	}
	verb = verb_find(argv[1]);
	if (!verb)
		return verb_unknown(argv[1]);
	if (help) {
		printf("usage: mailward %s %s\n%s\n", verb->name, verb->arguments, verb->purpose);
		return EXIT_FINE;
	}
	return verb->run(&options, left, argv + 1);
}

int main(int argc, char **argv)
{
	int code = run(argc, argv);

	if (fflush(stdout) != 0 || ferror(stdout))
		return trouble("cannot write to standard output");
	return code;
}
