/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine of a session: reading, steps, replies, and the end. Theory in session_priv.h.
 * Not what messages mean: memory.c, vring.c, features.c, config.c.
 */
#include "vhost_user/session_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/fdio.h"

/* Messages of one front end in one turn of the loop, which others want to use too. */
#define SESSION_BURST 32
/* A step that takes longer is mentioned: a queue that does not drain looks like a hang. */
#define SESSION_SLOW_NS (5 * NS_PER_S)

static void session_run(struct session *s);

bool session_running(const struct session *s)
{
	for (unsigned i = 0; i < s->vring_cnt; i++) {
		if (device_queue_running(s->device, i))
			return true;
	}
	return false;
}

bool session_serving(const struct session *s)
{
	for (unsigned i = 0; i < s->vring_cnt; i++) {
		if (device_queue_running(s->device, i) && s->vrings[i].enabled)
			return true;
	}
	return false;
}

static unsigned session_phase(const struct session *s)
{
	if (session_serving(s))
		return PHASE_RUNNING;
	return s->has_features ? PHASE_READY : PHASE_FRESH;
}

void session_fail(struct session *s, const struct err *why)
{
	if (s->failure.code)
		return;
	s->failure = *why;
	if (!s->failure.code)
		s->failure.code = EIO;
}

void session_reply(struct session *s, const void *payload, uint32_t payload_bytes)
{
	outbox_put(&s->out, s->in.header.request, WIRE_FLAGS_OF_REPLY, payload, payload_bytes);
}

void session_reply_u64(struct session *s, uint64_t value)
{
	session_reply(s, &value, sizeof(value));
}

void session_log(struct session *s, const char *fmt, ...)
{
	char text[ERR_TEXT_BYTES + 64];
	unsigned held_back;
	va_list ap;

	if (!log_limit_pass(s->limit, clock_now_ns(), &held_back))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (held_back)
		log_warn(s->tag, "%s (%u lines before this one were held back)", text, held_back);
	else
		log_warn(s->tag, "%s", text);
}

static void session_break(struct session *s, const char *text)
{
	stat_inc(&s->stats->session_errors);
	session_log(s, "connection dropped: %s", text);
	s->ending = true;
}

/* Steps. Each may pass &s->join to device functions. */

static void step_quiesce(struct session *s)
{
	if (s->row->rings == RINGS_ALL_QUIESCE)
		vrings_stop_all(s);
	else if (s->row->rings == RINGS_NAMED_QUIESCE)
		vring_stop(s, s->ring);
	else if (s->row->rings == RINGS_NAMED_IDLE)
		vring_end_idling(s, s->ring);
	else if (s->row->rings == RINGS_IDLE_QUIESCE && features_are_new(s))
		vrings_end_idling(s);
}

static void step_handle(struct session *s)
{
	struct err err = ERR_INIT;

	if (s->row->handle(s, &s->in, &err) < 0)
		session_fail(s, &err);
}

static void step_memory(struct session *s)
{
	if (s->next_memory)
		memory_give(s);
}

static bool session_ack_is_due(const struct session *s)
{
	return message_needs_reply(&s->in) && s->protocol_features >> WIRE_PF_REPLY_ACK & 1;
}

/* The reply, or what stands for one. */
static void session_answer(struct session *s)
{
	bool failed = s->failure.code != 0;

	if (failed) {
		stat_inc(&s->stats->messages_refused);
		if (s->row)
			session_log(s, "%s refused: %s", s->row->name, s->failure.text);
		else
			session_log(s, "request %u refused: %s", s->in.header.request,
				    s->failure.text);
	}
	if (s->row && s->row->reply == REPLY_OWN) {
		if (failed) {
			s->out.bytes = 0;
			session_reply(s, NULL, 0);
		}
		CHECK(!outbox_empty(&s->out));
	} else if (session_ack_is_due(s)) {
		session_reply_u64(s, failed);
	} else if (failed && s->row && !refusal_is_harmless(s->refusal) &&
		   s->row->failure == FAILURE_ENDS) {
		session_break(s, "the message before asked for no acknowledgement");
	}
}

static void step_finish(struct session *s)
{
	if (!s->ending)
		session_answer(s);
	message_reset(&s->in);
	backchannel_flush(s);
	s->state = SESSION_SEND;
}

static void step_end_memory(struct session *s)
{
	memory_drop(s);
	device_set_memory(s->device, NULL, &s->join);
}

static void step_end_finish(struct session *s)
{
	device_reset(s->device);
	s->state = SESSION_DEAD;
}

