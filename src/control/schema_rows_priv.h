/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tables of schema_rows.c and schema_rows_net.c share: choices, and the rows that every
 * object with a front end has. Not for those who read rows (schema.h).
 */
#ifndef PARIO_CONTROL_SCHEMA_ROWS_PRIV_H
#define PARIO_CONTROL_SCHEMA_ROWS_PRIV_H

#include <limits.h>
#include <stddef.h>
#include <sys/un.h>

#include "control/config.h"
#include "control/schema.h"

#define SOCKET_PATH_BYTES_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)
#define OBJECT_NAME_BYTES_MAX 64
#define POLL_US_MAX 1000000
/* Of `vcpus`: numbers of four digits for each of worker/vcpus.h's VCPUS_MAX, and commas. */
#define VCPUS_BYTES_MAX 5119

/* schema_rows.c. The idx-th name, NULL beyond the last. */
const char *schema_choice_poll(unsigned idx);
const char *schema_choice_coalesce(unsigned idx);
const char *schema_choice_placement(unsigned idx);

/* of is the struct, member one of it. */
#define SCHEMA_OFFSET(of, member) (uint32_t) offsetof(struct of, member)

/* noun is "disk". */
#define SCHEMA_NAME_ROW(of, noun)                                                                 \
	{                                                                                         \
		.key = "name", .type = SCHEMA_NAME,                                               \
		.value_in_words = "none: every " noun " needs one", .max = OBJECT_NAME_BYTES_MAX, \
		.offset = SCHEMA_OFFSET(of, object.name),                                         \
		.help = "The " noun                                                               \
			"'s name in logs and errors; no two disks, switches, ports and "          \
			"uplinks share one, and none is daemon, which is what pario calls the "   \
			"daemon "                                                                 \
			"itself."                                                                 \
	}

/* What serves it, as member. */
#define SCHEMA_WORKERS_ROW(of, member, noun, changes)                                       \
	{                                                                                   \
		.key = "workers", .runtime = (changes), .type = SCHEMA_CPUS,                \
		.value_in_words = "the daemon's", .offset = SCHEMA_OFFSET(of, member),      \
		.help = "CPUs of the workers that serve this " noun ", among the daemon's." \
	}

#define SCHEMA_POLL_ROWS(of, mode, max_us, noun, changes)                       \
	{.key = "poll",                                                         \
	 .runtime = (changes),                                                  \
	 .type = SCHEMA_CHOICE,                                                 \
	 .choice = schema_choice_poll,                                          \
	 .value_in_words = "the daemon's",                                      \
	 .offset = SCHEMA_OFFSET(of, mode),                                     \
	 .help = "As the daemon's key, for this " noun "."},                    \
	{                                                                       \
		.key = "poll-max-us", .runtime = (changes), .type = SCHEMA_INT, \
		.value_in_words = "the daemon's", .min = 0, .max = POLL_US_MAX, \
		.offset = SCHEMA_OFFSET(of, max_us),                            \
		.help = "As the daemon's key, for this " noun "."               \
	}

