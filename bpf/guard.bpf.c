// SPDX-License-Identifier: GPL-2.0-only
#include "maps.bpf.h"

char licence[] SEC("license") = "GPL";

SEC("lsm/file_open")
int BPF_PROG(lsm_file_open, struct file *file)
{
	return 0;
}

SEC("lsm/file_permission")
int BPF_PROG(lsm_file_permission, struct file *file, int mask)
{
	return 0;
}

SEC("lsm/mmap_file")
int BPF_PROG(lsm_mmap_file, struct file *file, unsigned long reqprot, unsigned long prot, unsigned long flags)
{
	return 0;
}

SEC("lsm/file_mprotect")
int BPF_PROG(lsm_file_mprotect, struct vm_area_struct *vma, unsigned long reqprot, unsigned long prot)
{
	return 0;
}

SEC("lsm/bprm_check_security")
int BPF_PROG(lsm_bprm_check_security, struct linux_binprm *bprm)
{
	return 0;
}

SEC("lsm/path_truncate")
int BPF_PROG(lsm_path_truncate, const struct path *path)
{
	return 0;
}

SEC("lsm/file_truncate")
int BPF_PROG(lsm_file_truncate, struct file *file)
{
	return 0;
}

SEC("lsm/inode_setattr")
int BPF_PROG(lsm_inode_setattr_2, struct dentry *dentry, struct iattr *attributes)
{
	return 0;
}

SEC("lsm/inode_setattr")
int BPF_PROG(lsm_inode_setattr_3, void *idmap, struct dentry *dentry, struct iattr *attributes)
{
	return 0;
}

SEC("lsm/inode_rename")
int BPF_PROG(lsm_inode_rename, struct inode *old_folder, struct dentry *old, struct inode *new_folder,
	     struct dentry *new)
{
	return 0;
}

SEC("lsm/inode_link")
int BPF_PROG(lsm_inode_link, struct dentry *old, struct inode *folder, struct dentry *new)
{
	return 0;
}

SEC("lsm/inode_unlink")
int BPF_PROG(lsm_inode_unlink, struct inode *folder, struct dentry *dentry)
{
	return 0;
}
