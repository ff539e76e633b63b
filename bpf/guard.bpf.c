// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel refuses by itself, and what it counts. The rules, in the order in which they are looked at:
 *
 *   - Only regular files, only of a watch that enforces and whose store bears it.
 *   - Control files are left alone, but for exec. So are empty files, our own processes, and the mail software's own
 *     reading back of what it has open for writing.
 *   - With origin = mail, only what mail software wrote.
 *   - exec = never: no exec, no executable mapping.
 *   - An open is refused for a deny that is current (of this content, these definitions, this policy). Else fanotify
 *     asks the gate. An open through a stacked file system is refused without an allow: its mappings are not seen here.
 *   - A read, mapping or exec is refused without an allow of this content. While no gate lives, `on-down` says, but a
 *     known deny stays one.
 *
 *   - In a queue that gives infected messages up (HOOK_REFUSES_AS_ABSENT) only an open is refused, only for a deny that
 *     is current, and with ENOENT: qmgr then puts the file aside by itself, where EPERM would end it.
 *
 * Every change of content makes a new generation before it lands. Who refuses returns the constant -EPERM or -ENOENT:
 * 6.12 wants to see the range.
 */
#include "maps.bpf.h"
#include "place.bpf.h"
#include "refusal.bpf.h"

char licence[] SEC("license") = "GPL";

static __always_inline bool inode_is_regular(struct inode *inode)
{
	return inode && (inode->i_mode & KIND_MASK) == KIND_REGULAR;
}

static __always_inline bool gate_lives(struct hook_orders *now, struct hook_state *kernel)
{
	return now->session && kernel->dead_session != now->session &&
	       (int64_t)(bpf_ktime_get_ns() - now->heartbeat_ns) < (int64_t)HOOK_STANDSTILL_NS;
}

/* The answer that holds for this content: ANSWER_NONE where there is none. */
static __always_inline uint32_t answer_of(struct hook_orders *now, struct hook_state *kernel,
					  struct hook_generation *kept, struct hook_verdict *verdict)
{
	if (!kept || !verdict || verdict->generation != kept->generation)
		return ANSWER_NONE;
	if (verdict->session && (verdict->session != now->session || !gate_lives(now, kernel)))
		return ANSWER_NONE;
	return verdict->answer;
}

/* Nobody is kept from these, whatever is in the file. */
static __always_inline bool access_is_exempt(struct file *file, struct inode *inode, uint32_t way)
{
	struct hook_label *label = label_of(bpf_get_current_task_btf());

	if (inode->i_size == 0)
		return true;
	if (!label)
		return false;
	if (label->flags & HOOK_LABEL_OWN)
		return true;
	return label->flags & HOOK_LABEL_SERVICE && file->f_mode & FMODE_WRITE &&
	       (way == HOOK_WAY_READ || way == HOOK_WAY_MAP || way == HOOK_WAY_PROTECT);
}

/* Opened by somebody else in the name of who asks: through overlayfs. */
static __always_inline bool open_is_stacked(struct file *file, struct inode *inode)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (BPF_CORE_READ(file, f_path.dentry, d_sb) != inode->i_sb)
		return true;
	return task->cred != task->real_cred && !(task->flags & PF_KTHREAD);
}

enum { ASK_OPEN = 1, ASK_EXEC = 2 };

/* Why this access is refused; HOOK_WHYS: it is not. */
static __always_inline uint32_t access_why(struct hook_orders *now, struct hook_state *kernel, struct place *place,
					   struct hook_verdict *verdict, struct hook_watch *watch, uint32_t ask,
					   bool stacked)
{
	uint32_t answer;

	if (watch->origin_mail && !(place->kept && place->kept->origin) && !(verdict && verdict->origin))
		return HOOK_WHYS;
	if (ask & ASK_EXEC && watch->exec_never)
		return HOOK_WHY_EXEC_NEVER;
	answer = answer_of(now, kernel, place->kept, verdict);
	if (answer == ANSWER_ALLOW)
		return HOOK_WHYS;
	if (ask & ASK_OPEN) {
		if (answer == ANSWER_DENY && verdict && verdict->policy == now->policy &&
		    verdict->definitions == now->definitions)
			return HOOK_WHY_DENIED;
		if (!stacked)
			return HOOK_WHYS;
	}
	if (answer == ANSWER_DENY)
		return HOOK_WHY_DENIED;
	if (gate_lives(now, kernel))
		return stacked ? HOOK_WHY_STACKED : HOOK_WHY_UNKNOWN;
	return watch->down == ANSWER_ALLOW ? HOOK_WHYS : HOOK_WHY_DOWN;
}

/* The gate has read the mark on the disk: from now on it is remembered here, too, when the inode goes from the cache.
 */