static void (*const session_steps[])(struct session *s) = {
	[STEP_QUIESCE] = step_quiesce,       [STEP_HANDLE] = step_handle,
	[STEP_STOP] = vrings_stop_unwanted,  [STEP_MEMORY] = step_memory,
	[STEP_START] = vrings_start_wanted,  [STEP_FINISH] = step_finish,
	[STEP_END_STOP] = vrings_stop_all,   [STEP_END_MEMORY] = step_end_memory,
	[STEP_END_FINISH] = step_end_finish,
};

static void session_joined(struct join *join)
{
	struct session *s = container_of(join, struct session, join);

	s->joined = true;
	session_run(s); /* does nothing when the step itself is still on the stack */
}

static void session_step(struct session *s)
{
	s->state = SESSION_WAIT;
	s->joined = false;
	join_open(&s->join, session_joined);
	session_steps[s->step](s);
	join_done(&s->join, 0);
}

static void session_slow(struct evloop_timer *timer)
{
	struct session *s = container_of(timer, struct session, slow);
	uint64_t now_ns = clock_now_ns();
	uint64_t waited_ns = now_ns - s->step_start_ns;

	log_warn(s->tag, "%s has been waiting for its queues for %u s",
		 s->row ? s->row->name : "the end of the session",
		 (unsigned)(waited_ns / NS_PER_S));
	/* After 5 s, 10 s, 20 s, ... */
	evloop_timer_set(s->loop, timer, now_ns + waited_ns);
}

/* The join of the current step has finished. */
static void session_step_done(struct session *s)
{
	struct err err = ERR_INIT;

	evloop_timer_cancel(s->loop, &s->slow);
	if (s->join.status < 0) {
		err_set(&err, -s->join.status, "a worker could not do it: %s",
			strerror(-s->join.status));
		session_fail(s, &err);
	}
	vrings_collect(s);
	s->step++;
	s->state = SESSION_STEP;
}

/* A whole message is there. */
static void session_accept(struct session *s)
{
	const struct table_facts facts = {
		.phase = session_phase(s),
		.protocol_features = s->protocol_features,
		.queue_max = s->vring_cnt,
	};

	stat_inc(&s->stats->messages);
	s->failure.code = 0;
	s->failure.text[0] = '\0';
	s->row = table_row(s->in.header.request);
	s->refusal = table_judge(s->row, &s->in, &facts, &s->ring, &s->failure);
	if (!s->refusal && s->row->rings == RINGS_NAMED_IDLE &&
	    device_queue_running(s->device, s->ring) && !vring_idles(s, s->ring)) {
		s->refusal = REFUSAL_RING;
		err_set(&s->failure, EBUSY, "ring %u runs; it has to be stopped before", s->ring);
	}
	s->step = s->refusal ? STEP_FINISH : STEP_QUIESCE;
	s->state = SESSION_STEP;
}

static void session_begin_end(struct session *s)
{
	evloop_fd_remove(s->loop, &s->watch);
	message_reset(&s->in);
	device_set_front(s->device, NULL, NULL);
	backchannel_close(s);
	s->row = NULL;
	s->step = STEP_END_STOP;
	s->state = SESSION_STEP;
}

static bool session_read(struct session *s)
{
	struct err err = ERR_INIT;

	switch (message_read(&s->in, s->fd, &err)) {
	case MESSAGE_PARTIAL:
		return false;
	case MESSAGE_COMPLETE:
		session_accept(s);
		return true;
	case MESSAGE_CLOSED:
		if (s->in.got_bytes)
			session_break(s, "the front end left in the middle of a message");
		s->ending = true;
		return true;
	case MESSAGE_BROKEN:
		session_break(s, err.text);
		return true;
	}
	return false;
}

/* False: the peer has to read first. */
static bool session_send(struct session *s)
{
	int ret = outbox_flush(&s->out, s->fd, true);

	if (ret == -EAGAIN)
		return false;
	if (ret < 0)
		s->ending = true;
	else
		s->state = SESSION_READ;
	return true;
}

