/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See placer_rig.h. Not the real device nor worker, which are not linked.
 */
#include "placer_rig.h"

#include <errno.h>
#include <time.h>

#include "base/cpuset.h"
#include "base/log.h"

struct worker {
	unsigned idx;
	int cpu;
	struct worker_stats stats;
};

struct fake_counters {
	uint64_t starts;
	uint64_t load_ns;
};

struct fake_queue {
	struct worker *worker; /* NULL: does not run */
	struct worker *home;
	struct worker *target; /* of a move that is held */
	struct join *join;
	struct fake_counters counters;
};

struct device {
	struct worker *workers[RIG_WORKERS_MAX];
	unsigned worker_cnt;
	unsigned queue_max;
	unsigned shift;
	bool pairs;
	struct fake_queue queues[RIG_QUEUES_MAX];
	void (*changed)(void *arg);
	void *changed_arg;
	bool holding;
	char moved[256];
};

struct placer *rig_placer;
static struct worker workers[RIG_WORKERS_MAX];
static struct worker *worker_list[RIG_WORKERS_MAX];
static unsigned worker_cnt;
static struct evloop *loop;
static uint64_t now_ns;
static char said[RIG_TEXT_BYTES];
static unsigned looks;

/* ---- what the linker puts in place of the clock, the log, and looks at /proc ---- */

int __real_clock_gettime(clockid_t clock, struct timespec *ts);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts);
void __wrap_log_line(enum log_level level, const char *tag, const char *fmt, ...) PRINTF_LIKE(3, 4);
unsigned __real_vcpus_discover(const char *proc, pid_t pid, struct vcpu *vcpus, unsigned max);
unsigned __wrap_vcpus_discover(const char *proc, pid_t pid, struct vcpu *vcpus, unsigned max);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
	if (clock != CLOCK_MONOTONIC)
		return __real_clock_gettime(clock, ts);
	*ts = (struct timespec){(time_t)(now_ns / NS_PER_S), (long)(now_ns % NS_PER_S)};
	return 0;
}

void __wrap_log_line(enum log_level level, const char *tag, const char *fmt, ...)
{
	size_t used = strlen(said);
	va_list args;

	used += (size_t)snprintf(said + used, sizeof(said) - used, "%s %s: ", log_level_name(level),
				 tag ? tag : "-");
	assert_true(used < sizeof(said));
	va_start(args, fmt);
	used += (size_t)vsnprintf(said + used, sizeof(said) - used, fmt, args);
	va_end(args);
	assert_true(used + 1 < sizeof(said));
	said[used] = '\n';
	said[used + 1] = '\0';
}

unsigned __wrap_vcpus_discover(const char *proc, pid_t pid, struct vcpu *vcpus, unsigned max)
{
	looks++;
	return __real_vcpus_discover(proc, pid, vcpus, max);
}

/* ---- worker/worker.h ---- */

int worker_cpu(const struct worker *worker)
{
	return worker->cpu;
}

unsigned worker_idx(const struct worker *worker)
{
	return worker->idx;
}

const struct worker_stats *worker_stats(const struct worker *worker)
{
	return &worker->stats;
}

/* ---- device/device.h ---- */

unsigned device_queue_max(const struct device *device)
{
	return device->queue_max;
}

unsigned device_queue_group(const struct device *device, unsigned idx)
{
	if (!device->pairs)
		return idx;
	return idx == device->queue_max - 1 ? DEVICE_GROUP_ANY : idx / 2;
}

unsigned device_worker_shift(const struct device *device)
{
	return device->shift;
}

void device_set_watcher(struct device *device, void (*changed)(void *arg), void *arg)
{
	device->changed = changed;
	device->changed_arg = arg;
}

struct worker *const *device_workers(const struct device *device, unsigned *cnt)
{
	*cnt = device->worker_cnt;
	return device->workers;
}

struct worker *device_queue_worker(const struct device *device, unsigned idx)
{
	return device->queues[idx].worker;
}

void device_queue_set_home(struct device *device, unsigned idx, struct worker *worker)
{
	device->queues[idx].home = worker;
}

static bool may_use(const struct device *device, const struct worker *worker)
{
	for (unsigned i = 0; i < device->worker_cnt; i++) {
		if (device->workers[i] == worker)
			return true;
	}
	return false;
}

void device_queue_move(struct device *device, unsigned idx, struct worker *worker,
		       struct join *join)
{
	struct fake_queue *queue = &device->queues[idx];
	char text[16];

	assert_true(may_use(device, worker));
	/* The operator has one change of a queue under way at a time. */
	assert_null(queue->join);
	if (!queue->worker || queue->worker == worker)
		return;
	snprintf(text, sizeof(text), "%s%u>%u", device->moved[0] ? " " : "", idx, worker->idx);
	strncat(device->moved, text, sizeof(device->moved) - strlen(device->moved) - 1);
	if (!device->holding) {
		queue->worker = worker;
		return;
	}
	queue->target = worker;
	queue->join = join;
	join_add(join);
}

