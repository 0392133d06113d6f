/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory that a channel's reads and writes find registered with the worker's ring.
 * Not the registration (worker/uring_memory.c).
 *
 * The pages of a registered region are those that it had at that moment. If the front end takes
 * some away since (balloon, free-page reporting, virtio-mem: a hole is punched), the guest sees new
 * pages there and the kernel goes on with the old: so only by the operator's word (pin-memory).
 *
 * A change of memory takes the new regions before it gives back the old, so those that stayed are
 * not registered twice.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "guest/gmem.h"
#include "storage/file_priv.h"

static int file_pin_compare(const void *a, const void *b)
{
	const struct file_pin_row *left = a, *right = b;

	return left->start < right->start ? -1 : left->start > right->start;
}

static void file_pin_free(struct file_channel *channel, struct file_pin *pin)
{
	if (!pin)
		return;
	for (unsigned i = 0; i < pin->row_cnt; i++)
		uring_memory_put(worker_uring(channel->base.worker), pin->rows[i].memory);
	free(pin);
}

/* The regions that can be had; *status is the last error. NULL for none. */
static struct file_pin *file_pin_new(struct file_channel *channel, const struct gmem *memory,
				     int *status)
{
	struct uring *uring = worker_uring(channel->base.worker);
	struct file_pin *pin;

	pin = calloc(1, sizeof(*pin) + memory->row_cnt * sizeof(pin->rows[0]));
	if (!pin) {
		*status = -ENOMEM;
		return NULL;
	}
	for (unsigned i = 0; i < memory->row_cnt; i++) {
		const struct gmem_row *from = &memory->rows[i];
		struct file_pin_row *to = &pin->rows[pin->row_cnt];
		int rc = uring_memory_get(uring, memory->regions[i], from->hva, from->size_bytes,
					  &to->memory);

		if (rc < 0) {
			*status = rc;
			continue;
		}
		to->start = to->memory->start;
		pin->row_cnt++;
	}
	if (pin->row_cnt == 0) {
		free(pin);
		return NULL;
	}
	qsort(pin->rows, pin->row_cnt, sizeof(pin->rows[0]), file_pin_compare);
	return pin;
}

int file_pin_map_guest(struct storage_channel *base, struct gmem *memory)
{
	struct file_channel *channel = file_channel_of(base);
	struct file_pin *former = channel->pin;
	unsigned held_back;
	int status = 0;

	channel->pin = memory ? file_pin_new(channel, memory, &status) : NULL;
	file_pin_free(channel, former);
	if (status < 0 &&
	    log_limit_pass(&channel->pin_limit, worker_now_ns(base->worker), &held_back))
		log_warn(base->storage->tag,
			 "pin-memory: some of the guest's memory is not registered: %s; requests "
			 "there go the ordinary way",
			 status == -ENOSPC ? "the worker has no slots left (1 TiB)"
					   : strerrordesc_np(-status));
	return status;
}

int file_pin_search(struct file_pin *pin, uint64_t start, uint64_t len)
{
	unsigned low = 0, high = pin->row_cnt;

	/* The last row that begins at or before start. */
	while (low < high) {
		unsigned mid = low + (high - low) / 2;

		if (pin->rows[mid].start <= start)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == 0)
		return -1;
	pin->last = low - 1;
	return uring_memory_idx(pin->rows[low - 1].memory, start, len);
}

void file_pin_fini(struct file_channel *channel)
{
	file_pin_free(channel, channel->pin);
	channel->pin = NULL;
}
