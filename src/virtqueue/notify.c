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
 * 5. A call may be held (coalesce.h). That is decided before the fence of 2., so that holding is
 *    cheap; unsignalled_cnt goes on counting, and the one decision of 1. then covers all of it.
 */
#include "base/fdio.h"
#include "base/ordering.h"
#include "virtqueue/virtqueue_priv.h"

/* Long ago, on any clock that counts from the machine's start. */
#define HELD_DUE_NOW_NS 1

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
	bool wanted = vq->call_owed;

	if (vq->call_fd < 0 || (vq->unsignalled_cnt == 0 && !vq->call_owed))
		return;
	/* A ring that is gone has nothing unsignalled, or owes its call. */
	if (!wanted) {
		fence_full(); /* IRQ_CHECK */
		wanted = vq->ops->wants_call(vq);
	}
	vq->unsignalled_cnt = 0;
	vq->call_owed = false;
	coalesce_called(&vq->coalesce);
	if (vq->port.held_cnt)
		coalesce_port_called(&vq->port, wanted);
	vq->decided_cnt = vq->stats.completed;
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

/* For those who look: what the coalescer goes by. */
static void show_target(struct virtqueue *vq)
{
	uint32_t packets = vq->coalesce_config.packets;
	uint32_t usecs = vq->coalesce_config.usecs;

	if (vq->port.now_ns)
		coalesce_port_target(&vq->coalesce_config, &vq->port, &packets, &usecs);
	store_relaxed(&vq->held_packets, packets);
	store_relaxed(&vq->held_usecs, usecs);
}

/* A call goes out whose first completion has waited so long. */
static void count_held(struct virtqueue *vq, uint64_t held_ns)
{
	const uint64_t us = held_ns / 1000;
	unsigned idx = us ? 64u - (unsigned)__builtin_clzll(us) : 0;

	if (idx >= COALESCE_HELD_BUCKETS)
		idx = COALESCE_HELD_BUCKETS - 1;
	stat_inc(&vq->held[idx]);
}

void virtqueue_set_coalesce(struct virtqueue *vq, const struct coalesce_config *config)
{
	const bool held = vq->coalesce.due_ns != 0;

	store_relaxed(&vq->coalesce_config.by_guest, config->by_guest);
	store_relaxed(&vq->coalesce_config.mode, config->mode);
	store_relaxed(&vq->coalesce_config.packets, config->packets);
	store_relaxed(&vq->coalesce_config.usecs, config->usecs);
	/* The state of another mode, or of other bounds, means nothing; but a held call is due. */
	vq->coalesce = (struct coalesce_state){.due_ns = held ? HELD_DUE_NOW_NS : 0};
	if (config->mode == COALESCE_OFF)
		vq->port_counted = false;
	coalesce_port_configured(config, &vq->port, vq->port_receive);
	show_target(vq);
}

/* A disk's held call: its deadline counts from the first completion. */
static uint64_t held_since_ns(const struct virtqueue *vq)
{
	return vq->coalesce.due_ns - (uint64_t)vq->coalesce_config.usecs * 1000;
}

/* May the call for what is unsignalled wait? */
static bool may_hold(struct virtqueue *vq, uint64_t now_ns)
{
	const struct coalesce_disk_input input = {
		.now_ns = now_ns,
		.new_cnt = vq->stats.completed - vq->decided_cnt,
		.in_flight = vq->in_flight,
	};
	enum coalesce_verdict verdict;

	if (vq->call_owed)
		return false;
	verdict = coalesce_decide_disk(&vq->coalesce_config, &vq->coalesce, &input);
	vq->decided_cnt = vq->stats.completed;
	if (verdict != COALESCE_HOLD || input.new_cnt > 0)
		stat_inc(&vq->stats.coalesced[verdict]);
	if (verdict != COALESCE_HOLD) {
		store_relaxed(&vq->held_why, verdict);
		count_held(vq, vq->coalesce.due_ns ? now_ns - held_since_ns(vq) : 0);
	}
	return verdict == COALESCE_HOLD;
}

void virtqueue_notify_burst(struct virtqueue *vq, uint64_t now_ns)
{
	if (vq->unsignalled_cnt == 0 && !vq->call_owed)
		return;
	if (vq->coalesce_config.mode != COALESCE_OFF && vq->call_fd >= 0 && may_hold(vq, now_ns))
		return;
	virtqueue_notify(vq);
}