const struct stat_table *device_stat_tables(const struct device *device, unsigned *cnt)
{
	static const struct stat_row rows[] = {
		{.name = "starts", .offset = offsetof(struct fake_counters, starts)},
		{.name = "load", .unit = "ns", .offset = offsetof(struct fake_counters, load_ns)},
	};
	static const struct stat_table tables[] = {
		{.name = "requests", .rows = rows, .row_cnt = 1, .bytes = sizeof(uint64_t)},
		{.name = "queue", .rows = rows, .row_cnt = 2, .bytes = sizeof(struct fake_counters)},
	};

	(void)device;
	*cnt = ARRAY_LEN(tables);
	return tables;
}

void device_queue_stats(const struct device *device, unsigned idx, unsigned table, void *out)
{
	assert_int_equal(table, 1);
	memcpy(out, &device->queues[idx].counters, sizeof(struct fake_counters));
}

/* ---- the rig ---- */

void rig_open(unsigned shape, const char *worker_cpus, uint64_t round_ns)
{
	static struct topology topology;
	const char *root = fake_root_new();
	char proc[96];
	struct placer_options options = {.workers = worker_list, .round_ns = round_ns};
	cpu_set_t set;

	now_ns = NS_PER_S;
	worker_cnt = 0;
	said[0] = '\0';
	fake_topology_make(&fake_shapes[shape], &topology);
	fake_topology_write(&topology);
	assert_int_equal(cpuset_parse(worker_cpus, &set, NULL), 0);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &set))
			continue;
		workers[worker_cnt] = (struct worker){.idx = worker_cnt, .cpu = cpu};
		worker_list[worker_cnt] = &workers[worker_cnt];
		worker_cnt++;
	}
	snprintf(proc, sizeof(proc), "%s/proc", root);
	loop = evloop_new(NULL);
	assert_non_null(loop);
	options.loop = loop;
	options.worker_cnt = worker_cnt;
	options.proc = proc;
	options.sysfs = root;
	assert_int_equal(placer_new(&options, &rig_placer, NULL), 0);
	rig_looks();
}

void rig_close(void)
{
	rig_said_nothing();
	placer_free(rig_placer);
	evloop_free(loop);
	fake_root_delete();
}

static pid_t front_pid(void *arg)
{
	return ((struct rig_disk *)arg)->pid;
}

void rig_disk_shift(struct rig_disk *disk, unsigned shift)
{
	disk->device->shift = shift;
}

void rig_disk_pairs(struct rig_disk *disk)
{
	disk->device->pairs = true;
}

struct rig_disk *rig_disk_new(const char *name, unsigned queues)
{
	struct rig_disk *disk = calloc(1, sizeof(*disk));

	assert_non_null(disk);
	disk->device = calloc(1, sizeof(*disk->device));
	assert_non_null(disk->device);
	assert_true(queues <= RIG_QUEUES_MAX);
	disk->device->queue_max = queues;
	disk->device->worker_cnt = worker_cnt;
	memcpy(disk->device->workers, worker_list, sizeof(worker_list));
	disk->pid = RIG_PID;
	snprintf(disk->tag, sizeof(disk->tag), "disk %s", name);
	disk->placed = (struct placed){
		.device = disk->device,
		.front_pid = front_pid,
		.arg = disk,
		.tag = disk->tag,
	};
	return disk;
}

void rig_disk_add(struct rig_disk *disk, enum placement_mode mode, const char *vcpus)
{
	struct placer_settings settings = {.mode = mode, .vcpus = vcpus};

	assert_int_equal(placer_add(rig_placer, &disk->placed, &settings, NULL), 0);
}

void rig_disk_remove(struct rig_disk *disk)
{
	for (unsigned i = 0; i < disk->device->queue_max; i++)
		disk->device->queues[i].worker = NULL;
	rig_release(disk, 0);
	placer_remove(rig_placer, &disk->placed);
	assert_null(disk->device->changed);
	assert_null(disk->placed.state);
	/* No timer of it is left. */
	rig_pass_ms(100);
	free(disk->device);
	free(disk);
}

void rig_disk_use(struct rig_disk *disk, const char *numbers)
{
	cpu_set_t set;

	assert_int_equal(cpuset_parse(numbers, &set, NULL), 0);
	disk->device->worker_cnt = 0;
	for (unsigned i = 0; i < worker_cnt; i++) {
		if (CPU_ISSET(i, &set))
			disk->device->workers[disk->device->worker_cnt++] = &workers[i];
	}
}

static void wait_finished(struct join *join)
{
	container_of(join, struct rig_wait, join)->finished = true;
}

int rig_disk_set(struct rig_disk *disk, enum placement_mode mode, const char *vcpus,
		 struct rig_wait *wait)
{
	struct placer_settings settings = {.mode = mode, .vcpus = vcpus};
	int status;

