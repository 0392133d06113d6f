/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying, cutting and slicing along iovec arrays.
 * Not I/O, and not parsing: what the bytes mean is the caller's.
 */
#include "guest/iov.h"

#include "guest/gptr.h"

uint64_t iov_total_bytes(const struct iovec *iov, unsigned cnt)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < cnt; i++)
		total += iov[i].iov_len;
	return total;
}

/* How many bytes of the entry at the cursor are left; 0: the cursor is at its end. */
static size_t iov_left(struct iov_cursor *cur)
{
	while (cur->cnt > 0 && cur->offset_bytes >= cur->iov->iov_len) {
		cur->iov++;
		cur->cnt--;
		cur->offset_bytes = 0;
	}
	return cur->cnt > 0 ? cur->iov->iov_len - cur->offset_bytes : 0;
}

/* The contiguous piece at the cursor, at most len bytes; moves past it. 0 at the end. */
static size_t iov_piece(struct iov_cursor *cur, size_t len, uint8_t **piece)
{
	const size_t left = iov_left(cur);

	if (left == 0)
		return 0;
	if (len > left)
		len = left;
	*piece = (uint8_t *)cur->iov->iov_base + cur->offset_bytes;
	cur->offset_bytes += len;
	return len;
}

size_t iov_copy_in(struct iov_cursor *cur, void *dst, size_t len)
{
	size_t done = 0, n;
	uint8_t *piece;

	while (done < len && (n = iov_piece(cur, len - done, &piece)) > 0) {
		gptr_copy_in((uint8_t *)dst + done, gptr_from_hva(const void, piece), n);
		done += n;
	}
	return done;
}

size_t iov_copy_out(struct iov_cursor *cur, const void *src, size_t len)
{
	size_t done = 0, n;
	uint8_t *piece;

	while (done < len && (n = iov_piece(cur, len - done, &piece)) > 0) {
		gptr_copy_out(gptr_from_hva(void, piece), (const uint8_t *)src + done, n);
		done += n;
	}
	return done;
}

size_t iov_copy(struct iov_cursor *dst, struct iov_cursor *src, size_t len)
{
	size_t done = 0, n;
	uint8_t *from, *to;

	while (done < len && (n = iov_left(dst)) > 0) {
		if (n > len - done)
			n = len - done;
		n = iov_piece(src, n, &from);
		if (n == 0 || iov_piece(dst, n, &to) != n)
			break;
		gptr_copy(gptr_from_hva(void, to), gptr_from_hva(const void, from), n);
		done += n;
	}
	return done;
}

size_t iov_zero(struct iov_cursor *cur, size_t len)
{
	size_t done = 0, n;
	uint8_t *piece;

	while (done < len && (n = iov_piece(cur, len - done, &piece)) > 0) {
		memset(piece, 0, n);
		done += n;
	}
	return done;
}

size_t iov_skip(struct iov_cursor *cur, size_t len)
{
	size_t done = 0, n;
	uint8_t *piece;

	while (done < len && (n = iov_piece(cur, len - done, &piece)) > 0)
		done += n;
	return done;
}

size_t iov_cut_front(struct iovec **iov, unsigned *cnt, size_t len)
{
	size_t done = 0;

	while (*cnt > 0 && done < len) {
		struct iovec *first = *iov;
		size_t n = len - done < first->iov_len ? len - done : first->iov_len;

		first->iov_base = (uint8_t *)first->iov_base + n;
		first->iov_len -= n;
		done += n;
		if (first->iov_len == 0) {
			(*iov)++;
			(*cnt)--;
		}
	}
	return done;
}

size_t iov_cut_back(struct iovec *iov, unsigned *cnt, size_t len)
{
	size_t done = 0;

	while (*cnt > 0 && done < len) {
		struct iovec *last = &iov[*cnt - 1];
		size_t n = len - done < last->iov_len ? len - done : last->iov_len;

		last->iov_len -= n;
		done += n;
		if (last->iov_len == 0)
			(*cnt)--;
	}
	return done;
}

unsigned iov_slice(struct iov_cursor *cur, size_t len, struct iovec *out, unsigned out_max,
		   size_t *got_bytes)
{
	unsigned out_cnt = 0;
	uint8_t *piece;
	size_t n;

	*got_bytes = 0;
	while (*got_bytes < len && out_cnt < out_max &&
	       (n = iov_piece(cur, len - *got_bytes, &piece)) > 0) {
		out[out_cnt].iov_base = piece;
		out[out_cnt].iov_len = n;
		out_cnt++;
		*got_bytes += n;
	}
	return out_cnt;
}
