/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole daemon in the test's process, whose loop the test turns, and guests in threads that drive
 * its disks through their sockets. Not a fake: workers, storage and sockets are the real ones.
 *
 * All but guests run on the test's thread, which is the control thread.
 */
#ifndef PARIO_TESTS_UNIT_APP_DAEMON_RIG_H
#define PARIO_TESTS_UNIT_APP_DAEMON_RIG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "app/daemon.h"
#include "app/operate.h"
#include "control/config.h"

#define RIG_LINES_MAX 2
#define RIG_PATH_BYTES 96
#define RIG_GUEST_QUEUES_MAX 4

struct rig {
	char dir[40];
	struct config config;
	struct config_errors errors;
	struct daemon *daemon;
};

/* An operation that remembers its answer. */
struct asked {
	struct operation op;
	bool answered;
	int status;
	char line[RIG_LINES_MAX][ERR_TEXT_BYTES];
};

/* A directory and a configuration with an API socket in it; daemon keys may be set then. */
void rig_prepare(struct rig *rig);
void rig_key(struct rig *rig, const char *key, const char *text);
/* As --disk says it; its socket is added, named after it. */
void rig_disk(struct rig *rig, const char *spec);
void rig_start(struct rig *rig);
/* SIGTERM, the drain, and the directory is gone. */
void rig_stop(struct rig *rig);
/* "<dir>/<name>.<suffix>"; a buffer that the next call but three overwrites. */
const char *rig_path(const struct rig *rig, const char *name, const char *suffix);
/* A file of so many zeroes. */
void rig_image(const struct rig *rig, const char *name, off_t bytes);

/* Turns the loop until the condition holds; fails the test after a minute. */
#define rig_until(rig, condition)                                \
	do {                                                     \
		int64_t rig_end_ms = rig_deadline_ms();          \
		while (!(condition))                             \
			rig_turn((rig), rig_end_ms, #condition); \
	} while (0)
int64_t rig_deadline_ms(void);
void rig_turn(struct rig *rig, int64_t end_ms, const char *what);

/* For operate_*(): a fresh operation; then the answer, waited for. */
struct operation *ask(struct asked *asked);
/*
 * The status must be that, and the complaint (the only one) that, or begin so if line ends with
 * "..."; NULL: none.
 */
void rig_answer(struct rig *rig, struct asked *asked, int status, const char *line);

/* JSON text; "'" stands for '"'. The caller's reference. */
json_t *rig_json(const char *text);
/* One operation from beginning to end. */
void rig_set_disk(struct rig *rig, const char *name, const char *changes, int status,
		  const char *line);
void rig_set_daemon(struct rig *rig, const char *changes, int status, const char *line);
void rig_add(struct rig *rig, const char *spec, int status, const char *line);
/* Of any kind; ports get a socket as disks do. */
void rig_add_kind(struct rig *rig, enum config_kind kind, const char *spec, int status,
		  const char *line);
void rig_set(struct rig *rig, const char *name, const char *changes, int status, const char *line);
void rig_remove_any(struct rig *rig, const char *name, int status, const char *line);
void rig_remove(struct rig *rig, const char *name, int status, const char *line);
void rig_resize(struct rig *rig, const char *name, const char *size, int status, const char *line);

/* A guest of a disk: reads on all its queues, one at a time on each, until it is told to end. */
struct guest {
	pthread_t thread;
	char path[RIG_PATH_BYTES];
	unsigned queues;
	bool one_read; /* on queue 0, and wait for the daemon to close the connection */
	/* atomic */
	bool end;
	unsigned submitted;
	unsigned done;
	unsigned failed;
	char error[512]; /* when failed */
};

void guest_start(struct rig *rig, struct guest *guest, const char *disk, unsigned queues);
/* Submits one read and leaves it in flight. */
void guest_start_one(struct rig *rig, struct guest *guest, const char *disk);
/* More requests have been done since, on each queue. */
void guest_progress(struct rig *rig, struct guest *guest);
void guest_end(struct rig *rig, struct guest *guest);

/* A guest of a port: sends frames and counts those that come back; the rest as above. */
void nic_start(struct rig *rig, struct guest *guest, const char *port);

#endif
