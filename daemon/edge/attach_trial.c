// SPDX-License-Identifier: GPL-2.0-only
#include "attach_trial.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HOOK "bpf_lsm_task_getsid"

/* count += 1; return 0 */
static int load_counter(int map, unsigned hook)
{
	LIBBPF_OPTS(bpf_prog_load_opts, options, .attach_btf_id = hook, .expected_attach_type = BPF_LSM_MAC);
	const struct bpf_insn program[] = {
		{.code = BPF_LD | BPF_DW,
		 /* | BPF_IMM, which is 0 */ .dst_reg = 1,
		 .src_reg = BPF_PSEUDO_MAP_VALUE,
		 .imm = map},
		{.code = 0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 2, .imm = 1},
		{.code = BPF_STX | BPF_ATOMIC | BPF_DW, .dst_reg = 1, .src_reg = 2, .imm = BPF_ADD},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_LSM, "mailward_trial", "GPL", program,
			       sizeof(program) / sizeof(program[0]), &options);

	return fd < 0 ? -errno : fd;
}

static uint64_t count_of(int map)
{
	uint32_t key = 0;
	uint64_t count = 0;

	return bpf_map_lookup_elem(map, &key, &count) == 0 ? count : 0;
}

/* Is the hook called? 0, -ENOSYS: no; or -errno where the program could not be attached. */
static int is_called(int map, int program)
{
	int link = bpf_raw_tracepoint_open(NULL, program), error;

	if (link < 0)
		return -errno;
	error = getsid(getpid()) >= 0 && count_of(map) > 0 ? 0 : -ENOSYS;
	close(link);
	return error;
}

static bool has_rights(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[2] = {{0}};

	if (syscall(SYS_capget, &head, sets) < 0)
		return false;
	if (sets[0].effective >> CAP_SYS_ADMIN & 1)
		return true;
	return sets[CAP_BPF / 32].effective >> CAP_BPF % 32 & 1 &&
	       sets[CAP_PERFMON / 32].effective >> CAP_PERFMON % 32 & 1;
}

static bool locked_down(void)
{
	char text[100] = "";
	int fd = open("/sys/kernel/security/lockdown", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(fd);
	return strstr(text, "[confidentiality]");
}

static enum obstacle obstacle_of(int error)
{
	if (error == -ENOSYS)
		return OBSTACLE_NO_BPF;
	if (error != -EPERM && error != -EACCES)
		return OBSTACLE_PROGRAM;
	if (!has_rights())
		return OBSTACLE_RIGHTS;
	return locked_down() ? OBSTACLE_LOCKDOWN : OBSTACLE_REFUSED;
}

enum obstacle trial_lsm(const struct btf *kernel, int *error_out)
{
	int hook = btf__find_by_name_kind(kernel, HOOK, BTF_KIND_FUNC);
	int map, program, error;

	*error_out = 0;
	if (hook <= 0)
		return OBSTACLE_NOT_BUILT;
	map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "mailward_trial", sizeof(uint32_t), sizeof(uint64_t), 1, NULL);
	if (map < 0) {
		*error_out = -errno;
		return obstacle_of(*error_out);
	}
	program = load_counter(map, (unsigned)hook);
	error = program < 0 ? program : is_called(map, program);
	if (program >= 0)
		close(program);
	close(map);
	*error_out = error;
	if (program >= 0 && error == -ENOSYS)
		return OBSTACLE_NOT_ACTIVE;
	return error ? obstacle_of(error) : OBSTACLE_NONE;
}
