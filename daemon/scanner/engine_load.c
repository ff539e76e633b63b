// SPDX-License-Identifier: GPL-2.0-only
/* Signatures into an engine: the folder's, and a canary of our own. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <unistd.h>

#include "engine_state.h"

#define CANARY_FILE "canary.ndb"

/* libclamav takes signatures from files alone. */
static int canary_load(struct engine *engine, int own_dir)
{
	char line[64 + 2 * CANARY_BYTES], path[64];
	unsigned int count = 0;
	int length, fd, result;

	if (getrandom(engine->canary, sizeof(engine->canary), 0) != sizeof(engine->canary))
		return CL_EREAD;
	length = snprintf(line, sizeof(line), CANARY_NAME ":0:*:");
	for (int i = 0; i < CANARY_BYTES; i++)
		length += snprintf(line + length, sizeof(line) - (size_t)length, "%02x", engine->canary[i]);
	line[length++] = '\n';
	unlinkat(own_dir, CANARY_FILE, 0);
	fd = openat(own_dir, CANARY_FILE, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return CL_ECREAT;
	result = write(fd, line, (size_t)length) == length ? CL_SUCCESS : CL_EWRITE;
	close(fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d/" CANARY_FILE, own_dir);
	if (result == CL_SUCCESS)
		result = (int)cl_load(path, engine->clam, &count, CL_DB_STDOPT);
	unlinkat(own_dir, CANARY_FILE, 0);
	return result == CL_SUCCESS && count != 1 ? CL_EMALFDB : result;
}

/* What the header of a signed database says. false: it is none. Verified is what has been loaded: libclamav looks at
 * the signature of a .cvd and of nothing else. */
static bool header_read(int definitions_fd, struct definition_file *file)
{
	const char *dot = strrchr(file->name, '.');
	bool cvd = dot && !strcasecmp(dot, ".cvd");
	struct cl_cvd *head;
	char path[128];

	if (!cvd && !(dot && (!strcasecmp(dot, ".cld") || !strcasecmp(dot, ".cud"))))
		return false;
	file->verified = cvd ? VERIFIED_YES : VERIFIED_NO;
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", definitions_fd, file->name);
	head = cl_cvdhead(path);
	if (!head)
		return false;
	file->version = head->version;
	file->signatures = head->sigs;
	file->built_ns = head->stime * 1000000000ull;
	cl_cvdfree(head);
	return true;
}

/* "daily 27500, main 62, bytecode 335", as far as there are such files; else the identity in short. */
static void sources_read(int definitions_fd, struct engine_report *report)
{
	struct definitions *definitions = &report->definitions;
	size_t used = 0;

	report->text[0] = 0;
	report->built_ns = 0;
	for (unsigned i = 0; i < definitions->listed; i++) {
		struct definition_file *file = &definitions->list[i];
		if (!header_read(definitions_fd, file) || used >= sizeof(report->text) / 2)
			continue;
		if (file->built_ns > report->built_ns)
			report->built_ns = file->built_ns;
		used += (size_t)snprintf(report->text + used, sizeof(report->text) - used, "%s%.*s %u",
					 used ? ", " : "", (int)(strlen(file->name) - 4), file->name, file->version);
	}
	if (!used)
		snprintf(report->text, sizeof(report->text), "%08llx",
			 (unsigned long long)definitions->identity & 0xffffffffu);
}

static void load_failed(struct engine_report *report, const char *what, int code)
{
	snprintf(report->text, sizeof(report->text), "%s: %s%s%s", what, cl_strerror((cl_error_t)code),
		 engine_complaint()[0] ? ": " : "", engine_complaint());
}

static bool load_all(struct engine *engine, int definitions_fd, int own_dir, struct engine_report *report)
{
	char path[64];
	unsigned int signatures = 0;
	int code;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", definitions_fd);
	code = (int)cl_load(path, engine->clam, &signatures, CL_DB_STDOPT | CL_DB_PUA);
	report->signatures = signatures;
	if (code != CL_SUCCESS) {
		load_failed(report, "the definitions cannot be loaded", code);
		return false;
	}
	if (signatures == 0) {
		snprintf(report->text, sizeof(report->text), "there is no signature in the definitions");
		return false;
	}
	code = canary_load(engine, own_dir);
	if (code != CL_SUCCESS) {
		load_failed(report, "the canary cannot be loaded", code);
		report->definitions.identity = 0; /* no fault of the definitions: try again */
		return false;
	}
	code = (int)cl_engine_compile(engine->clam);
	if (code != CL_SUCCESS) {
		load_failed(report, "the definitions cannot be compiled", code);
		return false;
	}
	sources_read(definitions_fd, report);
	return true;
}

struct engine *engine_load(const struct scanner_settings *settings, int definitions_fd, int own_dir,
			   void (*alive)(void *owner), void *owner, struct engine_report *report)
{
	struct engine *engine;
	struct definitions after;
	char name[128];
	int result = definitions_look(definitions_fd, engine_version(), settings, &report->definitions);

	report->signatures = 0;
	engine_complaint_forget();
	if (result < 0 || report->definitions.files == 0) {
		snprintf(report->text, sizeof(report->text), "%s",
			 result < 0 ? "the folder of the definitions cannot be read"
				    : "there are no definitions in the folder");
		return NULL;
	}
	if (report->definitions.unreadable[0]) {
		text_printable(name, sizeof(name), report->definitions.unreadable);
		snprintf(report->text, sizeof(report->text),
			 "%s cannot be read by uid %u: make it readable for others (chmod o+r)", name,
			 (unsigned)geteuid());
		return NULL;
	}
	if (report->definitions.irregular[0]) {
		text_printable(name, sizeof(name), report->definitions.irregular);
		snprintf(report->text, sizeof(report->text), "%s is no regular file: take it away", name);
		return NULL;
	}
	engine = engine_new(settings);
	if (!engine) {
		snprintf(report->text, sizeof(report->text), "the engine does not take these limits, or no memory");
		return NULL;
	}
	engine->alive = alive;
	engine->owner = owner;
	if (!load_all(engine, definitions_fd, own_dir, report)) {
		engine_free(engine);
		return NULL;
	}
	if (definitions_look(definitions_fd, engine_version(), settings, &after) < 0 ||
	    after.identity != report->definitions.identity) {
		snprintf(report->text, sizeof(report->text), "the definitions changed while they were being loaded");
		report->definitions.identity = 0;
		engine_free(engine);
		return NULL;
	}
	return engine;
}

struct engine *engine_load_bare(const struct scanner_settings *settings, int own_dir, struct engine_report *report)
{
	struct engine *engine = engine_new(settings);
	int code;

	engine_complaint_forget();
	if (!engine) {
		snprintf(report->text, sizeof(report->text), "the engine does not take these limits, or no memory");
		return NULL;
	}
	code = canary_load(engine, own_dir);
	if (code == CL_SUCCESS)
		code = (int)cl_engine_compile(engine->clam);
	if (code == CL_SUCCESS)
		return engine;
	load_failed(report, "the canary cannot be loaded", code);
	engine_free(engine);
	return NULL;
}
