/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the back end says by itself: that config space has changed, on whatever channel it was
 * given. Not replies.
 */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned channel_messages(struct rig *rig, int fd)
{
	struct vu_header h;
	unsigned cnt = 0;

	(void)rig;
	for (;;) {
		ssize_t n = recv(fd, &h, sizeof(h), MSG_DONTWAIT);

		if (n < 0 && errno == ENOTSOCK)
			n = read(fd, &h, sizeof(h));
		if (n != sizeof(h))
			return cnt;
		assert_int_equal(h.request, VU_BACKEND_CONFIG_CHANGE);
		assert_int_equal(h.flags, 1);
		assert_int_equal(h.size, 0);
		cnt++;
	}
}

static const struct rig_step config_changed[] = {
	ACT(CONFIG_CHANGED),
	ACT(END),
};

static void test_config_change(void **state)
{
	static const struct rig_step channel[] = {
		ASK(SET_BACKEND_REQ_FD, EMPTY, FDS(FD_SOCKET)),
		ACT(END),
	};
	static const struct rig_step pipe[] = {
		ASK(SET_BACKEND_REQ_FD, EMPTY, FDS(FD_PIPE_WRITE)),
		ACT(END),
	};
	static const struct rig_step bad[] = {
		REFUSED(SET_BACKEND_REQ_FD, EMPTY, FDS(FD_EVENT)),
		REFUSED(SET_BACKEND_REQ_FD, EMPTY, FDS(FD_NULL)),
		REFUSED(SET_BACKEND_REQ_FD, EMPTY, FDS(FD_DATAGRAM)),
		REFUSED(SET_BACKEND_REQ_FD, EMPTY, FDS(FD_INET)),
		REFUSED(SET_BACKEND_REQ_FD, EMPTY, FDS(FD_MEM)),
		ACT(END),
	};
	struct rig rig;
	unsigned fds;

	(void)state;
	rig_init(&rig, 2);
	rig_connect(&rig);
	rig_play(&rig, "config change: hello", rig_hello);
	rig_play(&rig, "config change: no channel", config_changed);
	rig_play(&rig, "config change: channel", channel);
	fds = rig_fd_cnt();
	rig_play(&rig, "config change: channel again", channel);
	rig_play(&rig, "config change: bad channels", bad);
	assert_int_equal(rig_fd_cnt(), fds);
	/* No ring runs: we say nothing by ourselves, and remember. */
	rig_play(&rig, "config change: suspended", config_changed);
	rig_play(&rig, "config change: suspended", config_changed);
	assert_int_equal(channel_messages(&rig, rig.channel), 0);
	rig_play(&rig, "config change: ring", rig_ring0_running);
	assert_int_equal(channel_messages(&rig, rig.channel), 1);
	rig_play(&rig, "config change: running", config_changed);
	assert_int_equal(channel_messages(&rig, rig.channel), 1);
	rig_play(&rig, "config change: pipe", pipe);
	rig_play(&rig, "config change: pipe", config_changed);
	assert_int_equal(channel_messages(&rig, rig.fds[FD_PIPE_READ]), 1);
	assert_int_equal(channel_messages(&rig, rig.channel), 0);
	rig_fini(&rig);
}

/* Only with CONFIG. */
static void test_config_change_not_negotiated(void **state)
{
	static const struct rig_step steps[] = {
		ASK(SET_PROTOCOL_FEATURES, U64(PF_OFFERED & ~BIT(VU_PF_CONFIG))),
		ASK(SET_FEATURES, U64(F_V1 | F_PROTOCOL), CALLS("features 0x100000000")),
		ASK(SET_MEM_TABLE, TABLE1(0), FDS(FD_MEM), CALLS("memory 1")),
		ASK(SET_BACKEND_REQ_FD, EMPTY, FDS(FD_SOCKET)),
		ACT(END),
	};
	struct rig rig;

	(void)state;
	rig_init(&rig, 2);
	rig_connect(&rig);
	rig_play(&rig, "not negotiated", steps);
	rig_play(&rig, "not negotiated", rig_ring0_running);
	rig_play(&rig, "not negotiated", config_changed);
	assert_int_equal(channel_messages(&rig, rig.channel), 0);
	rig_fini(&rig);
}

