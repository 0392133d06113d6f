/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A placer over devices and workers of the test's own, on a machine that is not there, with a clock
 * that the test turns and a log that it reads.
 * Not threads and not rings: a move is a line in the rig's record, done when the test says so.
 */
#ifndef PARIO_TESTS_UNIT_CONTROL_PLACER_RIG_H
#define PARIO_TESTS_UNIT_CONTROL_PLACER_RIG_H

#include "../worker/fake_host.h"

#include "base/clock.h"
#include "control/placer.h"

#define RIG_WORKERS_MAX 8
#define RIG_QUEUES_MAX 8
#define RIG_PID 4242
#define RIG_TEXT_BYTES 3072

/* One disk, or a port in its place: its device, its place, and what the test knows of it. */
struct rig_disk {
	struct device *device;
	struct placed placed;
	pid_t pid; /* of its front end */
	char tag[24];
};

struct rig_wait {
	struct join join;
	bool finished;
};

extern struct placer *rig_placer;

/* A machine of fake_shapes[shape], with a worker on each of the CPUs ("3,7"). */
void rig_open(unsigned shape, const char *worker_cpus, uint64_t round_ns);
/* Every disk was removed; no line of the log is left unread. */
void rig_close(void);

/* Not added yet. Its device may use all workers. */
struct rig_disk *rig_disk_new(const char *name, unsigned queues);
void rig_disk_shift(struct rig_disk *disk, unsigned shift);
/* Its queues are pairs, and the last one is a control queue, as of a port. */
void rig_disk_pairs(struct rig_disk *disk);
void rig_disk_add(struct rig_disk *disk, enum placement_mode mode, const char *vcpus);
/* Stops its queues, lets moves finish, removes and frees it. */
void rig_disk_remove(struct rig_disk *disk);
/* The daemon's numbers of workers: "0-1". */
void rig_disk_use(struct rig_disk *disk, const char *workers);
/* Returns what placer_set() does; wait was opened by it and holds no reference of the test's. */
int rig_disk_set(struct rig_disk *disk, enum placement_mode mode, const char *vcpus,
		 struct rig_wait *wait);

/* Queues 0 to cnt - 1 start, where their device's order or home puts them. */
void rig_start(struct rig_disk *disk, unsigned cnt);
void rig_stop(struct rig_disk *disk, unsigned queue);
void rig_restart(struct rig_disk *disk, unsigned queue);
/* Moves wait for rig_release(), which does all of them; status is what their joins hear. */
void rig_hold(struct rig_disk *disk);
void rig_release(struct rig_disk *disk, int status);

/* Where the device's queues are: "0 1 -" */
void rig_stand(struct rig_disk *disk, const char *expected);
/* Where they would start next; "." is the device's own order. */
void rig_homes(struct rig_disk *disk, const char *expected);
/* Moves that were asked for since the last look: "0>1 1>0" */
void rig_moved(struct rig_disk *disk, const char *expected);
/* The lines of the log since the last look, each "level tag: text"; the list ends with NULL. */
void rig_said(const char *first, ...) __attribute__((sentinel));
void rig_said_nothing(void);
void rig_forget_said(void);

/* Time passes, and the loop's timers expire. */
void rig_pass_ms(unsigned ms);
/* For the window: a worker's and a queue's time. */
void rig_work(unsigned worker, uint64_t busy_ms);
void rig_load(struct rig_disk *disk, unsigned queue, uint64_t load_ms);

/* A thread of RIG_PID (or another) in /proc, named as QEMU does it. */
void rig_thread(pid_t pid, unsigned vcpu, const char *cpus, int last_cpu);
/* How often the threads of any process were looked at since the last question. */
unsigned rig_looks(void);

#endif
