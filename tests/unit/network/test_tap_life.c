/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tap's life: opened and refused, flooded, deleted under way, closed under load.
 * Not what frames look like (test_tap.c).
 */
#include "uplink_rig.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static const uint8_t peer_mac[] = {2, 0, 0, 0, 0, 2};

static int setup(void **state)
{
	*state = uplink_rig_new();
	return 0;
}

static int teardown(void **state)
{
	uplink_rig_free(*state);
	return 0;
}

static void refused(struct uplink_rig *rig, struct tap_options *options, int code, const char *part)
{
	struct err err = ERR_INIT;
	struct tap *tap = NULL;

	options->name = "out";
	options->port.name = "out";
	options->port.netswitch = rig->netswitch;
	options->workers = rig->workers;
	options->worker_cnt = UPLINK_WORKERS;
	options->fabric = rig->fabric;
	assert_int_equal(tap_open(options, &tap, &err), -code);
	if (!strstr(err.text, part))
		fail_msg("\"%s\" does not say \"%s\"", err.text, part);
}

static void names_that_are_none(void **state)
{
	static const char *const names[] = {"", "sixteen-letters-", "a/b", "a b", "tap%d", ".."};

	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		struct tap_options options = {.ifname = names[i], .queues = 1};

		refused(*state, &options, EINVAL, "ifname: ");
	}
}

static void interfaces_of_another_kind(void **state)
{
	struct tap_options options = {.ifname = "lo", .queues = 1};

	refused(*state, &options, EINVAL, "is no tap");
	host_persistent("other0", IFF_TUN, false);
	options.ifname = "other0";
	refused(*state, &options, EINVAL, "is a tun");
	host_delete("other0");
	host_persistent("other0", IFF_TAP, false);
	options.queues = 2;
	refused(*state, &options, EINVAL, "was made for one queue");
	host_delete("other0");
	host_persistent("other0", IFF_TAP | IFF_MULTI_QUEUE, false);
	options.queues = 1;
	refused(*state, &options, EINVAL, "was made for several queues");
	host_delete("other0");
}

static void interface_in_use(void **state)
{
	struct tap_options options = {.ifname = "used0", .queues = 1};
	int fd = host_persistent("used0", IFF_TAP, true);

	refused(*state, &options, EBUSY, "in use by another process");
	close(fd);
	host_delete("used0");
}

#define NOBODY 65534

static void persistent_of(const char *ifname, int owner)
{
	int fd = host_persistent(ifname, IFF_TAP, true);

	assert_int_equal(ioctl(fd, TUNSETOWNER, owner), 0);
	close(fd);
}

/* Without rights there is what others made for us, and nothing else. */
static void rights_that_are_missing(void **state)
{
	struct tap_options options = {.ifname = "mine0", .queues = 1};
	bool may_open;

	persistent_of("root0", NOBODY - 1);
	persistent_of("mine0", NOBODY);
	assert_int_equal(seteuid(NOBODY), 0);
	may_open = euidaccess("/dev/net/tun", R_OK | W_OK) == 0;
	if (may_open) {
		rig_tap_close(*state, rig_tap(*state, &options));
		options.mtu = 1500;
		rig_tap_close(*state, rig_tap(*state, &options));
		options.mtu = 1400;
		refused(*state, &options, EPERM, "mtu: ");
		options.ifname = "root0";
		refused(*state, &options, EPERM, "belongs to another user");
		options.ifname = "new0";
		refused(*state, &options, EPERM, "takes CAP_NET_ADMIN");
	} else {
		refused(*state, &options, EACCES, "may not be opened by user 65534");
	}
	assert_int_equal(seteuid(0), 0);
	host_delete("root0");
	host_delete("mine0");
}

static void options_out_of_range(void **state)
{
	struct tap_options options = {.ifname = "tap0", .queues = 0};

	refused(*state, &options, EINVAL, "queues: ");
	options.queues = NETPORT_QUEUES_MAX + 1;
	refused(*state, &options, EINVAL, "queues: ");
	options.queues = 1;
	options.mtu = 67;
	refused(*state, &options, EINVAL, "mtu: ");
	options.mtu = UINT32_MAX;
	refused(*state, &options, EINVAL, "mtu: ");
	assert_int_equal(if_nametoindex("tap0"), 0);
}

static unsigned flags_of(const char *ifname, int *mtu)
{
	struct ifreq request = {.ifr_flags = 0};
	unsigned flags;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", ifname);
	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &request), 0);
	flags = (unsigned short)request.ifr_flags;
	assert_int_equal(ioctl(fd, SIOCGIFMTU, &request), 0);
	*mtu = request.ifr_mtu;
	close(fd);
	return flags;
}

static void made_and_gone(void **state)
{
	struct tap_options options = {.mtu = 9000, .queues = 2};
	struct tap *tap = rig_tap(*state, &options);
	int mtu;

	assert_string_equal(tap_ifname(tap), "tap0");
	assert_true(flags_of("tap0", &mtu) & IFF_UP);
	assert_int_equal(mtu, 9000);
	rig_tap_close(*state, tap);
	assert_int_equal(if_nametoindex("tap0"), 0);
}

