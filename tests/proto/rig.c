/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rig of the protocol tests: setting up, sending, receiving, playing tables.
 * Nothing is waited for by time: loops turn until a condition holds, with a deadline.
 */
#include "rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define DEADLINE_NS (20 * NS_PER_S)

void rig_fail(const struct rig *rig, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fail_msg("%s, step %u: %s", rig->where ? rig->where : "(no table)", rig->step, text);
	abort();
}

unsigned rig_fd_cnt(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned cnt = 0;

	assert_non_null(dir);
	while (readdir(dir))
		cnt++;
	closedir(dir);
	return cnt;
}

static int memory_file(size_t bytes)
{
	int fd = memfd_create("rig", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

/* Guest memory must not be on a file system like this one: any but tmpfs will do. */
static int disk_file(void)
{
	static const char *const dirs[] = {"/var/tmp", ".", "/tmp", "/"};
	struct statfs fs;
	char path[64];

	for (unsigned i = 0; i < 4; i++) {
		int fd;

		snprintf(path, sizeof(path), "%s/pario-proto-XXXXXX", dirs[i]);
		if (statfs(dirs[i], &fs) < 0 || fs.f_type == TMPFS_MAGIC)
			continue;
		fd = mkostemp(path, O_CLOEXEC);
		if (fd < 0)
			continue;
		unlink(path);
		assert_int_equal(ftruncate(fd, RIG_REGION_BYTES), 0);
		return fd;
	}
	fail_msg("no directory for a file that is not on tmpfs: tried /var/tmp, ., /tmp, /");
	return -1;
}

void rig_init(struct rig *rig, unsigned queues)
{
	int pair[2];
	struct err err = ERR_INIT;

	memset(rig, 0, sizeof(*rig));
	signal(SIGPIPE, SIG_IGN);
	/* Thousands of refusals are the point here. */
	log_set_level(getenv("PARIO_TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	rig->loop = evloop_new(&err);
	assert_non_null(rig->loop);
	rig->device = fake_device_new("rig", queues);
	rig->front = -1;
	rig->fds[FD_NONE] = -1;
	rig->fds[FD_EVENT] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(pipe2(pair, O_CLOEXEC | O_NONBLOCK), 0);
	rig->fds[FD_PIPE_READ] = pair[0];
	rig->fds[FD_PIPE_WRITE] = pair[1];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	rig->channel = pair[0];
	rig->fds[FD_SOCKET] = pair[1];
	rig->fds[FD_DATAGRAM] = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	rig->fds[FD_INET] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	rig->fds[FD_NULL] = open("/dev/null", O_RDWR | O_CLOEXEC);
	rig->fds[FD_FILE] = disk_file();
	rig->fds[FD_SHORT] = memory_file(4096);
	for (unsigned i = 0; i < RIG_REGIONS; i++)
		rig->fds[FD_MEM + i] = memory_file(RIG_REGION_BYTES);
}

void rig_connect(struct rig *rig)
{
	struct vhost_user_options options = {.socket_owner = (uid_t)-1, .socket_group = (gid_t)-1};
	struct err err = ERR_INIT;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	rig->front = pair[0];
	rig->sent = 0;
	options.fd = pair[1];
	if (vhost_user_open(rig->loop, rig->device, &options, &rig->vu, &err) < 0)
		rig_fail(rig, "endpoint: %s", err.text);
}

static void closed(void *arg)
{
	struct rig *rig = arg;

	rig->closed_cb = true;
	rig->vu = NULL;
}

static bool is_closed(struct rig *rig)
{
	return rig->closed_cb;
}

void rig_close(struct rig *rig)
{
	rig->closed_cb = false;
	vhost_user_close(rig->vu, closed, rig);
	rig_until(rig, is_closed, "the endpoint to close");
}

void rig_fini(struct rig *rig)
{
	fake_device_release(rig->device);
	if (rig->vu)
		rig_close(rig);
	if (rig->front >= 0)
		close(rig->front);
	for (unsigned i = 0; i < FD_KIND_MAX_; i++) {
		if (rig->fds[i] >= 0)
			close(rig->fds[i]);
	}
	if (rig->channel >= 0)
		close(rig->channel);
	if (fake_device_misuse(rig->device))
		rig_fail(rig, "the device was misused");
	fake_device_free(rig->device);
	evloop_free(rig->loop);
}

void rig_until(struct rig *rig, bool (*done)(struct rig *rig), const char *what)
{
	uint64_t deadline_ns = clock_now_ns() + DEADLINE_NS;

	while (!done(rig)) {
		if (clock_now_ns() > deadline_ns)
			rig_fail(rig, "waited for %s in vain", what);
		assert_int_equal(evloop_turn(rig->loop, 5), 0);
	}
}

void rig_spin(struct rig *rig)
{
	/* A turn takes in all that is ready; what it causes is ready in the next. */
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(evloop_turn(rig->loop, 0), 0);
}

void rig_send(struct rig *rig, const void *bytes, size_t size, const enum rig_fd *fds,
	      unsigned fd_cnt)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))] = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	assert_true(fd_cnt <= 16);
	if (fd_cnt) {
		struct cmsghdr *c;

		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(fd_cnt * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fd_cnt * sizeof(int));
		for (unsigned i = 0; i < fd_cnt; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &rig->fds[fds[i]], sizeof(int));
	}
	if (sendmsg(rig->front, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)size)
		rig_fail(rig, "cannot send: %s", strerror(errno));
}