/* What a port's decision goes by. Of what costs something, only what it reads. */
static void port_input(struct virtqueue *vq, const struct virtqueue_port *port, uint64_t now_ns,
		       struct coalesce_port_input *input)
{
	const unsigned asks = coalesce_port_asks(&vq->coalesce_config, &vq->port, now_ns);
	const uint64_t used = vq->stats.completed - vq->decided_cnt;

	/* What was called for while nothing was decided does not count. */
	if (unlikely(!vq->port_counted)) {
		vq->port_frames = *port->frames - (used <= *port->frames ? used : 0);
		vq->port_bytes = *port->bytes;
		vq->port_counted = true;
	}
	*input = (struct coalesce_port_input){
		.now_ns = now_ns,
		.new_cnt = *port->frames - vq->port_frames,
		.new_bytes = *port->bytes - vq->port_bytes,
		.used_cnt = (uint32_t)vq->unsignalled_cnt,
		.size = vq->size,
		.asks = asks,
		.receive = port->receive,
	};
	/* Chains that were no good bring no frame, and want a call like one. */
	if (unlikely(input->new_cnt == 0 && used > 0))
		input->new_cnt = 1;
	if (asks & COALESCE_ASKS_FREE && port->receive)
		input->free_cnt = virtqueue_free_cnt(vq);
	if (asks & COALESCE_ASKS_SENT && port->sent) {
		input->sent_cnt = stat_read(port->sent);
		input->sent_known = true;
	}
	vq->port_frames = *port->frames;
	vq->port_bytes = *port->bytes;
	vq->port_receive = port->receive;
	vq->decided_cnt = vq->stats.completed;
}

static NOINLINE bool port_may_hold(struct virtqueue *vq, const struct virtqueue_port *port,
				   uint64_t now_ns)
{
	struct coalesce_port_input input;
	enum coalesce_verdict verdict;

	if (vq->call_owed)
		return false;
	port_input(vq, port, now_ns, &input);
	verdict = coalesce_decide_port(&vq->coalesce_config, &vq->port, &input);
	if (verdict != COALESCE_HOLD || input.new_cnt > 0)
		stat_inc(&vq->stats.coalesced[verdict]);
	if (verdict == COALESCE_HOLD)
		return true;
	store_relaxed(&vq->held_why, verdict);
	count_held(vq, vq->port.due_ns ? now_ns - vq->port.first_ns : 0);
	if (input.asks & COALESCE_ASKS_SENT)
		show_target(vq);
	return false;
}

/* Nothing new, and before its time. */
static bool port_is_early(const struct virtqueue *vq, const struct virtqueue_port *port,
			  uint64_t now_ns)
{
	return now_ns < vq->port.due_ns && now_ns >= vq->port.now_ns &&
	       *port->frames == vq->port_frames && vq->stats.completed == vq->decided_cnt;
}

bool virtqueue_notify_port(struct virtqueue *vq, const struct virtqueue_port *port, uint64_t now_ns)
{
	if (vq->unsignalled_cnt == 0 && !vq->call_owed)
		return false;
	if (vq->coalesce_config.mode != COALESCE_OFF && vq->call_fd >= 0 &&
	    (port_is_early(vq, port, now_ns) || port_may_hold(vq, port, now_ns)))
		return true;
	virtqueue_notify(vq);
	return false;
}

uint64_t virtqueue_port_burst_ns(const struct virtqueue *vq)
{
	return vq->port.last_ns;
}

void virtqueue_coalesce_view(const struct virtqueue *vq, struct coalesce_view *view)
{
	*view = (struct coalesce_view){
		.config =
			{
				.mode = load_relaxed(&vq->coalesce_config.mode),
				.packets = load_relaxed(&vq->coalesce_config.packets),
				.usecs = load_relaxed(&vq->coalesce_config.usecs),
				.by_guest = load_relaxed(&vq->coalesce_config.by_guest),
			},
		.packets = load_relaxed(&vq->held_packets),
		.usecs = load_relaxed(&vq->held_usecs),
		.why = (enum coalesce_verdict)load_relaxed(&vq->held_why),
	};
	for (unsigned i = 0; i < COALESCE_HELD_BUCKETS; i++)
		view->held[i] = stat_read(&vq->held[i]);
}

uint64_t virtqueue_held_until_ns(const struct virtqueue *vq)
{
	/* One of the two is 0: a queue is a disk's or a port's. */
	return vq->call_fd >= 0 ? vq->coalesce.due_ns | vq->port.due_ns : 0;
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

uint32_t virtqueue_free_cnt(const struct virtqueue *vq)
{
	return vq->fault == VIRTQUEUE_OK && vq->attached ? vq->ops->free_cnt(vq) : 0;
}