static void attached_and_left(void **state)
{
	struct tap_options options = {.ifname = "stays0"};
	struct tap *tap;
	int mtu;

	host_persistent("stays0", IFF_TAP, false);
	for (unsigned i = 0; i < 3; i++) {
		tap = rig_tap(*state, &options);
		/* Whether it is up is the host's affair. */
		assert_false(flags_of("stays0", &mtu) & IFF_UP);
		assert_int_equal(mtu, 1500);
		rig_tap_close(*state, tap);
		assert_int_not_equal(if_nametoindex("stays0"), 0);
	}
	host_delete("stays0");
}

/* Sends from a thread of its own until it is told to end. */
struct flood {
	pthread_t thread;
	int fd;
	bool end;
	uint64_t sent;
};

static void *flood_run(void *arg)
{
	struct flood *flood = arg;
	uint8_t bytes[60] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 9, 0x88, 0xb5};

	while (!get(&flood->end)) {
		memcpy(bytes + 20, &flood->sent, sizeof(flood->sent));
		if (send(flood->fd, bytes, sizeof(bytes), 0) == sizeof(bytes))
			add(&flood->sent, 1);
	}
	return NULL;
}

static void flood_start(struct flood *flood, const char *ifname)
{
	*flood = (struct flood){.fd = host_socket(ifname)};
	assert_int_equal(pthread_create(&flood->thread, NULL, flood_run, flood), 0);
}

static void flood_end(struct flood *flood)
{
	set(&flood->end, true);
	pthread_join(flood->thread, NULL);
	close(flood->fd);
}

static uint64_t received(const struct tap *tap)
{
	struct tap_stats stats;

	tap_stats(tap, &stats);
	return stats.rx_frames;
}

static void flood_is_counted_to_the_last_frame(void **state)
{
	struct uplink_rig *rig = *state;
	struct tap_options options = {.offloads = true};
	struct peer *peer = peer_new(rig, 1, "vm", NULL);
	struct tap *tap = rig_tap(rig, &options);
	struct netport_stats port;
	struct flood flood;
	uint64_t frames;

	peer_only_count(peer);
	flood_start(&flood, "tap0");
	uplink_wait(rig, received(tap) > 100000);
	flood_end(&flood);
	uplink_wait(rig, received(tap) + host_dropped("tap0") == flood.sent);
	frames = received(tap);
	netport_stats(tap_port(tap), &port);
	assert_int_equal(port.in_frames, frames);
	/* All that the peer was given is there once the tap has its frames back. */
	rig_tap_close(rig, tap);
	netport_stats(peer->port, &port);
	assert_int_equal(peer_count(peer) + port.drop_inbox_full, frames);
	peer_free(peer);
}

static void closed_under_load(void **state)
{
	struct uplink_rig *rig = *state;

	for (unsigned queues = 1; queues <= 4; queues++) {
		struct tap_options options = {.offloads = true, .queues = queues};
		struct peer *peer = peer_new(rig, 1, "vm", NULL);
		struct tap *tap = rig_tap(rig, &options);
		struct flood flood;

		peer_only_count(peer);
		flood_start(&flood, "tap0");
		uplink_wait(rig, peer_count(peer) > 1000);
		rig_tap_close(rig, tap);
		assert_int_equal(if_nametoindex("tap0"), 0);
		flood_end(&flood);
		peer_free(peer);
	}
}

static void closed_at_once(void **state)
{
	struct tap_options options = {.queues = 4};

	for (unsigned i = 0; i < 20; i++)
		rig_tap_close(*state, rig_tap(*state, &options));
}

static uint64_t lost(const struct tap *tap)
{
	struct tap_stats stats;

	tap_stats(tap, &stats);
	return stats.lost;
}

static uint64_t errors(const struct tap *tap)
{
	struct tap_stats stats;

	tap_stats(tap, &stats);
	return stats.tx_errors;
}

static void deleted_under_way(void **state)
{
	struct uplink_rig *rig = *state;
	struct tap_options options = {.ifname = "tap0", .offloads = true, .queues = 2};
	struct tap_options other_options = {.ifname = "tap1", .name = "other"};
	struct peer *peer = peer_new(rig, 1, "vm", NULL);
	struct tap *tap = rig_tap(rig, &options);
	struct tap *other = rig_tap(rig, &other_options);
	uint8_t bytes[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 2, 0x88, 0xb5};
	const struct peer_frame frame = {.bytes = bytes, .len = sizeof(bytes)};
	struct flood flood;
	uint8_t got[100];
	int fd;

	peer_only_count(peer);
	flood_start(&flood, "tap0");
	uplink_wait(rig, peer_count(peer) > 1000);
	host_delete("tap0");
	uplink_wait(rig, lost(tap) == 1);
	flood_end(&flood);
	/* It spends nothing on what is gone. */
	rig_wait_asleep(rig->first);
	rig_wait_asleep(&rig->second);
	/* The other one hears all. */
	fd = host_socket("tap1");
	for (unsigned i = 0; i < 10; i++) {
		bytes[20] = (uint8_t)i;
		peer_send(peer, &frame, 1);
		assert_int_equal(recv(fd, got, sizeof(got), 0), sizeof(bytes));
		assert_memory_equal(got, bytes, sizeof(bytes));
	}
	uplink_wait(rig, errors(tap) == 10);
	assert_int_equal(lost(other), 0);
	close(fd);
	rig_tap_close(rig, tap);
	rig_tap_close(rig, other);
	/* The name is free for the next. */
	rig_tap_close(rig, rig_tap(rig, &options));
	peer_free(peer);
}

