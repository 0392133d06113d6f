/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the front end says of rings, and which of them run for it.
 * Not the rings (virtqueue/), and not who serves them (device/).
 */
#include "vhost_user/session_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/compiler.h"
#include "base/fdio.h"

/* A packed ring that was never served: both indices 0, both wrap counters 1. */
#define PACKED_BASE_FRESH 0x80008000u

static bool vring_is_packed(const struct session *s)
{
	return s->features >> DEVICE_F_RING_PACKED & 1;
}

void vrings_init(struct session *s)
{
	for (unsigned i = 0; i < s->vring_cnt; i++)
		s->vrings[i].kick_fd = s->vrings[i].call_fd = s->vrings[i].err_fd = -1;
}

void vrings_fini(struct session *s)
{
	for (unsigned i = 0; i < s->vring_cnt; i++) {
		fdio_close(&s->vrings[i].kick_fd);
		fdio_close(&s->vrings[i].call_fd);
		fdio_close(&s->vrings[i].err_fd);
	}
}

/* Stopping */

void vring_stop(struct session *s, unsigned idx)
{
	if (!device_queue_running(s->device, idx))
		return;
	s->vrings[idx].stopping = true;
	s->vrings[idx].changed = true;
	device_queue_stop(s->device, idx, &s->join);
}

void vrings_stop_all(struct session *s)
{
	for (unsigned i = 0; i < s->vring_cnt; i++)
		vring_stop(s, i);
}

bool vring_idles(const struct session *s, unsigned idx)
{
	return device_queue_running(s->device, idx) && !s->vrings[idx].enabled;
}

void vring_end_idling(struct session *s, unsigned idx)
{
	if (!vring_idles(s, idx))
		return;
	s->vrings[idx].idles = false;
	vring_stop(s, idx);
}

void vrings_end_idling(struct session *s)
{
	for (unsigned i = 0; i < s->vring_cnt; i++)
		vring_end_idling(s, i);
}

/* The ring has stopped: its base is what the device says. */
static void vring_collect(struct session *s, unsigned idx)
{
	struct vring *r = &s->vrings[idx];

	r->base = device_queue_base(s->device, idx);
	r->has_base = true;
	r->base_is_exact = true;
}

void vring_lost(struct session *s, unsigned idx)
{
	vring_collect(s, idx);
	session_log(s, "ring %u was lost by the device: stopped until it is set up anew", idx);
}

void vrings_collect(struct session *s)
{
	fdio_close(&s->retired_fd);
	for (unsigned i = 0; i < s->vring_cnt; i++) {
		struct vring *r = &s->vrings[i];

		if (!r->stopping)
			continue;
		r->stopping = false;
		vring_collect(s, i);
	}
}

/*
 * Does memory hold the three parts of the ring? Sizes as in VIRTIO 1.3, 2.7 and 2.8, with the
 * event fields. Exact checks are virtqueue_new()'s; this one tells a ring that lost its memory
 * (REM_MEM_REG before ADD_MEM_REG, as QEMU does it) from one that is badly placed.
 */
static bool vring_is_covered(const struct session *s, const struct vring *r,
			     const struct gmem *memory)
{
	bool packed = vring_is_packed(s);
	uint64_t driver_bytes = packed ? 4 : 6 + 2ull * r->size;
	uint64_t device_bytes = packed ? 4 : 6 + 8ull * r->size;

	return gmem_lookup_uva(memory, r->where.desc_uva, 16ull * r->size) &&
	       gmem_lookup_uva(memory, r->where.driver_uva, driver_bytes) &&
	       gmem_lookup_uva(memory, r->where.device_uva, device_bytes);
}

void vrings_uncover(struct session *s, const struct gmem *memory)
{
	for (unsigned i = 0; i < s->vring_cnt; i++) {
		struct vring *r = &s->vrings[i];

		if (!device_queue_running(s->device, i) || vring_is_covered(s, r, memory))
			continue;
		r->uncovered = true;
		session_log(s, "ring %u is not in the new memory: stopped until it is again", i);
	}
}

/* Starting, by state */

static bool vring_wanted(const struct session *s, const struct vring *r)
{
	if (!r->kicked || !r->has_location || r->size == 0 || !s->has_features || !s->memory ||
	    s->memory->row_cnt == 0)
		return false;
	if (!r->enabled && !(r->idles && device_serves_disabled(s->device)))
		return false;
	return !r->uncovered || vring_is_covered(s, r, s->memory);
}

void vrings_stop_unwanted(struct session *s)
{
	for (unsigned i = 0; i < s->vring_cnt; i++) {
		const struct vring *r = &s->vrings[i];

		/* Memory that is about to come decides about uncovered rings, not the old one. */
		if (r->uncovered || !vring_wanted(s, r))
			vring_stop(s, i);
	}
}

