// SPDX-License-Identifier: GPL-2.0-only
/*
 * mailward probe: loads and attaches the programs of the full mode, and holds an open on a tmpfs of its own, instead of
 * reading versions. What is attached guards nothing (nobody has given it orders) and goes when this process ends; a
 * daemon that runs has its own.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "attach.h"
#include "log.h"
#include "output.h"
#include "trial.h"

static const char *const state_names[] = {
	[HOOK_ABSENT] = "absent", [HOOK_FAILED] = "failed", [HOOK_ATTACHED] = "attached"};

/* The whole answer. */
struct probed {
	struct attached attached;
	struct trial trial;
	const char *mode, *why, *remedy;
	char kernel[sizeof(((struct utsname *)0)->release)];
	char lsm[256]; /* active security modules, empty: not told */
};

static void read_modules(char *out, size_t size)
{
	FILE *file = fopen("/sys/kernel/security/lsm", "re");

	out[0] = 0;
	if (!file)
		return;
	if (!fgets(out, (int)size, file))
		out[0] = 0;
	out[strcspn(out, "\n")] = 0;
	fclose(file);
}

static bool can_hold(const struct trial *trial)
{
	return trial->permission && trial->names;
}

static void judge(struct probed *probed)
{
	const struct attached *attached = &probed->attached;

	probed->why = probed->remedy = "";
	if (!can_hold(&probed->trial)) {
		probed->mode = "none";
		probed->why = probed->trial.why;
		probed->remedy =
			"run a kernel from 5.17 on with CONFIG_FANOTIFY_ACCESS_PERMISSIONS, and give CAP_SYS_ADMIN";
		return;
	}
	probed->mode = attached->mode == ATTACH_FULL ? "full" : "reduced";
	if (attached->mode != ATTACH_FULL) {
		probed->why = attached->why;
		probed->remedy = attached->remedy;
	}
}

static int probed_find(struct probed *probed)
{
	struct utsname system;
	int error;

	memset(probed, 0, sizeof(*probed));
	uname(&system);
	memcpy(probed->kernel, system.release, sizeof(probed->kernel));
	read_modules(probed->lsm, sizeof(probed->lsm));
	trial_run(&probed->trial);
	error = attach_run(&probed->attached, false);
	if (error)
		return trouble("the kernel side cannot be tried: %s", strerror(-error));
	judge(probed);
	return EXIT_FINE;
}

static json_t *hooks_to_json(const struct attached *attached)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < attached->hook_count; i++) {
		const struct attach_hook *hook = &attached->hooks[i];
		json_array_append_new(
			list, json_pack("{s:o, s:s, s:o}", "name", json_text(hook->name, strlen(hook->name)), "state",
					state_names[hook->state], "error",
					hook->error ? json_string(strerrorname_np(-hook->error)) : json_string("")));
	}
	return list;
}

static void print_object(const struct probed *probed)
{
	const struct trial *trial = &probed->trial;
	json_t *fanotify = json_pack("{s:b, s:b, s:b, s:b, s:b, s:b}", "permission", trial->permission, "exec",
				     trial->exec, "names", trial->names, "evictable", trial->evictable,
				     "report_fd_error", trial->report_fd_error, "pidfd", trial->pidfd);

	print_json(stdout,
		   json_pack("{s:o, s:s, s:o, s:o, s:b, s:o, s:o, s:o}", "kernel",
			     json_text(probed->kernel, strlen(probed->kernel)), "mode", probed->mode, "why",
			     json_text(probed->why, strlen(probed->why)), "remedy",
			     json_text(probed->remedy, strlen(probed->remedy)), "labels",
			     probed->attached.mode != ATTACH_NONE, "fanotify", fanotify, "lsm",
			     json_text(probed->lsm, strlen(probed->lsm)), "hooks", hooks_to_json(&probed->attached)));
}

static void print_line(const char *title, const char *text)
{
	char quoted[QUOTED_ROOM(512)];

	if (!text[0])
		return;
	text_quote(quoted, sizeof(quoted), text, strlen(text));
	printf("%-9s %s\n", title, quoted);
}

static void print_fanotify(const struct trial *trial)
{
	const struct {
		bool has;
		const char *what;
	} abilities[] = {{trial->permission, "opens are held and refused"},
			 {trial->exec, "execs are told apart"},
			 {trial->names, "moves and new names are told"},
			 {trial->evictable, "ignore marks go with the cache (FAN_MARK_EVICTABLE)"},
			 {trial->report_fd_error, "events without a descriptor say why (FAN_REPORT_FD_ERROR)"},
			 {trial->pidfd, "events name their process for sure (FAN_REPORT_PIDFD)"}};

	for (size_t i = 0; i < sizeof(abilities) / sizeof(abilities[0]); i++)
		printf("%-9s %-3s  %s\n", i ? "" : "fanotify", abilities[i].has ? "yes" : "no", abilities[i].what);
}

static void print_hooks(const struct attached *attached, bool header)
{
	char name[QUOTED_ROOM(sizeof(attached->hooks[0].name))];

	if (header && attached->hook_count)
		printf("\n%-9s %s\n", "STATE", "HOOK");
	for (uint32_t i = 0; i < attached->hook_count; i++) {
		const struct attach_hook *hook = &attached->hooks[i];
		text_column(name, sizeof(name), hook->name, strnlen(hook->name, sizeof(hook->name)));
		printf("%-9s %s%s%s%s\n", state_names[hook->state], name, hook->error ? " (" : "",
		       hook->error ? strerror(-hook->error) : "", hook->error ? ")" : "");
	}
}

static void print_text(const struct probed *probed, bool header)
{
	static const char full[] = "full", reduced[] = "reduced";
	const char *meaning = strcmp(probed->mode, full) == 0 ? ": no byte is read without a verdict"
			      : strcmp(probed->mode, reduced) == 0
				      ? ": opens and execs can be guarded, descriptors that are open already can't"
				      : ": nothing can be guarded";
	char mode[128];

	print_line("kernel", probed->kernel);
	snprintf(mode, sizeof(mode), "%s%s", probed->mode, meaning);
	print_line("mode", mode);
	print_line("why", probed->why);
	print_line("remedy", probed->remedy);
	print_line("labels", probed->attached.mode != ATTACH_NONE ? "yes: mail software and what it starts is known"
								  : "no: nobody knows who is mail software");
	print_line("lsm", probed->lsm);
	print_fanotify(&probed->trial);
	print_hooks(&probed->attached, header);
}

int verb_probe(const struct options *options, int argc, char **argv)
{
	static struct probed probed;
	int code;

	if (argc > 1)
		return usage_error("probe", "unexpected argument %s", argv[1]);
	if (geteuid() != 0)
		return trouble("probe tries what only root may: run it as root");
	code = probed_find(&probed);
	if (code != EXIT_FINE)
		return code;
	if (options->json)
		print_object(&probed);
	else
		print_text(&probed, options->header);
	code = strcmp(probed.mode, "full") == 0 ? EXIT_FINE : EXIT_FOUND;
	attach_close(&probed.attached);
	return code;
}
