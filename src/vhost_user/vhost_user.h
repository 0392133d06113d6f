/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vhost-user side of a device: its socket, and the front end behind it.
 * Not the device: everything that a queue or config space is goes through device/device.h.
 *
 * Control thread only.
 */
#ifndef PARIO_VHOST_USER_VHOST_USER_H
#define PARIO_VHOST_USER_VHOST_USER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/evloop.h"
#include "base/stat.h"
#include "device/device.h"

/* Exactly one of listen_path, connect_path, fd. Strings are copied. */
struct vhost_user_options {
	const char *listen_path;
	const char *connect_path; /* client mode: retried until the front end is there, for ever */
	int fd;                   /* -1, or an inherited socket, listening or connected: taken,
				   * unless it is refused */
	mode_t socket_mode;       /* of listen_path; 0 = 0600 */
	uid_t socket_owner;       /* (uid_t)-1 = as is */
	gid_t socket_group;       /* (gid_t)-1 = as is */
	bool any_memory;          /* guest memory may be any file (struct gmap_policy) */
};

/* Counters of an endpoint, over all its front ends. */
struct vhost_user_stats {
	uint64_t sessions;         /* front ends accepted */
	uint64_t sessions_refused; /* second front ends */
	uint64_t messages;
	uint64_t messages_refused; /* wrong size, fds, phase, feature, contents; unknown */
	uint64_t session_errors;   /* connections dropped for what the front end sent */
};

extern const struct stat_row vhost_user_stat_rows[];
extern const unsigned vhost_user_stat_row_cnt;

struct vhost_user;

/*
 * Starts to listen or connect. A stale socket file (nobody answers) is replaced, a live one and
 * anything that is not a socket are refused with text. The device is borrowed. SIGPIPE must be
 * ignored in the process: a pipe may stand where a socket or an eventfd does.
 */
int vhost_user_open(struct evloop *loop, struct device *device,
		    const struct vhost_user_options *options, struct vhost_user **out,
		    struct err *err);

/*
 * Ends the session if there is one: queues are stopped and drained, then the connection is closed
 * and the socket file removed; then closed(arg) is called, perhaps from within, and the object is
 * gone.
 */
void vhost_user_close(struct vhost_user *vu, void (*closed)(void *arg), void *arg);

bool vhost_user_connected(const struct vhost_user *vu);
/*
 * Process of the connected front end (SO_PEERCRED, as it was when it connected); 0: none, or one
 * outside our namespace.
 */
pid_t vhost_user_peer_pid(const struct vhost_user *vu);
const struct vhost_user_stats *vhost_user_stats(const struct vhost_user *vu);

#endif