void vrings_changed(struct session *s)
{
	for (unsigned i = 0; i < s->vring_cnt; i++)
		s->vrings[i].changed = true;
}

static void vring_enable(struct session *s, unsigned idx, bool enabled)
{
	struct vring *r = &s->vrings[idx];

	if (device_serves_disabled(s->device)) {
		r->idles = device_queue_running(s->device, idx);
		device_queue_set_enabled(s->device, idx, enabled, &s->join);
	}
	r->enabled = enabled;
	r->changed = true;
}

void vrings_enable_all(struct session *s, bool enabled)
{
	for (unsigned i = 0; i < s->vring_cnt; i++)
		vring_enable(s, i, enabled);
}

static int vring_start(struct session *s, unsigned idx, struct err *err)
{
	struct vring *r = &s->vrings[idx];
	struct device_queue_setup setup = {
		.size = r->size,
		.base = r->base,
		.base_is_exact = r->base_is_exact,
		.where = r->where,
		.enabled = r->enabled,
		.kick_fd = r->kick_fd,
		.call_fd = r->call_fd,
		.err_fd = r->err_fd,
	};

	if (!vring_is_packed(s) && r->base > UINT16_MAX)
		return err_set(err, EINVAL, "base 0x%x is no index of a split ring", r->base);
	return device_queue_start(s->device, idx, &setup, &s->join, err);
}

void vrings_start_wanted(struct session *s)
{
	for (unsigned i = 0; i < s->vring_cnt; i++) {
		struct vring *r = &s->vrings[i];
		struct err err = ERR_INIT;

		/* Once for each change: what failed is not tried again by messages on others. */
		if (!r->changed)
			continue;
		r->changed = false;
		if (device_queue_running(s->device, i) || !vring_wanted(s, r))
			continue;
		r->uncovered = false;
		if (vring_start(s, i, &err) < 0) {
			err_prefix(&err, "ring %u does not start", i);
			session_fail(s, &err);
		}
	}
}

/*
 * Stopped, in the protocol's sense, until the next kick message. `enabled` is remembered. The queue
 * may still run (a later step stops it), so its descriptors stay open.
 */
static void vring_halt(struct vring *r)
{
	r->kicked = false;
	r->uncovered = false;
	/* Addresses of before a guest's reboot mean nothing after it. */
	r->has_location = false;
}

void vrings_halt(struct session *s)
{
	for (unsigned i = 0; i < s->vring_cnt; i++)
		vring_halt(&s->vrings[i]);
}

void vrings_forget(struct session *s)
{
	for (unsigned i = 0; i < s->vring_cnt; i++) {
		struct vring *r = &s->vrings[i];

		vring_halt(r);
		fdio_close(&r->kick_fd);
		fdio_close(&r->call_fd);
		r->size = 0;
		r->base = 0;
		r->has_base = false;
		r->base_is_exact = false;
		r->enabled = false;
	}
}

/* Messages */

/*
 * The front end sets a ring up. One that is disabled may be one that it never stopped, and the rest
 * of what was said of it may be stale: it does not run before it is kicked or enabled.
 */
static void vring_set_up(struct vring *r)
{
	r->changed = true;
	if (!r->enabled)
		r->idles = false;
}

int vring_set_size(struct session *s, struct message *m, struct err *err)
{
	struct wire_vring_state state;

	message_copy(m, &state, sizeof(state));
	if (state.num == 0 || state.num > VIRTQUEUE_SIZE_MAX)
		return err_set(err, EINVAL, "ring %u: size %u, must be 1 to %u", s->ring, state.num,
			       VIRTQUEUE_SIZE_MAX);
	s->vrings[s->ring].size = state.num;
	vring_set_up(&s->vrings[s->ring]);
	return 0;
}

int vring_set_location(struct session *s, struct message *m, struct err *err)
{
	struct vring *r = &s->vrings[s->ring];
	struct wire_vring_location loc;

	message_copy(m, &loc, sizeof(loc));
	if (loc.flags)
		return err_set(err, EINVAL,
			       "ring %u: flags 0x%x, must be 0 (logging is not offered)", s->ring,
			       loc.flags);
	r->where.desc_uva = loc.desc_uva;
	r->where.driver_uva = loc.avail_uva;
	r->where.device_uva = loc.used_uva;
	r->has_location = true;
	r->uncovered = false;
	vring_set_up(r);
	return 0;
}

