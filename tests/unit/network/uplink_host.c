/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fixture of the uplinks' tests: the host's side, in a namespace of the test's own. Not a test.
 */
#include "uplink_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* As <linux/ipv6.h> has it, which the C library's headers do not go with. */
struct in6_ifreq {
	struct in6_addr ifr6_addr;
	uint32_t ifr6_prefixlen;
	int ifr6_ifindex;
};

/* Frames of our own only: no neighbour discovery in between. */
static void without_ipv6(void)
{
	int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "1", 1) != 1)
		fail_msg("IPv6 cannot be switched off: %s", strerror(errno));
	close(fd);
}

bool host_enter(const char **reason)
{
	if (access("/dev/net/tun", R_OK | W_OK) < 0) {
		*reason = "/dev/net/tun is not there or may not be used";
		return false;
	}
	if (unshare(CLONE_NEWNET) < 0) {
		*reason = "a network namespace may not be made (CAP_SYS_ADMIN)";
		return false;
	}
	without_ipv6();
	return true;
}

static int inet_ioctl(unsigned long request, void *arg)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int rc;

	assert_true(fd >= 0);
	rc = ioctl(fd, request, arg);
	close(fd);
	return rc;
}

static struct sockaddr_in inet_address(const char *ip)
{
	struct sockaddr_in in = {.sin_family = AF_INET};

	assert_int_equal(inet_pton(AF_INET, ip, &in.sin_addr), 1);
	return in;
}

void host_address(const char *ifname, const char *ip)
{
	const struct sockaddr_in address = inet_address(ip);
	const struct sockaddr_in mask = inet_address("255.255.255.0");
	struct ifreq request = {.ifr_flags = 0};

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", ifname);
	memcpy(&request.ifr_addr, &address, sizeof(address));
	assert_int_equal(inet_ioctl(SIOCSIFADDR, &request), 0);
	memcpy(&request.ifr_netmask, &mask, sizeof(mask));
	assert_int_equal(inet_ioctl(SIOCSIFNETMASK, &request), 0);
}

static void set_ipv6(const char *ifname, const char *key, const char *value)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/%s", ifname, key);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, 1) != 1)
		fail_msg("%s cannot be set: %s", path, strerror(errno));
	close(fd);
}

bool host_has_ipv6(void)
{
	return access("/proc/sys/net/ipv6", F_OK) == 0;
}

void host_address6(const char *ifname, const char *ip)
{
	struct in6_ifreq request = {
		.ifr6_prefixlen = 64,
		.ifr6_ifindex = (int)if_nametoindex(ifname),
	};
	struct sockaddr_in6 in = {.sin6_family = AF_INET6};
	int fd;

	/* Nobody is asked whether the address is free: it can be used at once. */
	set_ipv6(ifname, "accept_dad", "0");
	set_ipv6(ifname, "disable_ipv6", "0");
	assert_int_equal(inet_pton(AF_INET6, ip, &request.ifr6_addr), 1);
	in.sin6_addr = request.ifr6_addr;
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, SIOCSIFADDR, &request), 0);
	/* The kernel makes it usable in its own time. */
	wait_until(bind(fd, (const struct sockaddr *)&in, sizeof(in)) == 0);
	close(fd);
}

void host_neighbour(const char *ifname, const char *ip, const uint8_t *mac)
{
	const struct sockaddr_in address = inet_address(ip);
	struct arpreq request = {.arp_flags = ATF_COM | ATF_PERM};

	snprintf(request.arp_dev, sizeof(request.arp_dev), "%s", ifname);
	memcpy(&request.arp_pa, &address, sizeof(address));
	request.arp_ha.sa_family = ARPHRD_ETHER;
	memcpy(request.arp_ha.sa_data, mac, ETHER_MAC_BYTES);
	assert_int_equal(inet_ioctl(SIOCSARP, &request), 0);
}

void host_mac(const char *ifname, uint8_t *mac)
{
	struct ifreq request = {.ifr_flags = 0};

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", ifname);
	assert_int_equal(inet_ioctl(SIOCGIFHWADDR, &request), 0);
	memcpy(mac, request.ifr_hwaddr.sa_data, ETHER_MAC_BYTES);
}

int host_persistent(const char *ifname, int flags, bool keep_open)
{
	struct ifreq request = {.ifr_flags = (short)(flags | IFF_NO_PI)};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", ifname);
	assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
	assert_int_equal(ioctl(fd, TUNSETPERSIST, 1), 0);
	if (keep_open)
		return fd;
	close(fd);
	return -1;
}

void host_up(const char *ifname)
{
	struct ifreq request = {.ifr_flags = 0};

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", ifname);
	assert_int_equal(inet_ioctl(SIOCGIFFLAGS, &request), 0);
	request.ifr_flags |= IFF_UP;
	assert_int_equal(inet_ioctl(SIOCSIFFLAGS, &request), 0);
}

void host_delete(const char *ifname)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg info;
	} request = {
		.header = {.nlmsg_len = sizeof(request),
			   .nlmsg_type = RTM_DELLINK,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
		.info = {.ifi_index = (int)if_nametoindex(ifname)},
	};
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		uint8_t rest[256];
	} answer;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	assert_true(fd >= 0);
	assert_int_not_equal(request.info.ifi_index, 0);
	assert_int_equal(send(fd, &request, sizeof(request), 0), sizeof(request));
	assert_true(recv(fd, &answer, sizeof(answer), 0) > 0);
	assert_int_equal(answer.header.nlmsg_type, NLMSG_ERROR);
	assert_int_equal(answer.error.error, 0);
	close(fd);
}

uint64_t host_dropped(const char *ifname)
{
	FILE *file = fopen("/proc/thread-self/net/dev", "re");
	uint64_t dropped = UINT64_MAX;
	char line[512];

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		char *name = line + strspn(line, " ");
		char *colon = strchr(name, ':');

		if (!colon || strncmp(name, ifname, (size_t)(colon - name)) != 0)
			continue;
		/* 8 of receiving, then bytes, packets, errors, dropped */
		assert_int_equal(sscanf(colon + 1,
					"%*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %" SCNu64,
					&dropped),
				 1);
	}
	fclose(file);
	assert_true(dropped != UINT64_MAX);
	return dropped;
}

int host_socket(const char *ifname)
{
	const struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(0x88b5),
		.sll_ifindex = (int)if_nametoindex(ifname),
	};
	const struct timeval patience = {.tv_sec = 60};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	return fd;
}