/* A receiver that keeps what it gets: the tap waits for its frames, and no longer than that. */
static void frames_that_are_all_out(void **state)
{
	struct uplink_rig *rig = *state;
	struct tap_options options = {.offloads = true};
	uint8_t bytes[60] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 9, 0x88, 0xb5};
	const unsigned more = 100;

	for (unsigned worker = 0; worker < UPLINK_WORKERS; worker++) {
		struct peer *peer = peer_new(rig, worker, "vm", NULL);
		struct tap *tap = rig_tap(rig, &options);
		int fd = host_socket("tap0");

		peer_hold(peer, true);
		for (unsigned i = 0; i < FRAME_POOL_CNT + more; i++) {
			bytes[20] = (uint8_t)i;
			assert_int_equal(send(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
		}
		peer_get(peer, FRAME_POOL_CNT - 1);
		rig_wait_asleep(rig->first);
		rig_wait_asleep(&rig->second);
		assert_int_equal(received(tap), FRAME_POOL_CNT);
		peer_hold(peer, false);
		for (unsigned i = 0; i < FRAME_POOL_CNT + more; i++)
			assert_int_equal(peer_get(peer, i)->bytes[20], (uint8_t)i);
		close(fd);
		rig_tap_close(rig, tap);
		peer_free(peer);
	}
}

/* Nothing comes and nothing polls; what comes after that is heard. */
static void idle_costs_nothing(void **state)
{
	struct uplink_rig *rig = *state;
	struct tap_options options = {.poll_mode = POLL_MODE_ADAPTIVE,
				      .poll_max_ns = 50 * NS_PER_US};
	struct peer *peer = peer_new(rig, 1, "vm", NULL);
	struct tap *tap = rig_tap(rig, &options);
	uint8_t bytes[60] = {0};
	int fd = host_socket("tap0");

	memcpy(bytes, peer_mac, sizeof(peer_mac));
	bytes[6] = 2;
	bytes[12] = 0x88;
	bytes[13] = 0xb5;
	for (unsigned i = 0; i < 10; i++) {
		rig_wait_asleep(rig->first);
		rig_wait_asleep(&rig->second);
		bytes[20] = (uint8_t)i;
		assert_int_equal(send(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
		assert_memory_equal(peer_get(peer, i)->bytes, bytes, sizeof(bytes));
	}
	close(fd);
	rig_tap_close(rig, tap);
	peer_free(peer);
}

static void down_is_counted(void **state)
{
	struct uplink_rig *rig = *state;
	struct tap_options options = {.ifname = "down0"};
	struct peer *peer = peer_new(rig, 1, "vm", NULL);
	uint8_t bytes[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 2, 0x88, 0xb5};
	const struct peer_frame frame = {.bytes = bytes, .len = sizeof(bytes)};
	struct tap *tap;

	host_persistent("down0", IFF_TAP, false);
	tap = rig_tap(rig, &options);
	for (unsigned i = 0; i < 5; i++)
		peer_send(peer, &frame, 1);
	uplink_wait(rig, errors(tap) == 5);
	assert_int_equal(lost(tap), 0);
	rig_tap_close(rig, tap);
	host_delete("down0");
	peer_free(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(names_that_are_none, setup, teardown),
		cmocka_unit_test_setup_teardown(interfaces_of_another_kind, setup, teardown),
		cmocka_unit_test_setup_teardown(interface_in_use, setup, teardown),
		cmocka_unit_test_setup_teardown(rights_that_are_missing, setup, teardown),
		cmocka_unit_test_setup_teardown(options_out_of_range, setup, teardown),
		cmocka_unit_test_setup_teardown(made_and_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(attached_and_left, setup, teardown),
		cmocka_unit_test_setup_teardown(flood_is_counted_to_the_last_frame, setup,
						teardown),
		cmocka_unit_test_setup_teardown(closed_under_load, setup, teardown),
		cmocka_unit_test_setup_teardown(closed_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(deleted_under_way, setup, teardown),
		cmocka_unit_test_setup_teardown(frames_that_are_all_out, setup, teardown),
		cmocka_unit_test_setup_teardown(idle_costs_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(down_is_counted, setup, teardown),
	};
	const char *reason;

	if (!host_enter(&reason)) {
		printf("skipped: %s\n", reason);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
