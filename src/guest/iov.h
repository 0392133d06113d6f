/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cursor over an array of iovecs that point into guest memory (or anywhere): copy, skip, cut.
 * Not I/O: nothing here enters the kernel.
 */
#ifndef PARIO_GUEST_IOV_H
#define PARIO_GUEST_IOV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* A position in an iovec array; the array is not owned. iov_base is hva of guest memory. */
struct iov_cursor {
	const struct iovec *iov;
	unsigned cnt;        /* entries left, the current one included */
	size_t offset_bytes; /* into the current entry */
};

static inline void iov_cursor_init(struct iov_cursor *cur, const struct iovec *iov, unsigned cnt)
{
	cur->iov = iov;
	cur->cnt = cnt;
	cur->offset_bytes = 0;
}

uint64_t iov_total_bytes(const struct iovec *iov, unsigned cnt);

/* Each copies at most len bytes, moves on, and returns how many there were. */
size_t iov_copy_in(struct iov_cursor *cur, void *dst, size_t len);        /* iov -> dst */
size_t iov_copy_out(struct iov_cursor *cur, const void *src, size_t len); /* src -> iov */
/* From one cursor to another, until either ends. */
size_t iov_copy(struct iov_cursor *dst, struct iov_cursor *src, size_t len);
size_t iov_zero(struct iov_cursor *cur, size_t len);
size_t iov_skip(struct iov_cursor *cur, size_t len);

/*
 * Cuts len bytes off the front of *iov in place (entries are changed, the pointer and the count
 * move). Returns how many bytes were there to cut.
 */
size_t iov_cut_front(struct iovec **iov, unsigned *cnt, size_t len);
/* The same off the back. */
size_t iov_cut_back(struct iovec *iov, unsigned *cnt, size_t len);

/*
 * Fills out with up to out_max entries for the next len bytes at the cursor, and moves on.
 * Returns the number of entries; *got_bytes says how far it came (out may be too short).
 */
unsigned iov_slice(struct iov_cursor *cur, size_t len, struct iovec *out, unsigned out_max,
		   size_t *got_bytes);

#endif
