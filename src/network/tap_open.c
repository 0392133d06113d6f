/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interface of a tap: made or attached, and told what header and offloads we speak.
 * Not its addresses, nor the bridge that it is in: those are the host's.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdio.h"
#include "base/log.h"
#include "network/tap_priv.h"

#define TUN_PATH "/dev/net/tun"

/* Linux 6.2 and its headers. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

/* What the kernel may leave to us. UFO is in no kernel any more, though its flag is accepted. */
#define OFFLOADS (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)
#define OFFLOADS_USO (TUN_F_USO4 | TUN_F_USO6)

/* As the kernel's dev_valid_name(), and no pattern for it to number. */
static int judge_name(const char *ifname, struct err *err)
{
	const size_t len = strlen(ifname);

	if (len == 0 || len >= IFNAMSIZ)
		return err_set(err, EINVAL,
			       "ifname: \"%s\" has %zu characters; 1 to %d are allowed", ifname,
			       len, IFNAMSIZ - 1);
	if (strpbrk(ifname, "/:% \t\n\v\f\r") || strcmp(ifname, ".") == 0 ||
	    strcmp(ifname, "..") == 0)
		return err_set(err, EINVAL,
			       "ifname: \"%s\" is no name for an interface; it must not have a "
			       "slash, a colon, a percent sign or white space",
			       ifname);
	return 0;
}

static int open_failed(int code, struct err *err)
{
	switch (code) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return err_set(err, code,
			       TUN_PATH " is missing; load the module (modprobe tun), or in a "
					"container pass the device on");
	case EACCES:
	case EPERM:
		return err_set(err, code,
			       TUN_PATH " may not be opened by user %u; change its mode, or allow "
					"the device in the container",
			       (unsigned)geteuid());
	default:
		return err_set(err, code, TUN_PATH " cannot be opened: %s", strerrordesc_np(code));
	}
}

/* Why the kernel said EINVAL: what is it that has this name? */
static int attach_refused(const char *ifname, unsigned queues, int socket_fd, struct err *err)
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	struct ifreq request = {.ifr_data = (void *)&info};

	memcpy(request.ifr_name, ifname, strlen(ifname) + 1);
	if (ioctl(socket_fd, SIOCETHTOOL, &request) < 0 || strcmp(info.driver, "tun") != 0)
		return err_set(err, EINVAL,
			       "ifname: %s exists and is no tap (its driver is \"%s\"); choose "
			       "another name",
			       ifname, info.driver);
	if (strcmp(info.bus_info, "tap") != 0)
		return err_set(err, EINVAL,
			       "ifname: %s is a tun, which has no Ethernet frames; delete it, or "
			       "choose another name",
			       ifname);
	if (queues > 1)
		return err_set(err, EINVAL,
			       "ifname: %s exists and was made for one queue, queues is %u; set "
			       "queues to 1, or make it anew (ip tuntap add dev %s mode tap "
			       "multi_queue)",
			       ifname, queues, ifname);
	return err_set(err, EINVAL,
		       "ifname: %s exists and was made for several queues, queues is 1; set queues "
		       "to 2 or more, or make it anew without multi_queue",
		       ifname);
}

static int attach_failed(const char *ifname, const struct tap_options *options, bool exists,
			 int socket_fd, int code, struct err *err)
{
	switch (code) {
	case EBUSY:
		return err_set(err, code,
			       "ifname: %s is in use by another process (fuser -v " TUN_PATH
			       " shows it); end that use, or choose another name",
			       ifname);
	case E2BIG:
		return err_set(err, code,
			       "ifname: %s has no queue left for %u more; another process may use "
			       "some, or the kernel's limit is reached; set fewer queues",
			       ifname, options->queues);
	case EPERM:
		if (exists)
			return err_set(err, code,
				       "ifname: %s belongs to another user or group; make it for "
				       "user %u (ip tuntap add dev %s mode tap user ...), or give "
				       "the daemon CAP_NET_ADMIN",
				       ifname, (unsigned)geteuid(), ifname);
		return err_set(err, code,
			       "ifname: %s does not exist, and to make it takes CAP_NET_ADMIN; "
			       "give the daemon that, or make it before (ip tuntap add dev %s "
			       "mode tap user ...)",
			       ifname, ifname);
	case EINVAL:
		if (exists)
			return attach_refused(ifname, options->queues, socket_fd, err);
		break;
	default:
		break;
	}
	return err_set(err, code, "ifname: %s cannot be %s: %s", ifname,
		       exists ? "attached" : "made", strerrordesc_np(code));
}

