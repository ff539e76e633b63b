// SPDX-License-Identifier: GPL-2.0-only
#include "engine.h"

#include <clamav.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "calls.h"
#include "canary.h"
#include "charsets.h"
#include "layers.h"
#include "log.h"

#define CANARY_FILE "canary.ndb"
#define PCRE_STEPS 100000 /* libclamav's own, but of depth, too: there it has 2,000 */

struct engine {
	struct cl_engine *clam;
	struct cl_scan_options options;
	unsigned char canary[CANARY_BYTES];
	uint32_t deny_types;
	unsigned max_parts;
	bool shallow; /* its limits do not let it look into a mail */
	void (*alive)(void *owner);
	void *owner;
	unsigned calls;
};

/* What the scan that is going on has seen. libclamav's callbacks have a context, its messages have none that can be
 * relied on; a worker has one scan at a time. */
static struct layers *scanning;

static char load_message[FINDING_SIZE]; /* the first error while loading */

static void on_message(enum cl_msg severity, const char *full, const char *message, void *context)
{
	(void)full;
	(void)context;
	if (severity < CL_MSG_WARN)
		return;
	if (scanning)
		findings_message(scanning->findings, message);
	else if (severity >= CL_MSG_ERROR && !load_message[0])
		text_printable(load_message, sizeof(load_message), message);
}

static void on_failed_call(const char *call, int error)
{
	char text[FINDING_SIZE];

	if (!scanning)
		return;
	if (error == ETIME) { /* it would again: no error of the moment */
		findings_error(scanning->findings, REASON_UNSUPPORTED, call);
		return;
	}
	snprintf(text, sizeof(text), "%s: %s", call, strerrordesc_np(error)); /* no translation, no memory */
	findings_error(scanning->findings, error == ENOMEM ? REASON_ENGINE_ERROR : REASON_IO_ERROR, text);
}

static void on_name(int fd, const char *name, void *context)
{
	(void)fd, (void)context;
	if (scanning && name)
		layers_name(scanning, name);
}

static cl_error_t on_layer(int fd, const char *type, const char **ancestors, size_t parent_size, const char *name,
			   size_t size, const char *buffer, uint32_t level, uint32_t attributes, void *context)
{
	(void)fd, (void)ancestors, (void)parent_size, (void)level, (void)attributes, (void)context;
	return !scanning || layers_begin(scanning, type, (const unsigned char *)buffer, size, name) ? CL_CLEAN
												    : CL_BREAK;
}

static cl_error_t on_layer_end(int fd, int result, const char *name, void *context)
{
	(void)fd, (void)result, (void)name, (void)context;
	if (scanning)
		layers_end(scanning);
	return CL_CLEAN;
}

static cl_error_t on_member(const char *container, unsigned long packed, const char *name, unsigned long size,
			    int encrypted, unsigned int position, void *context)
{
	(void)packed, (void)position, (void)context;
	if (scanning)
		layers_member(scanning, container ? container : "", name ? name : "", size, encrypted != 0);
	return CL_CLEAN;
}

static void loading(struct engine *engine)
{
	if (engine->alive)
		engine->alive(engine->owner);
}

static int on_signature(const char *type, const char *name, unsigned int custom, void *context)
{
	struct engine *engine = context;

	(void)type, (void)name, (void)custom;
	if ((++engine->calls & 1023) == 0)
		loading(engine);
	return 0;
}

static cl_error_t on_progress(size_t total, size_t done, void *context)
{
	(void)total, (void)done;
	loading(context);
	return CL_SUCCESS;
}

int engine_start(void)
{
	charsets_open();
	cl_set_clcb_msg(on_message);
	return cl_init(CL_INIT_DEFAULT) == CL_SUCCESS ? 0 : -EIO;
}

const char *engine_version(void)
{
	return cl_retver();
}

bool engine_opens_rar(void)
{
	static const int *have_rar;
	static bool looked;

	if (!looked) /* set by cl_init() when it found libclamunrar_iface; there is no public word for it */
		have_rar = dlsym(RTLD_DEFAULT, "have_rar");
	looked = true;
	return have_rar && *have_rar;
}

