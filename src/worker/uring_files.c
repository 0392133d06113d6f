/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files registered with a worker's ring, and how many use each.
 * Not the opening of files.
 *
 * A descriptor's slot is its own number, so there is nothing to search; one beyond the table is
 * used unregistered. The table is made when the first file comes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/check.h"
#include "worker/worker_priv.h"

/* As many as disks that one worker may have to do with; 8 bytes each in the kernel. */
#define URING_FILES_MAX 4096u

struct uring_files {
	unsigned slot_cnt; /* 0: the kernel refused the table */
	unsigned users[];
};

static void uring_files_open(struct uring *uring)
{
	unsigned cnt = URING_FILES_MAX;
	struct uring_files *files;
	struct rlimit limit;
	int rc;

	/* The kernel takes no larger table. */
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < cnt)
		cnt = (unsigned)limit.rlim_cur;
	files = calloc(1, sizeof(*files) + cnt * sizeof(files->users[0]));
	if (!files)
		return;
	rc = io_uring_register_files_sparse(&uring->ring, cnt);
	if (rc == 0)
		files->slot_cnt = cnt;
	else
		log_info("io_uring", "files are not registered, which costs a little: %s",
			 strerrordesc_np(-rc));
	uring->files = files;
}

int uring_file_get(struct uring *uring, int fd)
{
	struct uring_files *files;

	if (!uring->files)
		uring_files_open(uring);
	files = uring->files;
	if (!files || fd < 0 || (unsigned)fd >= files->slot_cnt)
		return -1;
	if (files->users[fd] == 0 &&
	    io_uring_register_files_update(&uring->ring, (unsigned)fd, &fd, 1) != 1)
		return -1;
	files->users[fd]++;
	return fd;
}

void uring_file_put(struct uring *uring, int slot)
{
	struct uring_files *files = uring->files;
	const int none = -1;
	int rc;

	if (slot < 0)
		return;
	CHECK(files && (unsigned)slot < files->slot_cnt && files->users[slot] > 0);
	if (--files->users[slot] > 0)
		return;
	rc = io_uring_register_files_update(&uring->ring, (unsigned)slot, &none, 1);
	if (rc != 1)
		log_warn("io_uring", "a closed image stays open until its slot is used again: %s",
			 strerrordesc_np(-rc));
}

void uring_files_fini(struct uring *uring)
{
	free(uring->files);
	uring->files = NULL;
}