/* One thing. False: nothing more can be done before something happens. */
static bool session_turn(struct session *s, unsigned *burst)
{
	switch (s->state) {
	case SESSION_READ:
		if (s->ending) {
			session_begin_end(s);
			return true;
		}
		if (*burst == 0)
			return false; /* the watch fires again */
		(*burst)--;
		return session_read(s);
	case SESSION_STEP:
		if (s->step == STEP_FINISH || s->step == STEP_END_FINISH)
			session_steps[s->step](s);
		else
			session_step(s);
		return true;
	case SESSION_WAIT:
		if (!s->joined)
			return false;
		session_step_done(s);
		return true;
	case SESSION_SEND:
		if (s->ending) {
			session_begin_end(s);
			return true;
		}
		return session_send(s);
	case SESSION_DEAD:
		return false;
	}
	return false;
}

static void session_free(struct session *s)
{
	evloop_fd_remove(s->loop, &s->watch);
	evloop_timer_cancel(s->loop, &s->slow);
	backchannel_close(s);
	message_reset(&s->in);
	vrings_fini(s);
	memory_drop(s);
	fdio_close(&s->fd);
	free(s);
}

/*
 * Asks the loop for what the state waits for. A hangup is reported whatever is asked for. False: it
 * would not, and the session is to end.
 */
static bool session_watch(struct session *s)
{
	uint32_t events = s->state == SESSION_READ   ? (uint32_t)EPOLLIN
			  : s->state == SESSION_SEND ? (uint32_t)EPOLLOUT
						     : 0;

	if (s->state == SESSION_WAIT && !s->slow.active) {
		s->step_start_ns = clock_now_ns();
		evloop_timer_set(s->loop, &s->slow, s->step_start_ns + SESSION_SLOW_NS);
	}
	if (!s->watch.active || events == s->watched)
		return true;
	s->watched = events;
	if (evloop_fd_change(s->loop, &s->watch, events) == 0)
		return true;
	evloop_fd_remove(s->loop, &s->watch);
	s->ending = true;
	return false;
}

static void session_run(struct session *s)
{
	unsigned burst = SESSION_BURST;
	void (*ended)(void *arg) = s->ended;
	void *arg = s->arg;

	if (s->active)
		return;
	s->active = true;
	do {
		while (session_turn(s, &burst))
			;
	} while (s->state != SESSION_DEAD && !session_watch(s));
	s->active = false;
	if (s->state != SESSION_DEAD)
		return;
	session_free(s);
	ended(arg);
}

static void session_ready(struct evloop_fd *watch, uint32_t epoll_events)
{
	struct session *s = container_of(watch, struct session, watch);

	if (s->state == SESSION_WAIT) {
		/* Nothing was asked for, so it is the hangup; it would be reported for ever. */
		if (epoll_events & (EPOLLHUP | EPOLLERR)) {
			s->ending = true;
			evloop_fd_remove(s->loop, &s->watch);
		}
		return;
	}
	session_run(s);
}

static void session_config_changed(void *front)
{
	backchannel_config_changed(front);
}

static void session_queue_lost(void *front, unsigned idx)
{
	vring_lost(front, idx);
}

static const struct device_front_ops session_front_ops = {
	.config_changed = session_config_changed,
	.queue_lost = session_queue_lost,
};

int session_new(const struct session_options *options, struct session **out, struct err *err)
{
	unsigned vring_cnt = device_queue_max(options->device);
	struct session *s = calloc(1, sizeof(*s) + vring_cnt * sizeof(s->vrings[0]));
	int fd = options->fd;
	int ret;

	if (!s) {
		fdio_close(&fd);
		return err_set(err, ENOMEM, "no memory for a session");
	}
	s->loop = options->loop;
	s->device = options->device;
	s->tag = device_name(options->device);
	s->policy.any_file = options->any_memory;
	s->stats = options->stats;
	s->limit = options->limit;
	s->ended = options->ended;
	s->arg = options->arg;
	s->fd = fd;
	s->retired_fd = -1;
	s->vring_cnt = vring_cnt;
	s->watch.ready = session_ready;
	s->slow.expired = session_slow;
	message_init(&s->in);
	vrings_init(s);
	backchannel_init(s);
	s->watched = EPOLLIN;
	ret = evloop_fd_add(s->loop, &s->watch, fd, s->watched);
	if (ret < 0) {
		session_free(s);
		return err_set(err, -ret, "cannot watch the connection: %s", strerror(-ret));
	}
	device_set_front(s->device, &session_front_ops, s);
	*out = s;
	return 0;
}

void session_close(struct session *s)
{
	s->ending = true;
	session_run(s);
}

bool session_is_leaving(const struct session *s)
{
	struct pollfd peer = {.fd = s->fd};

	/* The loop may not have told yet. */
	return s->ending || (poll(&peer, 1, 0) > 0 && peer.revents & (POLLHUP | POLLERR));
}