/* How a front end reaches it. */
#define SCHEMA_SOCKET_ROWS(of)                                                                     \
	{.key = "socket",                                                                          \
	 .type = SCHEMA_PATH,                                                                      \
	 .value_in_words = "none: exactly one of socket, connect and fd is needed",                \
	 .max = SOCKET_PATH_BYTES_MAX,                                                             \
	 .offset = SCHEMA_OFFSET(of, front.socket_path),                                           \
	 .help = "Listen for a front end on this UNIX socket; a stale one is replaced."},          \
		{.key = "connect",                                                                 \
		 .type = SCHEMA_PATH,                                                              \
		 .value_in_words = "none",                                                         \
		 .max = SOCKET_PATH_BYTES_MAX,                                                     \
		 .offset = SCHEMA_OFFSET(of, front.connect_path),                                  \
		 .help = "Connect to a front end that listens on this UNIX socket; retried until " \
			 "it is "                                                                  \
			 "there."},                                                                \
		{.key = "fd",                                                                      \
		 .type = SCHEMA_FD,                                                                \
		 .value_in_words = "none",                                                         \
		 .min = 3,                                                                         \
		 .max = INT_MAX,                                                                   \
		 .offset = SCHEMA_OFFSET(of, front.fd),                                            \
		 .help = "Use this inherited descriptor: a UNIX socket that listens or is "        \
			 "connected."},                                                            \
		{.key = "socket-mode",                                                             \
		 .type = SCHEMA_MODE,                                                              \
		 .value = "0600",                                                                  \
		 .min = 1,                                                                         \
		 .max = 0777,                                                                      \
		 .only_with = "socket",                                                            \
		 .offset = SCHEMA_OFFSET(of, front.socket_mode),                                   \
		 .help = "Permissions of the socket file, octal."},                                \
		{.key = "socket-owner",                                                            \
		 .type = SCHEMA_USER,                                                              \
		 .value_in_words = "the daemon's user",                                            \
		 .only_with = "socket",                                                            \
		 .offset = SCHEMA_OFFSET(of, front.socket_owner),                                  \
		 .help = "Owner of the socket file: a user's name or number."},                    \
		{.key = "socket-group",                                                            \
		 .type = SCHEMA_GROUP,                                                             \
		 .value_in_words = "the daemon's group",                                           \
		 .only_with = "socket",                                                            \
		 .offset = SCHEMA_OFFSET(of, front.socket_group),                                  \
		 .help = "Group of the socket file: a group's name or number."},                   \
	{                                                                                          \
		.key = "any-memory", .type = SCHEMA_BOOL, .value = "false",                        \
		.offset = SCHEMA_OFFSET(of, front.any_memory),                                     \
		.help = "Accept guest memory on any file system. Otherwise it must be memfd, "     \
			"tmpfs or hugetlbfs, because another could make a worker wait."            \
	}

/* Of the rings; what IN_ORDER costs and its default are the device's. */
#define SCHEMA_RING_ROWS(of, in_order_value, in_order_help)                                   \
	{.key = "features.packed",                                                            \
	 .type = SCHEMA_BOOL,                                                                 \
	 .value = "true",                                                                     \
	 .offset = SCHEMA_OFFSET(of, front.features.packed),                                  \
	 .help = "Offer packed virtqueues beside split ones."},                               \
		{.key = "features.in-order",                                                  \
		 .type = SCHEMA_BOOL,                                                         \
		 .value = (in_order_value),                                                   \
		 .offset = SCHEMA_OFFSET(of, front.features.in_order),                        \
		 .help = (in_order_help)},                                                    \
		{.key = "features.event-idx",                                                 \
		 .type = SCHEMA_BOOL,                                                         \
		 .value = "true",                                                             \
		 .offset = SCHEMA_OFFSET(of, front.features.event_idx),                       \
		 .help = "Offer notification by index, which saves notifications."},          \
	{                                                                                     \
		.key = "features.indirect", .type = SCHEMA_BOOL, .value = "true",             \
		.offset = SCHEMA_OFFSET(of, front.features.indirect),                         \
		.help = "Offer indirect descriptors, so that a request takes one ring entry." \
	}

/* Who serves its queues, and how. */
#define SCHEMA_SERVICE_ROWS(of, noun)                                                            \
	SCHEMA_WORKERS_ROW(of, front.workers, noun, true),                                       \
		SCHEMA_POLL_ROWS(of, front.poll, front.poll_max_us, noun, true),                 \
		{.key = "placement",                                                             \
		 .runtime = true,                                                                \
		 .type = SCHEMA_CHOICE,                                                          \
		 .choice = schema_choice_placement,                                              \
		 .value_in_words = "the daemon's",                                               \
		 .offset = SCHEMA_OFFSET(of, front.placement),                                   \
		 .help = "As the daemon's key, for this " noun "."},                             \
		{.key = "vcpus",                                                                 \
		 .runtime = true,                                                                \
		 .type = SCHEMA_ORDER,                                                           \
		 .value_in_words = "found among the front end's threads, where that can be",     \
		 .max = VCPUS_BYTES_MAX,                                                         \
		 .offset = SCHEMA_OFFSET(of, front.vcpus),                                       \
		 .help = "The host's CPUs on which the guest's virtual CPUs run, in the order "  \
			 "of virtual CPUs: with 4-7 virtual CPU 0 is on CPU 4. For "             \
			 "placement=auto, where the threads of the front end cannot be found."}, \
	{                                                                                        \
		.key = "siblings", .runtime = true, .type = SCHEMA_BOOL, .value = "false",       \
		.offset = SCHEMA_OFFSET(of, front.siblings),                                     \
		.help = "With placement=auto a worker may serve a queue from the other "         \
			"hyperthread of the core whose virtual CPU drives it."                   \
	}

#endif
