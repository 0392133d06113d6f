/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user front end: virtqueues, their eventfds, start and stop.
 * What goes through the rings is the caller's affair.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "driver/front.h"

int front_queue_new(struct front_queue **out, struct front *f, struct shm *shm, uint16_t idx,
		    const struct ring_opts *opts)
{
	struct front_queue *q = calloc(1, sizeof(*q));
	int rc;

	if (!q)
		return front_fail(f, -ENOMEM, "queue %u: out of memory", idx);
	q->front = f;
	q->idx = idx;
	rc = ring_new(&q->ring, shm, opts);
	q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->err_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (rc == 0 && (q->kick_fd < 0 || q->call_fd < 0 || q->err_fd < 0))
		rc = -errno;
	if (rc < 0) {
		front_queue_free(q);
		return front_fail(f, rc, "queue %u: cannot make a ring of %u: %s", idx, opts->size,
				  strerror(-rc));
	}
	q->base = ring_base(q->ring);
	*out = q;
	return 0;
}

void front_queue_free(struct front_queue *q)
{
	const int fd[] = {q ? q->kick_fd : -1, q ? q->call_fd : -1, q ? q->err_fd : -1};

	for (unsigned int i = 0; i < 3; i++)
		if (fd[i] >= 0)
			close(fd[i]);
	if (q)
		ring_free(q->ring);
	free(q);
}

int front_vring_num(struct front *f, uint32_t idx, uint32_t size)
{
	struct vu_vring_state state = {idx, size};

	return front_call(f, VU_SET_VRING_NUM, &state, sizeof(state), NULL, 0);
}

int front_vring_base(struct front *f, uint32_t idx, uint32_t base)
{
	struct vu_vring_state state = {idx, base};

	return front_call(f, VU_SET_VRING_BASE, &state, sizeof(state), NULL, 0);
}

int front_vring_addr(struct front *f, uint32_t idx, const struct ring *ring)
{
	struct vu_vring_addr msg = {
		.idx = idx,
		.desc_uva = shm_uva(ring->desc),
		.used_uva = shm_uva(ring->device_area),
		.avail_uva = shm_uva(ring->driver_area),
	};

	return front_call(f, VU_SET_VRING_ADDR, &msg, sizeof(msg), NULL, 0);
}

int front_vring_fd(struct front *f, uint32_t request, uint32_t idx, int fd)
{
	uint64_t value = (idx & VU_VRING_IDX_MASK) | (fd < 0 ? VU_VRING_NO_FD : 0);

	return front_call(f, request, &value, sizeof(value), &fd, fd < 0 ? 0 : 1);
}

int front_vring_enable(struct front *f, uint32_t idx, bool enable)
{
	struct vu_vring_state state = {idx, enable};

	return front_call(f, VU_SET_VRING_ENABLE, &state, sizeof(state), NULL, 0);
}

int front_vring_base_get(struct front *f, uint32_t idx, uint32_t *base)
{
	struct vu_vring_state state = {idx, 0};
	struct vu_message reply;
	int rc = front_query(f, VU_GET_VRING_BASE, &state, sizeof(state), &reply);

	if (rc < 0)
		return rc;
	vu_message_close_fds(&reply);
	if (reply.header.size != sizeof(state) || reply.state.idx != idx)
		return front_fail(f, -EPROTO, "reply to GET_VRING_BASE of %u: %u bytes, index %u",
				  idx, reply.header.size, reply.state.idx);
	*base = reply.state.value;
	return 0;
}

int front_queue_start(struct front_queue *q)
{
	struct front *f = q->front;
	int rc = front_vring_num(f, q->idx, q->ring->size);

	if (rc == 0)
		rc = front_vring_base(f, q->idx, q->base);
	if (rc == 0)
		rc = front_vring_addr(f, q->idx, q->ring);
	if (rc == 0)
		rc = front_vring_fd(f, VU_SET_VRING_ERR, q->idx, q->err_fd);
	if (rc == 0)
		rc = front_vring_fd(f, VU_SET_VRING_CALL, q->idx, q->call_fd);
	if (rc == 0)
		rc = front_vring_fd(f, VU_SET_VRING_KICK, q->idx, q->kick_fd);
	if (rc == 0 && front_has(f, VU_F_PROTOCOL_FEATURES))
		rc = front_vring_enable(f, q->idx, true);
	q->running = rc == 0;
	return rc;
}

int front_queue_stop(struct front_queue *q, uint32_t *base)
{
	struct front *f = q->front;
	int rc = 0;

	if (front_has(f, VU_F_PROTOCOL_FEATURES))
		rc = front_vring_enable(f, q->idx, false);
	if (rc == 0)
		rc = front_vring_base_get(f, q->idx, &q->base);
	q->running = false;
	if (base)
		*base = q->base;
	return rc;
}

void front_queue_kick(struct front_queue *q)
{
	uint64_t one = 1;
	ssize_t n = write(q->kick_fd, &one, sizeof(one));

	/* A full counter means that a kick is pending, which is what was wanted. */
	(void)n;
	q->kick_cnt++;
}

uint64_t front_queue_take_calls(struct front_queue *q)
{
	uint64_t cnt;

	if (read(q->call_fd, &cnt, sizeof(cnt)) != sizeof(cnt))
		return 0;
	q->call_cnt += cnt;
	return cnt;
}

bool front_queue_failed(const struct front_queue *q)
{
	struct pollfd p = {.fd = q->err_fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1 && (p.revents & POLLIN);
}
