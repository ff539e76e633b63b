// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who is mail software: labels of processes (include/hooks.h).
 *
 * A label lies at the first thread of a process and counts for all of them. An exec is seen twice: before anything is
 * certain (bprm_creds_for_exec: still the program that was asked for, be it a script, and still the caller's user ids),
 * and when the process is the new program (bprm_committed_creds: no way back, but bprm->file is the interpreter by
 * then, the user ids may be those of a setuid file, and the calling thread has taken the place of the first one). So
 * the first hook works the new label out and leaves it in `execs`, the second one puts it on; what a failed exec has
 * left is overwritten or removed by the next one.
 *
 * Without BPF LSM three tracepoints do what they can: a script is not recognised there, its interpreter is what they
 * see.
 */
#include "maps.bpf.h"

#define LABEL_PREPARED (1u << 31) /* in execs only */
/* What no exec takes away. */
#define LABEL_KEPT (HOOK_LABEL_MAIL | HOOK_LABEL_OWN | HOOK_LABEL_GATE)

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct hook_label);
} execs SEC(".maps");

static __always_inline struct hook_label *program_of(struct file *file)
{
	struct hook_inode key = {};

	if (!file)
		return NULL;
	key.ino = BPF_CORE_READ(file, f_inode, i_ino);
	key.dev = BPF_CORE_READ(file, f_inode, i_sb, s_dev);
	return bpf_map_lookup_elem(&programs, &key);
}

/* Global root: numbers of the initial user namespace. */
static __always_inline bool caller_is_root(struct task_struct *task)
{
	return task->real_cred->uid.val == 0 && task->real_cred->euid.val == 0;
}

SEC("lsm/bprm_creds_for_exec")
int BPF_PROG(lsm_bprm_creds_for_exec, struct linux_binprm *bprm)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct hook_label *listed = program_of(bprm->file), *label = label_of(task), *prepared;
	struct hook_label next = {};

	if (label) {
		next.flags = LABEL_PREPARED | (label->flags & LABEL_KEPT);
		next.software = label->software;
	}
	if (listed) {
		next.flags |= LABEL_PREPARED | HOOK_LABEL_MAIL;
		next.software |= listed->software;
		if (caller_is_root(task) || (label && label->flags & HOOK_LABEL_SERVICE))
			next.flags |= HOOK_LABEL_SERVICE;
	}
	if (!next.flags) {
		prepared = bpf_task_storage_get(&execs, task, 0, 0);
		if (prepared)
			prepared->flags = 0;
		return 0;
	}
	prepared = bpf_task_storage_get(&execs, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!prepared)
		return -ENOMEM;
	*prepared = next;
	return 0;
}

SEC("lsm/bprm_committed_creds")
int BPF_PROG(lsm_bprm_committed_creds, struct linux_binprm *bprm)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct hook_label *prepared = bpf_task_storage_get(&execs, task, 0, 0), *label;

	if (!prepared || !(prepared->flags & LABEL_PREPARED))
		return 0;
	label = bpf_task_storage_get(&labels, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (label) {
		/* The daemon may have labelled us since. */
		label->flags = (label->flags & LABEL_KEPT) | (prepared->flags & ~LABEL_PREPARED);
		label->software |= prepared->software;
	}
	prepared->flags = 0;
	return 0;
}

/* A child has its parent's label, but is not the gate. Threads have that of their process. */
static __always_inline struct hook_label label_for_child(const struct hook_label *parent)
{
	return (struct hook_label){.flags = parent->flags & ~HOOK_LABEL_GATE, .software = parent->software};
}

/* No memory for the label: no child. Else what it writes would come from nowhere. */
SEC("lsm/task_alloc")
int BPF_PROG(lsm_task_alloc, struct task_struct *task, unsigned long clone_flags)
{
	struct hook_label *parent, child;

	if (clone_flags & CLONE_THREAD)
		return 0;
	parent = label_of(bpf_get_current_task_btf());
	if (!parent || !parent->flags)
		return 0;
	child = label_for_child(parent);
	if (!bpf_task_storage_get(&labels, task, &child, BPF_LOCAL_STORAGE_GET_F_CREATE))
		return -ENOMEM;
	return 0;
}

/* A service that has become a user's process is that user's to trace; what it may read back is not. Nobody but root
 * gets hold of such a process. */
SEC("lsm/ptrace_access_check")
int BPF_PROG(lsm_ptrace_access_check, struct task_struct *child, unsigned int mode)
{
	struct hook_label *label = label_of(child);

	if (mode & TRACE_ATTACH && label && label->flags & HOOK_LABEL_SERVICE &&
	    !caller_is_root(bpf_get_current_task_btf()))
		return -EPERM;
	return 0;
}

/* ---- labels-only mode ---- */

SEC("tp_btf/sched_process_exec")
int BPF_PROG(tp_sched_process_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct hook_label *listed = program_of(bprm->file), *label;

	label = bpf_task_storage_get(&labels, task, 0, listed ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);
	if (!label)
		return 0;
	label->flags &= ~HOOK_LABEL_SERVICE;
	if (listed) {
		label->flags |= HOOK_LABEL_MAIL;
		label->software |= listed->software;
	}
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(tp_sched_process_fork, struct task_struct *parent, struct task_struct *child)
{
	struct hook_label *label, copy;

	if (child->pid != child->tgid)
		return 0;
	label = label_of(parent);
	if (!label || !label->flags)
		return 0;
	copy = label_for_child(label);
	bpf_task_storage_get(&labels, child, &copy, BPF_LOCAL_STORAGE_GET_F_CREATE);
	return 0;
}

/* ---- both modes: ends ---- */

/* The gate's death is known before anybody whom fanotify lets go because of it reads a byte. A number that was used
 * again gives its entry up when that process ends too: until then the living one is asked. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(tp_sched_process_exit, struct task_struct *task)
{
	struct hook_orders *now = orders_now();
	struct hook_state *kernel = state_now();
	uint32_t process = task->tgid;
	struct hook_label *label, copy;

	if (task->pid != task->tgid)
		return 0;
	label = bpf_task_storage_get(&labels, task, 0, 0);
	if (label && label->flags & HOOK_LABEL_GATE && now && kernel)
		kernel->dead_session = now->session;
	if (label && label->flags & HOOK_LABEL_MAIL) {
		copy = *label;
		bpf_map_update_elem(&leavers, &process, &copy, BPF_ANY);
	} else if (bpf_map_lookup_elem(&leavers, &process)) {
		bpf_map_delete_elem(&leavers, &process);
	}
	return 0;
}
