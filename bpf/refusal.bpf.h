/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kernel side refused by itself, told to the gate: now, or when the next one starts. */
#ifndef MAILWARD_REFUSAL_H
#define MAILWARD_REFUSAL_H

#include "maps.bpf.h"

#define PATH_NAMES 16
#define FILE_NAME 256   /* NAME_MAX and the zero */
#define FOLDER_NAME 128 /* longer ones end the path */

/* Names from the file upwards, as far as there is room. One kind of step, bounded by constants: what the verifier has
 * to follow grows with the number of names and not with its square. */
static __always_inline void refusal_path(struct hook_refusal *refusal, struct dentry *dentry, uint32_t dev)
{
	struct hook_inode key = {.dev = dev};
	struct dentry *at = dentry, *parent;
	const unsigned char *name = BPF_CORE_READ(at, d_name.name);
	uint32_t size = 0;
	long copied = bpf_probe_read_kernel_str(refusal->path, FILE_NAME, name);

	refusal->path_cut = 1;
	if (copied > 0 && copied <= FILE_NAME)
		size = copied;
#pragma clang loop unroll(disable)
	for (uint32_t i = 0; i < PATH_NAMES; i++) {
		parent = BPF_CORE_READ(at, d_parent);
		key.ino = BPF_CORE_READ(parent, d_inode, i_ino);
		if (bpf_map_lookup_elem(&folders, &key)) {
			refusal->path_cut = 0;
			break;
		}
		if (!parent || parent == at || size > HOOK_PATH_SIZE - FOLDER_NAME ||
		    BPF_CORE_READ(parent, d_name.hash_len) >> 32 >= FOLDER_NAME)
			break;
		name = BPF_CORE_READ(parent, d_name.name);
		copied = bpf_probe_read_kernel_str(refusal->path + size, FOLDER_NAME, name);
		if (copied <= 0 || copied > FOLDER_NAME)
			break;
		size += copied;
		at = parent;
	}
	refusal->path_size = size;
}

/* what: way | why << 8 | watch << 16. kept and verdict may be NULL. */
static __noinline int refusal_tell(struct inode *inode, struct dentry *dentry, struct hook_generation *kept,
				   struct hook_verdict *verdict, uint32_t what)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct hook_state *kernel = state_now();
	struct hook_refusal *refusal;

	if (!kernel)
		return 0;
	__sync_fetch_and_add(&kernel->refused, 1);
	refusal = bpf_ringbuf_reserve(&refusals, sizeof(*refusal), 0);
	if (!refusal) {
		__sync_fetch_and_add(&kernel->refusals_lost, 1);
		return 0;
	}
	refusal->monotonic_ns = bpf_ktime_get_ns();
	refusal->generation = kept ? kept->generation : 0;
	refusal->ino = inode->i_ino;
	refusal->dev = inode->i_sb->s_dev;
	refusal->pid = task->tgid;
	refusal->uid = task->real_cred->euid.val; /* under an overlay, ->cred is that of who mounted it */
	refusal->watch = what >> 16;
	refusal->way = what;
	refusal->why = what >> 8;
	if (verdict && kept && verdict->generation == kept->generation)
		__builtin_memcpy(&refusal->verdict, &verdict->verdict, sizeof(refusal->verdict));
	else
		__builtin_memset(&refusal->verdict, 0, sizeof(refusal->verdict));
	bpf_get_current_comm(refusal->comm, sizeof(refusal->comm));
	refusal_path(refusal, dentry, refusal->dev);
	bpf_ringbuf_submit(refusal, 0);
	return 0;
}

#endif
