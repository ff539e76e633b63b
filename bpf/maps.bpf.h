/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The maps of include/hooks.h. They are the same in every object (weak: the linker keeps one of each).
 *
 * For the loader, the names of the programs say when they are wanted:
 *   lsm_HOOK    section lsm/HOOK: full mode, where the kernel's BTF has a function bpf_lsm_HOOK
 *   lsm_HOOK_N  the same, and only where that function has N arguments
 *   tp_NAME     section tp_btf/NAME: labels-only mode wants all of them; full mode wants tp_sched_process_exit alone
 * Everything else has autoload off. The map `execs` is of no interest to anybody else: not pinned, not handed over.
 * Labels-only mode needs no inode storage: where the kernel has none (no CONFIG_BPF_LSM), autocreate is turned off for
 * `generations` and `verdicts`.
 */
#ifndef MAILWARD_MAPS_H
#define MAILWARD_MAPS_H

#include "kernel.h"

#include "hooks.h"

struct {
	__uint(type, BPF_MAP_TYPE_INODE_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct hook_generation);
} generations SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_INODE_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct hook_verdict);
} verdicts SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct hook_label);
} labels SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct hook_inode);
	__type(value, struct hook_origin);
} origins SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, uint32_t);
	__type(value, struct hook_label);
} leavers SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct hook_inode);
	__type(value, struct hook_folder);
} folders SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, uint32_t);
	__type(value, uint32_t);
} systems SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct hook_inode);
	__type(value, struct hook_label);
} programs SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, struct hook_orders);
} orders SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, struct hook_state);
} state SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} refusals SEC(".maps") __weak;

static __always_inline struct hook_orders *orders_now(void)
{
	uint32_t first = 0;

	return bpf_map_lookup_elem(&orders, &first);
}

static __always_inline struct hook_state *state_now(void)
{
	uint32_t first = 0;

	return bpf_map_lookup_elem(&state, &first);
}

/* The label of the process that `task` is a thread of: it lies at the first thread, so that a process that was labelled
 * from user space (by its pidfd) has it in all its threads, those included that ran already. NULL: none. */
static __always_inline struct hook_label *label_of(struct task_struct *task)
{
	struct task_struct *leader = task->group_leader;

	return leader ? bpf_task_storage_get(&labels, leader, 0, 0) : NULL;
}

#endif
