// SPDX-License-Identifier: GPL-2.0-only
#include "engine.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "calls.h"
#include "charsets.h"
#include "engine_state.h"
#include "layers.h"
#include "log.h"

#define PCRE_STEPS 100000 /* libclamav's own, but of depth, too: there it has 2,000 */

/* What the scan that is going on has seen. libclamav's callbacks have a context, its messages have none that can be
 * relied on; a worker has one scan at a time. */
static struct layers *scanning;

static char complaint[FINDING_SIZE]; /* the first error, but for those of scans */

const char *engine_complaint(void)
{
	return complaint;
}

void engine_complaint_forget(void)
{
	complaint[0] = 0;
}

static void on_message(enum cl_msg severity, const char *full, const char *message, void *context)
{
	(void)full;
	(void)context;
	if (severity < CL_MSG_WARN)
		return;
	if (scanning)
		findings_message(scanning->findings, message);
	else if (severity >= CL_MSG_ERROR && !complaint[0])
		text_printable(complaint, sizeof(complaint), message);
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

struct engine *engine_new(const struct scanner_settings *settings)
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
