/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's types as far as the programs read them: names, not layouts. The compiler notes each member that is read
 * (preserve_access_index), libbpf finds where it lies in the kernel that runs. A member that some kernels lack is only
 * read behind bpf_core_field_exists().
 *
 * Compiled with -ffreestanding, so that <stdint.h> is the compiler's own.
 */
#ifndef MAILWARD_KERNEL_H
#define MAILWARD_KERNEL_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stdint.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	unsigned int val;
} kuid_t;

struct cred {
	kuid_t uid;
	kuid_t euid;
};

struct task_struct {
	unsigned int flags;
	int pid;
	int tgid;
	struct task_struct *group_leader;
	const struct cred *real_cred;
	const struct cred *cred;
};

struct hlist_node {
	struct hlist_node *next;
};

struct hlist_head {
	struct hlist_node *first;
};

struct dentry;

typedef struct {
	long long counter;
} atomic_long_t;

struct task_struct;

struct rt_mutex_base {
	struct task_struct *owner;
};

struct mutex {
	atomic_long_t owner;
};

/* the same with CONFIG_PREEMPT_RT */
struct mutex___rt {
	struct rt_mutex_base rtmutex;
};

struct super_block {
	uint32_t s_dev;
	struct dentry *s_root;
	struct mutex s_vfs_rename_mutex;
};

struct inode {
	unsigned short i_mode;
	struct super_block *i_sb;
	unsigned long i_ino;
	unsigned int i_nlink;
	long long i_size;
	uint32_t i_generation;
	struct hlist_head i_dentry;
};

struct qstr {
	uint32_t
		hash; /* these two, and both at once: in the kernel a union; 6.1 lets only the parts be read directly */
	uint32_t len;
	uint64_t hash_len;
	const unsigned char *name;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	struct super_block *d_sb;
	union {
		struct hlist_node d_alias;
	} d_u;
};

/* where the union has no name */
struct dentry___flat {
	struct hlist_node d_alias;
};

struct path {
	struct dentry *dentry;
};

struct file {
	unsigned int f_mode;
	unsigned int f_flags;
	struct path f_path;
	struct inode *f_inode;
};

struct linux_binprm {
	struct file *file;
};

struct vm_area_struct {
	unsigned long vm_flags;
	struct file *vm_file;
};

struct iattr {
	unsigned int ia_valid;
};

#pragma clang attribute pop

/* include/linux/fs.h, mm.h, sched.h: the same on every kernel since 5.x */
#define FMODE_READ 1
#define FMODE_WRITE 2
#define FLAG_EXEC 0x20 /* __FMODE_EXEC in f_flags: opened to be executed */
#define MAY_WRITE 2
#define MAY_READ 4
#define ATTR_SIZE 8
#define KIND_MASK 0170000
#define KIND_REGULAR 0100000
#define KIND_FOLDER 0040000
#define MAPPING_KIND 0xf
#define MAPPING_SHARED 1
#define MAPPING_SHARED_VALIDATE 3
#define MEMORY_READ 1 /* PROT_READ, VM_READ */
#define MEMORY_WRITE 2
#define MEMORY_EXEC 4
#define VM_SHARED 8
#define PF_KTHREAD 0x00200000
#define CLONE_THREAD 0x00010000
#define TRACE_ATTACH 2 /* PTRACE_MODE_ATTACH */

#define EPERM 1
#define ENOENT 2
#define ENOMEM 12

#define MODE_ENFORCE 2 /* enum watch_mode, daemon/think/policy.h */

#endif