static __always_inline void origin_learn(struct inode *inode, struct hook_generation *kept)
{
	struct hook_inode key = {.ino = inode->i_ino, .dev = inode->i_sb->s_dev, .generation = inode->i_generation};
	struct hook_origin origin = {.origin = HOOK_ORIGIN_MAIL};

	bpf_map_update_elem(&origins, &key, &origin, BPF_ANY);
	kept->origin = HOOK_ORIGIN_MAIL;
}

/* enum hook_refuses: nothing, with EPERM, or as if the file were not there. ask: of which kind the question is. */
static __always_inline uint32_t access_refusal(struct file *file, struct inode *inode, uint32_t way, uint32_t ask)
{
	struct hook_orders *now = orders_now();
	struct hook_state *kernel = state_now();
	struct hook_verdict *verdict;
	struct hook_watch *watch;
	struct place place;
	uint32_t why;

	if (!now || !kernel || !now->policy)
		return HOOK_REFUSES_NOTHING;
	place_of(&place, now, kernel, file, inode);
	if (place.watch == HOOK_OUTSIDE)
		return HOOK_REFUSES_NOTHING;
	watch = &now->watches[(place.watch >= 0 ? (uint32_t)place.watch : now->strictest) & (HOOKS_WATCHES - 1)];
	if (watch->mode != MODE_ENFORCE || watch->may_refuse == HOOK_REFUSES_NOTHING)
		return HOOK_REFUSES_NOTHING;
	if (place.unheld && way != HOOK_WAY_EXEC)
		return HOOK_REFUSES_NOTHING;
	if (watch->may_refuse == HOOK_REFUSES_AS_ABSENT && (way != HOOK_WAY_OPEN || place.watch < 0))
		return HOOK_REFUSES_NOTHING;
	verdict = bpf_inode_storage_get(&verdicts, inode, 0, 0);
	if (verdict && verdict->origin && place.kept && !place.kept->origin)
		origin_learn(inode, place.kept);
	why = access_why(now, kernel, &place, verdict, watch, ask, ask & ASK_OPEN && open_is_stacked(file, inode));
	if (why == HOOK_WHYS || access_is_exempt(file, inode, way))
		return HOOK_REFUSES_NOTHING;
	if (watch->may_refuse == HOOK_REFUSES_AS_ABSENT && why != HOOK_WHY_DENIED)
		return HOOK_REFUSES_NOTHING;
	refusal_tell(inode, place.dentry, place.kept, verdict, way | why << 8 | (uint32_t)place.watch << 16);
	return watch->may_refuse == HOOK_REFUSES_AS_ABSENT ? HOOK_REFUSES_AS_ABSENT : HOOK_REFUSES;
}

/* What mail software opens for writing becomes an attachment, wherever it lies. */
static __always_inline void origin_mark(struct inode *inode)
{
	struct hook_inode key = {.ino = inode->i_ino, .dev = inode->i_sb->s_dev, .generation = inode->i_generation};
	struct hook_label *label = label_of(bpf_get_current_task_btf());
	struct hook_origin origin = {.origin = HOOK_ORIGIN_MAIL};
	struct hook_state *kernel = state_now();
	struct hook_generation *kept;

	if (!label || !(label->flags & HOOK_LABEL_MAIL) || !kernel)
		return;
	bpf_map_update_elem(&origins, &key, &origin, BPF_ANY);
	kept = bpf_inode_storage_get(&generations, inode, 0, 0);
	if (!kept)
		kept = generation_keep(kernel, inode, HOOK_OUTSIDE);
	if (kept)
		kept->origin = HOOK_ORIGIN_MAIL;
}

/* ---- accesses ---- */

/* The refusal comes before the new generation, here and below: what fails changes nothing, and must not void the
 * verdict that it fails for. */
SEC("lsm/file_open")
int BPF_PROG(lsm_file_open, struct file *file)
{
	bool exec = file->f_flags & FLAG_EXEC, write = file->f_mode & FMODE_WRITE;
	struct hook_orders *now = orders_now();
	struct inode *inode = file->f_inode;
	uint32_t refusal = HOOK_REFUSES_NOTHING;

	if (!inode_is_regular(inode) || !now)
		return 0;
	if (file->f_mode & FMODE_READ || exec)
		refusal = access_refusal(file, inode, exec ? HOOK_WAY_EXEC : HOOK_WAY_OPEN,
					 ASK_OPEN | (exec ? ASK_EXEC : 0));
	if (refusal == HOOK_REFUSES_AS_ABSENT)
		return -ENOENT;
	if (refusal != HOOK_REFUSES_NOTHING)
		return -EPERM;
	if (write) {
		generation_bump(inode);
		if (now->track_origins)
			origin_mark(inode);
	}
	return 0;
}

SEC("lsm/file_permission")
int BPF_PROG(lsm_file_permission, struct file *file, int mask)
{
	bool exec = file->f_flags & FLAG_EXEC;
	struct inode *inode = file->f_inode;

	if (!inode_is_regular(inode))
		return 0;
	if (mask & MAY_WRITE)
		generation_bump(inode);
	if (mask & MAY_READ && access_refusal(file, inode, exec ? HOOK_WAY_EXEC : HOOK_WAY_READ, exec ? ASK_EXEC : 0))
		return -EPERM;
	return 0;
}