int vring_set_base(struct session *s, struct message *m, struct err *err)
{
	struct vring *r = &s->vrings[s->ring];
	struct wire_vring_state state;

	(void)err;
	message_copy(m, &state, sizeof(state));
	r->base = state.num;
	r->has_base = true;
	/* User-Mode Linux says 0 for a fresh packed ring; our own answer means what it says. */
	r->base_is_exact = r->has_answered_base && r->answered_base == state.num;
	vring_set_up(r);
	return 0;
}

/* The ring is quiescent here, or never ran. */
int vring_get_base(struct session *s, struct message *m, struct err *err)
{
	struct vring *r = &s->vrings[s->ring];
	struct wire_vring_state state = {.idx = s->ring};

	(void)m;
	(void)err;
	if (!r->has_base && vring_is_packed(s))
		r->base = PACKED_BASE_FRESH;
	state.num = r->base;
	r->has_base = true;
	/* Only what a ring of ours came to says more than the front end knew. */
	r->has_answered_base = r->base_is_exact;
	r->answered_base = r->base;
	vring_halt(r);
	fdio_close(&r->kick_fd);
	fdio_close(&r->call_fd);
	session_reply(s, &state, sizeof(state));
	return 0;
}

/*
 * The kick descriptor to use: an eventfd as it is. Kicks are polled for and never read, so a pipe
 * would be full some day and its writer stuck: instead of it the ring is polled (-1), which also
 * tells the driver not to kick. Anything else could make a poll hang, and is refused.
 */
static int vring_judge_kick(int *fd, struct err *err)
{
	char link[32], target[64];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", *fd);
	len = readlink(link, target, sizeof(target) - 1);
	if (len < 0)
		return err_set(err, errno, "cannot look at the descriptor: %m");
	target[len] = '\0';
	if (strncmp(target, "pipe:[", strlen("pipe:[")) == 0)
		fdio_close(fd);
	else if (strcmp(target, "anon_inode:[eventfd]") != 0)
		return err_set(err, EINVAL, "descriptor is \"%s\", must be an eventfd", target);
	return 0;
}

int vring_set_kick(struct session *s, struct message *m, struct err *err)
{
	struct vring *r = &s->vrings[s->ring];
	int fd = m->fd_cnt ? message_take_fd(m, 0) : -1;

	if (fd >= 0) {
		int ret = vring_judge_kick(&fd, err);

		if (ret < 0) {
			err_prefix(err, "ring %u", s->ring);
			fdio_close(&fd);
			return ret;
		}
	}
	fdio_close(&r->kick_fd);
	r->kick_fd = fd;
	r->kicked = true;
	r->idles = true;
	r->changed = true;
	return 0;
}

/* The descriptor of a CALL or ERR message, safe to signal; -1 where none came. */
static int vring_take_doorbell(struct session *s, struct message *m, int *fd, struct err *err)
{
	int ret;

	*fd = m->fd_cnt ? message_take_fd(m, 0) : -1;
	if (*fd < 0)
		return 0;
	ret = fdio_open_doorbell(fd);
	if (ret < 0) {
		fdio_close(fd);
		return err_set(err, -ret,
			       "ring %u: descriptor must be an eventfd, a pipe or a UNIX stream "
			       "socket: %s",
			       s->ring, strerror(-ret));
	}
	return 0;
}

typedef void vring_replace_fn(struct device *device, unsigned idx, int fd, struct join *join);

/* At any time; masking an interrupt in the guest comes here as a change of the call descriptor. */
static int vring_set_doorbell(struct session *s, struct message *m, int *slot,
			      vring_replace_fn *replace, struct err *err)
{
	int fd;
	int ret = vring_take_doorbell(s, m, &fd, err);

	if (ret < 0)
		return ret;
	if (device_queue_running(s->device, s->ring)) {
		/* The queue may write to the old one until the join has finished. */
		CHECK(s->retired_fd < 0);
		s->retired_fd = *slot;
		replace(s->device, s->ring, fd, &s->join);
	} else {
		fdio_close(slot);
	}
	*slot = fd;
	return 0;
}

int vring_set_call(struct session *s, struct message *m, struct err *err)
{
	return vring_set_doorbell(s, m, &s->vrings[s->ring].call_fd, device_queue_set_call, err);
}

int vring_set_err(struct session *s, struct message *m, struct err *err)
{
	return vring_set_doorbell(s, m, &s->vrings[s->ring].err_fd, device_queue_set_err, err);
}

int vring_set_enable(struct session *s, struct message *m, struct err *err)
{
	struct wire_vring_state state;

	message_copy(m, &state, sizeof(state));
	if (state.num > 1)
		return err_set(err, EINVAL, "ring %u: %u, must be 0 or 1", s->ring, state.num);
	vring_enable(s, s->ring, state.num);
	return 0;
}