/* One queue of the interface. */
static int queue_attach(struct tap_queue *queue, const struct tap_options *options, bool exists,
			int socket_fd, struct err *err)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	const int sndbuf = INT_MAX;
	const int header_bytes = sizeof(struct tap_header);
	const int little_endian = 1;

	queue->fd = open(TUN_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (queue->fd < 0)
		return open_failed(errno, err);
	memcpy(request.ifr_name, options->ifname, strlen(options->ifname) + 1);
	if (options->queues > 1)
		request.ifr_flags |= IFF_MULTI_QUEUE;
	if (ioctl(queue->fd, TUNSETIFF, &request) < 0)
		return attach_failed(options->ifname, options, exists, socket_fd, errno, err);
	if (ioctl(queue->fd, TUNSETVNETHDRSZ, &header_bytes) < 0)
		return err_set(err, errno, "ifname: %s takes no header of 12 bytes: %m",
			       options->ifname);
	/* A kernel without it has the byte order of the machine, which is the same on most. */
	if (ioctl(queue->fd, TUNSETVNETLE, &little_endian) < 0 && htole16(1) != 1)
		return err_set(err, errno, "ifname: %s takes no little-endian header: %m",
			       options->ifname);
	/* A limit that an earlier user left would make writes fail. */
	if (ioctl(queue->fd, TUNSETSNDBUF, &sndbuf) < 0)
		return err_set(err, errno, "ifname: %s cannot be set up (TUNSETSNDBUF): %m",
			       options->ifname);
	return 0;
}

static int set_offloads(struct tap *tap, struct err *err)
{
	const int fd = tap->queues[0].fd;

	tap->uso = false;
	if (!tap->offloads) {
		if (ioctl(fd, TUNSETOFFLOAD, 0) < 0)
			return err_set(err, errno, "ifname: %s cannot switch its offloads off: %m",
				       tap->ifname);
		return 0;
	}
	if (ioctl(fd, TUNSETOFFLOAD, OFFLOADS | OFFLOADS_USO) == 0) {
		tap->uso = true;
		return 0;
	}
	if (ioctl(fd, TUNSETOFFLOAD, OFFLOADS) < 0)
		return err_set(err, errno,
			       "ifname: %s does not take its offloads: %m; set offloads to off",
			       tap->ifname);
	return 0;
}

static int set_mtu(const char *ifname, uint32_t mtu, int socket_fd, struct err *err)
{
	struct ifreq request = {.ifr_mtu = 0};

	memcpy(request.ifr_name, ifname, strlen(ifname) + 1);
	if (ioctl(socket_fd, SIOCGIFMTU, &request) == 0 && request.ifr_mtu == (int)mtu)
		return 0;
	request.ifr_mtu = mtu <= INT_MAX ? (int)mtu : INT_MAX;
	if (ioctl(socket_fd, SIOCSIFMTU, &request) == 0)
		return 0;
	if (errno == EPERM)
		return err_set(
			err, EPERM,
			"mtu: %s's can be set with CAP_NET_ADMIN alone; give the daemon "
			"that, or set it before (ip link set dev %s mtu %u) or leave mtu out",
			ifname, ifname, mtu);
	return err_set(err, errno, "mtu: %u is refused by %s: %m; 68 to 65521 are allowed", mtu,
		       ifname);
}

/* One that we made is set up; of one that was there it is said if it is down. */
static int set_up(struct tap *tap, int socket_fd, struct err *err)
{
	struct ifreq request = {.ifr_flags = 0};

	memcpy(request.ifr_name, tap->ifname, sizeof(request.ifr_name));
	if (ioctl(socket_fd, SIOCGIFFLAGS, &request) < 0)
		return err_set(err, errno, "ifname: %s has no flags: %m", tap->ifname);
	if (request.ifr_flags & IFF_UP)
		return 0;
	if (!tap->made) {
		log_warn(tap->tag,
			 "interface %s is down, so nothing goes through; ip link set dev %s up",
			 tap->ifname, tap->ifname);
		return 0;
	}
	request.ifr_flags |= IFF_UP;
	if (ioctl(socket_fd, SIOCSIFFLAGS, &request) < 0)
		return err_set(err, errno, "ifname: %s cannot be set up: %m", tap->ifname);
	return 0;
}

static int interface_open(struct tap *tap, const struct tap_options *options, int socket_fd,
			  struct err *err)
{
	const bool exists = if_nametoindex(options->ifname) != 0;
	int status = 0;

	tap->made = !exists;
	memcpy(tap->ifname, options->ifname, strlen(options->ifname) + 1);
	for (unsigned i = 0; i < tap->queue_cnt && status == 0; i++)
		status = queue_attach(&tap->queues[i], options, exists, socket_fd, err);
	if (status == 0)
		status = set_offloads(tap, err);
	if (status == 0 && options->mtu > 0)
		status = set_mtu(tap->ifname, options->mtu, socket_fd, err);
	if (status == 0)
		status = set_up(tap, socket_fd, err);
	return status;
}

int tap_interface_open(struct tap *tap, const struct tap_options *options, struct err *err)
{
	int status = judge_name(options->ifname, err);
	int socket_fd;

	if (status < 0)
		return status;
	socket_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (socket_fd < 0)
		socket_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (socket_fd < 0)
		return err_set(err, errno, "no socket to set %s up with: %m", options->ifname);
	status = interface_open(tap, options, socket_fd, err);
	fdio_close(&socket_fd);
	if (status == 0)
		log_info(tap->tag, "interface %s %s, %u queue%s, offloads %s", tap->ifname,
			 tap->made ? "made" : "attached", tap->queue_cnt,
			 tap->queue_cnt > 1 ? "s" : "", tap->offloads ? "on" : "off");
	return status;
}