static int settings_apply(struct cl_engine *clam, const struct scanner_settings *settings)
{
	const struct {
		enum cl_engine_field field;
		long long value;
	} numbers[] = {
		{CL_ENGINE_MAX_FILESIZE, (long long)settings->max_file_size},
		{CL_ENGINE_MAX_SCANSIZE, (long long)settings->max_scan_size},
		{CL_ENGINE_MAX_FILES, settings->max_files},
		{CL_ENGINE_MAX_RECURSION, settings->max_depth},
		{CL_ENGINE_MAX_SCANTIME, settings->scan_time_ms},
		/* Beyond these it leaves a step out, and says nothing. */
		{CL_ENGINE_MAX_EMBEDDEDPE, (long long)settings->max_file_size},
		{CL_ENGINE_MAX_HTMLNORMALIZE, (long long)settings->max_file_size},
		{CL_ENGINE_MAX_HTMLNOTAGS, (long long)settings->max_file_size},
		{CL_ENGINE_MAX_SCRIPTNORMALIZE, (long long)settings->max_file_size},
		{CL_ENGINE_MAX_ZIPTYPERCG, (long long)settings->max_file_size},
		{CL_ENGINE_PCRE_MAX_FILESIZE, (long long)settings->max_file_size},
		{CL_ENGINE_PCRE_MATCH_LIMIT, PCRE_STEPS}, /* for each byte to begin at: calls.h */
		{CL_ENGINE_PCRE_RECMATCH_LIMIT, PCRE_STEPS},
		{CL_ENGINE_DISABLE_CACHE, 1}, /* it keeps what was "clean" for want of room */
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (cl_engine_set_num(clam, numbers[i].field, numbers[i].value) != CL_SUCCESS)
			return -EINVAL;
	return 0;
}

static struct engine *engine_new(const struct scanner_settings *settings)
{
	struct engine *engine = calloc(1, sizeof(*engine));

	if (!engine)
		return NULL;
	engine->clam = cl_engine_new();
	if (!engine->clam || settings_apply(engine->clam, settings) < 0) {
		engine_free(engine);
		return NULL;
	}
	engine->shallow = settings->max_depth < 4;
	engine->deny_types = settings->deny_types;
	engine->max_parts = settings->max_files;
	engine->options = (struct cl_scan_options){
		.general = CL_SCAN_GENERAL_ALLMATCHES | CL_SCAN_GENERAL_HEURISTICS,
		.parse = ~0u,
		.heuristic = CL_SCAN_HEURISTIC_EXCEEDS_MAX | CL_SCAN_HEURISTIC_ENCRYPTED_ARCHIVE |
			     CL_SCAN_HEURISTIC_ENCRYPTED_DOC | CL_SCAN_HEURISTIC_PHISHING_SSL_MISMATCH |
			     CL_SCAN_HEURISTIC_PHISHING_CLOAK | CL_SCAN_HEURISTIC_MACROS | CL_SCAN_HEURISTIC_BROKEN,
	};
	cl_engine_set_clcb_virus_found(engine->clam, on_name);
	cl_engine_set_clcb_file_inspection(engine->clam, on_layer);
	cl_engine_set_clcb_post_scan(engine->clam, on_layer_end);
	cl_engine_set_clcb_meta(engine->clam, on_member);
	cl_engine_set_clcb_sigload(engine->clam, on_signature, engine);
	cl_engine_set_clcb_sigload_progress(engine->clam, on_progress, engine);
	cl_engine_set_clcb_engine_compile_progress(engine->clam, on_progress, engine);
	return engine;
}

void engine_free(struct engine *engine)
{
	if (!engine)
		return;
	if (engine->clam)
		cl_engine_free(engine->clam);
	free(engine);
}

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
		 load_message[0] ? ": " : "", load_message);
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
	load_message[0] = 0;
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

	load_message[0] = 0;
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

void engine_settle(struct engine *engine)
{
	unsigned seed = 0;

	cl_engine_set_str(engine->clam, CL_ENGINE_TMPDIR, "/");
	if (getrandom(&seed, sizeof(seed), 0) == sizeof(seed))
		srand(seed);
}

void engine_time(struct engine *engine, uint64_t ms)
{
	cl_engine_set_num(engine->clam, CL_ENGINE_MAX_SCANTIME, (long long)ms);
}

static void code_note(struct findings *findings, int code)
{
	switch ((cl_error_t)code) {
	case CL_CLEAN:
		break;
	case CL_VIRUS:
		if (!findings->named)
			findings_error(findings, REASON_ENGINE_ERROR, "a finding without a name");
		break;
	case CL_ETIMEOUT:
		findings_name(findings, "Heuristics.Limits.Exceeded.MaxScanTime");
		break;
	case CL_EMAXREC:
		findings_name(findings, "Heuristics.Limits.Exceeded.MaxRecursion");
		break;
	case CL_EMAXSIZE:
		findings_name(findings, "Heuristics.Limits.Exceeded.MaxScanSize");
		break;
	case CL_EMAXFILES:
		findings_name(findings, "Heuristics.Limits.Exceeded.MaxFiles");
		break;
	case CL_EOPEN:
	case CL_ECREAT:
	case CL_EUNLINK:
	case CL_ESTAT:
	case CL_EREAD:
	case CL_ESEEK:
	case CL_EWRITE:
	case CL_EDUP:
	case CL_EACCES:
	case CL_ETMPFILE:
	case CL_ETMPDIR:
	case CL_EMAP:
		findings_error(findings, REASON_IO_ERROR, cl_strerror((cl_error_t)code));
		break;
	default: /* no verdict: libclamav's own words, of which newer ones may have more */
		findings_error(findings, REASON_ENGINE_ERROR, cl_strerror((cl_error_t)code));
		break;
	}
}

void engine_scan(struct engine *engine, int fd, struct findings *findings)
{
	static struct layers layers;
	struct cl_scan_options options = engine->options;
	const char *name = NULL;
	unsigned long scanned = 0;
	int code;

	layers_open(&layers, findings, engine_opens_rar(), engine->deny_types, engine->max_parts);
	scanning = &layers;
	calls_watch(on_failed_call);
	code = (int)cl_scandesc_callback(fd, NULL, &name, &scanned, engine->clam, &options, NULL);
	calls_watch(NULL);
	scanning = NULL;
	layers_close(&layers);
	if (name) /* as a rule the callback had it; then this changes nothing */
		findings_name(findings, name);
	code_note(findings, code);
}

const unsigned char *engine_canary_bytes(const struct engine *engine, bool *shallow)
{
	*shallow = engine->shallow;
	return engine->canary;
}