	wait->finished = false;
	join_open(&wait->join, wait_finished);
	status = placer_set(rig_placer, &disk->placed, &settings, &wait->join, NULL);
	join_done(&wait->join, 0);
	return status;
}

void rig_restart(struct rig_disk *disk, unsigned idx)
{
	struct device *device = disk->device;
	struct fake_queue *queue = &device->queues[idx];
	unsigned place = device_queue_group(device, idx);

	if (place == DEVICE_GROUP_ANY)
		place = idx;
	place = (place + device->shift) % device->worker_cnt;
	queue->worker = queue->home ? queue->home : device->workers[place];
	device->changed(device->changed_arg);
}

void rig_start(struct rig_disk *disk, unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++)
		rig_restart(disk, i);
}

void rig_stop(struct rig_disk *disk, unsigned idx)
{
	disk->device->queues[idx].worker = NULL;
	disk->device->changed(disk->device->changed_arg);
}

void rig_hold(struct rig_disk *disk)
{
	disk->device->holding = true;
}

void rig_release(struct rig_disk *disk, int status)
{
	disk->device->holding = false;
	for (unsigned i = 0; i < disk->device->queue_max; i++) {
		struct fake_queue *queue = &disk->device->queues[i];
		struct join *join = queue->join;

		if (!join)
			continue;
		queue->join = NULL;
		if (queue->worker && !status)
			queue->worker = queue->target;
		join_done(join, status);
	}
}

void rig_stand(struct rig_disk *disk, const char *expected)
{
	char text[64] = "";

	for (unsigned i = 0; i < disk->device->queue_max; i++) {
		const struct worker *worker = disk->device->queues[i].worker;
		size_t used = strlen(text);

		if (worker)
			snprintf(text + used, sizeof(text) - used, "%s%u", i ? " " : "",
				 worker->idx);
		else
			snprintf(text + used, sizeof(text) - used, "%s-", i ? " " : "");
	}
	assert_string_equal(text, expected);
}

void rig_homes(struct rig_disk *disk, const char *expected)
{
	char text[64] = "";

	for (unsigned i = 0; i < disk->device->queue_max; i++) {
		const struct worker *home = disk->device->queues[i].home;
		size_t used = strlen(text);

		if (home)
			snprintf(text + used, sizeof(text) - used, "%s%u", i ? " " : "", home->idx);
		else
			snprintf(text + used, sizeof(text) - used, "%s.", i ? " " : "");
	}
	assert_string_equal(text, expected);
}

void rig_moved(struct rig_disk *disk, const char *expected)
{
	assert_string_equal(disk->device->moved, expected);
	disk->device->moved[0] = '\0';
}

void rig_forget_said(void)
{
	said[0] = '\0';
}

void rig_said_nothing(void)
{
	assert_string_equal(said, "");
}

void rig_said(const char *first, ...)
{
	char expected[RIG_TEXT_BYTES] = "";
	va_list args;

	va_start(args, first);
	for (const char *line = first; line; line = va_arg(args, const char *)) {
		strncat(expected, line, sizeof(expected) - strlen(expected) - 1);
		strncat(expected, "\n", sizeof(expected) - strlen(expected) - 1);
	}
	va_end(args);
	assert_string_equal(said, expected);
	rig_forget_said();
}

void rig_pass_ms(unsigned ms)
{
	now_ns += ms * NS_PER_MS;
	assert_int_equal(evloop_turn(loop, 0), 0);
}

void rig_work(unsigned worker, uint64_t busy_ms)
{
	stat_add(&workers[worker].stats.busy_ns, busy_ms * NS_PER_MS);
}

void rig_load(struct rig_disk *disk, unsigned queue, uint64_t load_ms)
{
	stat_add(&disk->device->queues[queue].counters.load_ns, load_ms * NS_PER_MS);
}

void rig_thread(pid_t pid, unsigned vcpu, const char *cpus, int last_cpu)
{
	int tid = pid + 10 + (int)vcpu;
	char text[256];

	snprintf(text, sizeof(text), "CPU %u/KVM\n", vcpu);
	fake_write(text, "proc/%d/task/%d/comm", pid, tid);
	snprintf(text, sizeof(text), "Name:\tCPU\nCpus_allowed_list:\t%s\n", cpus);
	fake_write(text, "proc/%d/task/%d/status", pid, tid);
	snprintf(text, sizeof(text),
		 "%d (CPU) S 1 1 1 0 -1 4194304 97 0 0 0 0 0 0 0 20 0 1 0 584443 3133440 360 "
		 "18446744073709551615 1 1 1 0 0 0 0 0 0 0 0 0 17 %d 0 0 0 0 0\n",
		 tid, last_cpu);
	fake_write(text, "proc/%d/task/%d/stat", pid, tid);
}

unsigned rig_looks(void)
{
	unsigned cnt = looks;

	looks = 0;
	return cnt;
}
