/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks by which programs that use disk images see each other.
 * Not mandatory: a program that takes no such locks (dd, mount of a loop device) sees nothing.
 *
 * The convention is QEMU's (its block/file-posix.c), used by QEMU, qemu-img, qemu-nbd and
 * qemu-storage-daemon: shared locks of the open file description on single bytes. Byte 100 + p says
 * "I use permission p", byte 200 + p "I let nobody else use permission p". Who has taken his own
 * bytes looks whether a conflicting one is held: two that start at the same moment may both give
 * up, but never both go on.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/log.h"
#include "storage/file_priv.h"

#define LOCK_USED_BASE 100
#define LOCK_DENIED_BASE 200

enum permission {
	PERMISSION_CONSISTENT_READ,
	PERMISSION_WRITE,
	PERMISSION_WRITE_UNCHANGED,
	PERMISSION_RESIZE,
	PERMISSION_MAX_,
};

/* What a disk uses, and what it denies to others, as bits. */
static unsigned lock_used(bool read_only)
{
	return read_only ? 1u << PERMISSION_CONSISTENT_READ
			 : 1u << PERMISSION_CONSISTENT_READ | 1u << PERMISSION_WRITE;
}

static unsigned lock_denied(void)
{
	return 1u << PERMISSION_WRITE;
}

static struct flock lock_byte(short type, off_t byte)
{
	struct flock lock;

	memset(&lock, 0, sizeof(lock));
	lock.l_type = type;
	lock.l_whence = SEEK_SET;
	lock.l_start = byte;
	lock.l_len = 1;
	return lock;
}

/* 0 or -errno. */
static int lock_take(int fd, off_t base, unsigned permissions)
{
	for (unsigned p = 0; p < PERMISSION_MAX_; p++) {
		struct flock lock = lock_byte(F_RDLCK, base + (off_t)p);

		if ((permissions & 1u << p) && fcntl(fd, F_OFD_SETLK, &lock) < 0)
			return -errno;
	}
	return 0;
}

/* Bits of the permissions whose byte another open file description has locked, or -errno. */
static int lock_held_by_others(int fd, off_t base, unsigned permissions)
{
	int held = 0;

	for (unsigned p = 0; p < PERMISSION_MAX_; p++) {
		struct flock lock = lock_byte(F_WRLCK, base + (off_t)p);

		if (!(permissions & 1u << p))
			continue;
		if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
			return -errno;
		if (lock.l_type != F_UNLCK)
			held |= 1 << p;
	}
	return held;
}

static int lock_conflict(const char *path, bool for_writing, bool read_only, struct err *err)
{
	if (for_writing)
		return err_set(
			err, EBUSY,
			"path: %s is in use by another process for writing (QEMU, qemu-img or "
			"another pariod disk); end that use first",
			path);
	return err_set(err, EBUSY,
		       "path: %s is in use by another process that allows nobody else to %s it "
		       "(QEMU, qemu-img or another pariod disk); end that use first%s",
		       path, read_only ? "read" : "write",
		       read_only ? "" : ", or set read-only on both sides");
}

int lock_image(int fd, const char *path, bool read_only, const char *tag, struct err *err)
{
	unsigned used = lock_used(read_only);
	int status, users, deniers;

	status = lock_take(fd, LOCK_USED_BASE, used);
	if (status == 0)
		status = lock_take(fd, LOCK_DENIED_BASE, lock_denied());
	/* Nobody of the convention locks exclusively, so this is somebody's lock of the file. */
	if (status == -EAGAIN || status == -EACCES)
		return lock_conflict(path, false, read_only, err);
	if (status < 0) {
		log_warn(tag, "%s cannot be locked (%s): other users of it are not noticed", path,
			 strerror(-status));
		return 0;
	}
	users = lock_held_by_others(fd, LOCK_USED_BASE, lock_denied());
	deniers = lock_held_by_others(fd, LOCK_DENIED_BASE, used);
	if (users < 0 || deniers < 0)
		return err_set(err, users < 0 ? -users : -deniers,
			       "path: locks of %s cannot be read: %s", path,
			       strerror(users < 0 ? -users : -deniers));
	if (users)
		return lock_conflict(path, true, read_only, err);
	if (deniers)
		return lock_conflict(path, false, read_only, err);
	return 0;
}