/* A channel that nobody reads takes what fits; then one change is kept for all. */
static void test_config_change_unread(void **state)
{
	static const struct rig_step channel[] = {
		ASK(SET_BACKEND_REQ_FD, EMPTY, FDS(FD_SOCKET)),
		ACT(END),
	};
	enum { CHANGES = 50000 };
	unsigned before, got;
	struct rig rig;

	(void)state;
	before = rig_fd_cnt();
	rig_init(&rig, 2);
	rig_connect(&rig);
	rig_play(&rig, "unread", rig_hello);
	rig_play(&rig, "unread", rig_ring0_running);
	rig_play(&rig, "unread", channel);
	for (unsigned i = 0; i < CHANGES; i++)
		fake_device_config_changed(rig.device);
	got = channel_messages(&rig, rig.channel);
	assert_true(got > 0 && got < CHANGES);
	rig_spin(&rig);
	/* The one that waited, and one for the changes while it did. */
	assert_int_equal(channel_messages(&rig, rig.channel), 2);
	rig_spin(&rig);
	assert_int_equal(channel_messages(&rig, rig.channel), 0);
	/* Full again, and the same channel is given once more: it is waited for as before. */
	for (unsigned i = 0; i < CHANGES; i++)
		fake_device_config_changed(rig.device);
	rig_play(&rig, "unread: again", channel);
	assert_true(channel_messages(&rig, rig.channel) > 0);
	rig_spin(&rig);
	assert_int_equal(channel_messages(&rig, rig.channel), 1);
	/* Full again, then the front end leaves: the session goes on until its own end. */
	for (unsigned i = 0; i < CHANGES; i++)
		fake_device_config_changed(rig.device);
	close(rig.channel);
	rig.channel = -1;
	close(rig.fds[FD_SOCKET]);
	rig.fds[FD_SOCKET] = -1;
	rig_spin(&rig);
	rig_play(&rig, "unread: gone", config_changed);
	assert_true(vhost_user_connected(rig.vu));
	rig_fini(&rig);
	assert_int_equal(rig_fd_cnt(), before);
}

/* A pipe that blocks its writers does not block us, and what it did not take the next one gets. */
static void test_config_change_full_pipe(void **state)
{
	static const struct rig_step pipe[] = {
		ASK(SET_BACKEND_REQ_FD, EMPTY, FDS(FD_PIPE_WRITE)),
		ACT(END),
	};
	static const struct rig_step channel[] = {
		ASK(SET_BACKEND_REQ_FD, EMPTY, FDS(FD_SOCKET)),
		ACT(END),
	};
	static const char filler[4096];
	struct rig rig;
	int flags;

	(void)state;
	rig_init(&rig, 2);
	rig_connect(&rig);
	while (write(rig.fds[FD_PIPE_WRITE], filler, sizeof(filler)) > 0)
		;
	assert_int_equal(errno, EAGAIN);
	flags = fcntl(rig.fds[FD_PIPE_WRITE], F_GETFL) & ~O_NONBLOCK;
	assert_int_equal(fcntl(rig.fds[FD_PIPE_WRITE], F_SETFL, flags), 0);
	rig_play(&rig, "full pipe", rig_hello);
	rig_play(&rig, "full pipe", rig_ring0_running);
	rig_play(&rig, "full pipe", pipe);
	rig_play(&rig, "full pipe", config_changed);
	assert_int_equal(fcntl(rig.fds[FD_PIPE_WRITE], F_GETFL), flags);
	rig_play(&rig, "full pipe: next", channel);
	assert_int_equal(channel_messages(&rig, rig.channel), 1);
	rig_fini(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config_change),
		cmocka_unit_test(test_config_change_not_negotiated),
		cmocka_unit_test(test_config_change_unread),
		cmocka_unit_test(test_config_change_full_pipe),
	};

	return cmocka_run_group_tests_name("backchannel", tests, NULL, NULL);
}
