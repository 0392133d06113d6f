/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When to signal the driver, and when to be signalled by it. Not how either is written in a ring:
 * that is the formats' arm, disarm and wants_call.
 *
 * Theory of operation
 *
 * 1. A call is decided once for all that was used since the last decision. With events the driver
 *    names one entry, and wants a call if that entry is among those: a batch is asked about as a
 *    whole, not entry by entry, and not only its last.
 * 2. IRQ_CHECK: used side stored, full fence, then the driver's wish is loaded. The driver stores
 *    its wish, fences, and looks at the used side again. One of the two sees the other.
 * 3. KICK_ARM is the same edge in the other direction: our wish is stored, full fence, then the
 *    avail side is looked at again.
 * 4. A ring that was served before us may hold used entries whose call was lost with our
 *    predecessor. The first decision on such a ring is always yes; a driver survives a call too
 *    many, but not one too few.
 */
#include "base/fdio.h"
#include "base/ordering.h"
#include "virtqueue/virtqueue_priv.h"

/*
 * Split: event is crossed if it is one of the cnt entries before new_idx. Indices run free in 16
 * bits; if more than they can tell apart were used, one of them was the event.
 */
bool notify_split_crossed(uint16_t event, uint16_t new_idx, uint64_t cnt)
{
	return (uint16_t)(new_idx - event - 1) < cnt;
}

/*
 * Packed: positions are laid on a line on which the present lap begins at 0. An event with the
 * other wrap counter lies in the lap before: one in the lap after would have been set more than a
 * ring ahead of what the driver has seen, and is then out of reach anyhow.
 */
bool notify_packed_crossed(uint16_t event_off_wrap, uint16_t new_idx, bool new_wrap, uint64_t cnt,
			   uint32_t size)
{
	const bool event_wrap = event_off_wrap >> 15;
	int64_t event = event_off_wrap & 0x7fff;

	if (cnt >= size) /* a whole ring was used: every event that can still matter was crossed */
		return true;
	if (event_wrap != new_wrap)
		event -= size;
	return event < new_idx && event >= new_idx - (int64_t)cnt;
}

void virtqueue_notify(struct virtqueue *vq)
{
	bool wanted;

	if (vq->call_fd < 0 || (vq->unsignalled_cnt == 0 && !vq->call_owed))
		return;
	if (vq->call_owed) {
		wanted = true;
	} else if (vq->attached) {
		fence_full(); /* IRQ_CHECK */
		wanted = vq->ops->wants_call(vq);
	} else {
		wanted = false;
	}
	vq->unsignalled_cnt = 0;
	vq->call_owed = false;
	if (!wanted) {
		stat_inc(&vq->stats.calls_suppressed);
		return;
	}
	/* The front end owns the other end; if it is gone, so is the one who waits. */
	if (unlikely(vq->call_is_socket))
		(void)fdio_signal_socket(vq->call_fd);
	else
		(void)fdio_signal(vq->call_fd);
	stat_inc(&vq->stats.calls);
}

void virtqueue_set_coalesce(struct virtqueue *vq, const struct coalesce_config *config)
{
	(void)vq;
	(void)config;
}

void virtqueue_notify_burst(struct virtqueue *vq, uint64_t now_ns)
{
	(void)now_ns;
	virtqueue_notify(vq);
}

uint64_t virtqueue_held_until_ns(const struct virtqueue *vq)
{
	(void)vq;
	return 0;
}

bool virtqueue_arm(struct virtqueue *vq)
{
	if (vq->fault != VIRTQUEUE_OK)
		return false;
	vq->ops->arm(vq);
	fence_full(); /* KICK_ARM */
	return vq->ops->has_avail(vq);
}

void virtqueue_disarm(struct virtqueue *vq)
{
	if (vq->attached)
		vq->ops->disarm(vq);
}

bool virtqueue_has_avail(const struct virtqueue *vq)
{
	return vq->fault == VIRTQUEUE_OK && vq->ops->has_avail(vq);
}