static bool readable(struct rig *rig)
{
	char byte;
	ssize_t n = recv(rig->front, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return n >= 0 || errno != EAGAIN;
}

static bool receive_exactly(struct rig *rig, void *to, size_t size)
{
	size_t got = 0;

	while (got < size) {
		ssize_t n;

		rig_until(rig, readable, "a reply");
		n = recv(rig->front, (uint8_t *)to + got, size - got, MSG_DONTWAIT);
		if (n <= 0)
			return false;
		got += (size_t)n;
	}
	return true;
}

bool rig_receive(struct rig *rig, struct vu_header *header, void *payload, size_t size)
{
	if (!receive_exactly(rig, header, sizeof(*header)))
		return false;
	if (header->size > size)
		rig_fail(rig, "a reply of %u bytes", header->size);
	return receive_exactly(rig, payload, header->size);
}

bool rig_silent(struct rig *rig)
{
	return !readable(rig);
}

static void expect_reply(struct rig *rig, const struct rig_step *step)
{
	struct rig_payload got = EMPTY;
	struct vu_header header = {0};

	if (!rig_receive(rig, &header, &got.as, sizeof(got.as)))
		rig_fail(rig, "the connection was closed");
	if (header.request != step->request || header.flags != 0x5)
		rig_fail(rig, "reply to request %u with flags 0x%x", header.request, header.flags);
	switch (step->answer) {
	case ANSWER_ACK:
		if (header.size != 8 || got.as.u64 != 0)
			rig_fail(rig, "ack of %u bytes, value 0x%" PRIx64, header.size, got.as.u64);
		break;
	case ANSWER_NACK:
		if (header.size != 8 || got.as.u64 == 0)
			rig_fail(rig, "no failure: %u bytes, 0x%" PRIx64, header.size, got.as.u64);
		break;
	case ANSWER_EMPTY:
		if (header.size != 0)
			rig_fail(rig, "reply of %u bytes, not empty", header.size);
		break;
	case ANSWER_U64:
		if (header.size != 8 || got.as.u64 != step->value)
			rig_fail(rig, "reply of %u bytes, value 0x%" PRIx64 ", not 0x%" PRIx64,
				 header.size, got.as.u64, step->value);
		break;
	case ANSWER_STATE:
		if (header.size != 8 || got.as.state.idx != step->value >> 32 ||
		    got.as.state.value != (uint32_t)step->value)
			rig_fail(rig, "state of %u bytes, ring %u, number 0x%x", header.size,
				 got.as.state.idx, got.as.state.value);
		break;
	case ANSWER_CONFIG:
		if (header.size != step->value ||
		    memcmp(&got.as.config, &step->payload.as.config, 12) != 0)
			rig_fail(rig, "config reply of %u bytes", header.size);
		break;
	default:
		rig_fail(rig, "no such answer");
	}
}

/* All that was sent has been looked at, or the connection is gone. */
static bool consumed(struct rig *rig)
{
	char byte;

	if (rig->vu && vhost_user_stats(rig->vu)->messages == rig->sent)
		return true;
	return rig->front < 0 || recv(rig->front, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void play_send(struct rig *rig, const struct rig_step *step)
{
	struct {
		struct vu_header header;
		uint8_t payload[sizeof(step->payload.as)];
	} out;
	unsigned fd_cnt = 0;

	out.header.request = step->request;
	out.header.flags = VU_FLAG_VERSION | step->flags;
	out.header.size = step->payload.size;
	memcpy(out.payload, &step->payload.as, sizeof(out.payload));
	while (fd_cnt < 10 && step->fds[fd_cnt] != FD_NONE)
		fd_cnt++;
	rig_send(rig, &out, sizeof(out.header) + step->payload.size, step->fds, fd_cnt);
	rig->sent++;
	rig_until(rig, consumed, "the message to be read");
	if (step->answer == ANSWER_CLOSED) {
		rig_until(rig, readable, "the connection to close");
		if (recv(rig->front, out.payload, 1, MSG_DONTWAIT) > 0)
			rig_fail(rig, "a reply came, not a closed connection");
		close(rig->front);
		rig->front = -1;
	} else if (step->answer != ANSWER_NONE) {
		expect_reply(rig, step);
	}
}

static bool left(struct rig *rig)
{
	return !vhost_user_connected(rig->vu);
}

void rig_play_step(struct rig *rig, const struct rig_step *step)
{
	fake_device_forget_calls(rig->device);
	switch (step->action) {
	case RIG_SEND:
		play_send(rig, step);
		break;
	case RIG_HOLD:
		fake_device_hold(rig->device);
		break;
	case RIG_RELEASE:
		fake_device_release(rig->device);
		if (step->answer != ANSWER_NONE)
			expect_reply(rig, step);
		break;
	case RIG_CONFIG_CHANGED:
		fake_device_config_changed(rig->device);
		break;
	case RIG_FAIL_START:
		fake_device_fail_start(rig->device, (int)step->value, step->flags != 0);
		break;
	case RIG_LOSE:
		fake_device_lose(rig->device, 0);
		break;
	case RIG_LEAVE:
		close(rig->front);
		rig->front = -1;
		rig_until(rig, left, "the session to end");
		break;
	case RIG_END:
		break;
	}
	rig_spin(rig);
	if (rig->front >= 0 && !rig_silent(rig))
		rig_fail(rig, "more came than was expected, or the connection was closed");
	if (!step->any_calls &&
	    strcmp(fake_device_calls(rig->device), step->calls ? step->calls : "") != 0)
		rig_fail(rig, "device calls were \"%s\", not \"%s\"",
			 fake_device_calls(rig->device), step->calls ? step->calls : "");
	if (fake_device_misuse(rig->device))
		rig_fail(rig, "the device was misused");
	rig->step++;
}

void rig_play(struct rig *rig, const char *name, const struct rig_step *steps)
{
	rig->where = name;
	rig->step = 0;
	for (; steps->action != RIG_END; steps++)
		rig_play_step(rig, steps);
}

const struct rig_step rig_hello[] = {
	GET(GET_FEATURES, EMPTY, FAKE_DEVICE_FEATURES | F_PROTOCOL),
	GET(GET_PROTOCOL_FEATURES, EMPTY, PF_OFFERED),
	ASK(SET_PROTOCOL_FEATURES, U64(PF_OFFERED)),
	ASK(SET_OWNER, EMPTY),
	ASK(SET_FEATURES, U64(F_V1 | F_PROTOCOL), CALLS("features 0x100000000")),
	ASK(SET_MEM_TABLE, TABLE1(0), FDS(FD_MEM), CALLS("memory 1")),
	ACT(END),
};

const struct rig_step rig_ring0_running[] = {
	ASK(SET_VRING_NUM, STATE(0, 128)),
	ASK(SET_VRING_BASE, STATE(0, 0)),
	ASK(SET_VRING_ADDR, RING_IN(0, 0)),
	ASK(SET_VRING_KICK, U64(0), FDS(FD_EVENT)),
	ASK(SET_VRING_CALL, U64(0), FDS(FD_EVENT)),
	ASK(SET_VRING_ENABLE, STATE(0, 1), CALLS("start 0 size 128 base 0x0 kick call")),
	ACT(END),
};