SEC("lsm/mmap_file")
int BPF_PROG(lsm_mmap_file, struct file *file, unsigned long reqprot, unsigned long prot, unsigned long flags)
{
	bool exec = prot & MEMORY_EXEC;
	uint32_t kind = flags & MAPPING_KIND;
	struct inode *inode;

	if (!file)
		return 0;
	inode = file->f_inode;
	if (!inode_is_regular(inode))
		return 0;
	if (access_refusal(file, inode, exec ? HOOK_WAY_EXEC : HOOK_WAY_MAP, exec ? ASK_EXEC : 0))
		return -EPERM;
	if ((kind == MAPPING_SHARED || kind == MAPPING_SHARED_VALIDATE) && file->f_mode & FMODE_WRITE)
		generation_bump(inode);
	return 0;
}

/* Only what a mapping could not do before is asked about: a running program may close its own mappings further. */
SEC("lsm/file_mprotect")
int BPF_PROG(lsm_file_mprotect, struct vm_area_struct *vma, unsigned long reqprot, unsigned long prot)
{
	struct file *file = vma->vm_file;
	uint64_t more = prot & ~vma->vm_flags & (MEMORY_READ | MEMORY_WRITE | MEMORY_EXEC);
	bool exec = more & MEMORY_EXEC;
	struct inode *inode;

	if (!file || !more)
		return 0;
	inode = file->f_inode;
	if (!inode_is_regular(inode))
		return 0;
	if ((exec || !(vma->vm_flags & MEMORY_READ)) &&
	    access_refusal(file, inode, exec ? HOOK_WAY_EXEC : HOOK_WAY_PROTECT, exec ? ASK_EXEC : 0))
		return -EPERM;
	if (more & MEMORY_WRITE && vma->vm_flags & VM_SHARED)
		generation_bump(inode);
	return 0;
}

/* For a script this is the script first, then its interpreter. */
SEC("lsm/bprm_check_security")
int BPF_PROG(lsm_bprm_check_security, struct linux_binprm *bprm)
{
	struct file *file = bprm->file;
	struct inode *inode;

	if (!file)
		return 0;
	inode = file->f_inode;
	if (inode_is_regular(inode) && access_refusal(file, inode, HOOK_WAY_EXEC, ASK_EXEC))
		return -EPERM;
	return 0;
}

/* ---- changes of content that no open file shows ---- */

SEC("lsm/path_truncate")
int BPF_PROG(lsm_path_truncate, const struct path *path)
{
	struct inode *inode = path->dentry->d_inode;

	if (inode)
		generation_bump(inode);
	return 0;
}

SEC("lsm/file_truncate")
int BPF_PROG(lsm_file_truncate, struct file *file)
{
	struct inode *inode = file->f_inode;

	if (inode)
		generation_bump(inode);
	return 0;
}

static __always_inline void size_is_set(struct dentry *dentry, struct iattr *attributes)
{
	struct inode *inode = dentry->d_inode;

	if (inode && attributes->ia_valid & ATTR_SIZE)
		generation_bump(inode);
}

SEC("lsm/inode_setattr")
int BPF_PROG(lsm_inode_setattr_2, struct dentry *dentry, struct iattr *attributes)
{
	size_is_set(dentry, attributes);
	return 0;
}

SEC("lsm/inode_setattr")
int BPF_PROG(lsm_inode_setattr_3, void *idmap, struct dentry *dentry, struct iattr *attributes)
{
	size_is_set(dentry, attributes);
	return 0;
}

/* ---- changes of place ---- */

/* Renames within one folder change the place of nothing below it. */
SEC("lsm/inode_rename")
int BPF_PROG(lsm_inode_rename, struct inode *old_folder, struct dentry *old, struct inode *new_folder,
	     struct dentry *new)
{
	struct hook_state *kernel = state_now();
	struct hook_generation *kept;
	struct inode *inode = old->d_inode;

	if (!inode || !kernel)
		return 0;
	if ((inode->i_mode & KIND_MASK) == KIND_FOLDER) {
		if (old_folder != new_folder && system_is_guarded(inode->i_sb->s_dev))
			__sync_fetch_and_add(&kernel->moves, 1);
		return 0;
	}
	kept = bpf_inode_storage_get(&generations, inode, 0, 0);
	if (kept)
		kept->place_epoch = 0;
	return 0;
}

/* One name less: it may have been the one inside. */
SEC("lsm/inode_unlink")
int BPF_PROG(lsm_inode_unlink, struct inode *folder, struct dentry *dentry)
{
	struct inode *inode = dentry->d_inode;
	struct hook_generation *kept;

	if (!inode)
		return 0;
	kept = bpf_inode_storage_get(&generations, inode, 0, 0);
	if (kept)
		kept->place_epoch = 0;
	return 0;
}
