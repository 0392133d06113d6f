/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the fake device share. Nothing of it is for tests: those see fake_device.h.
 */
#ifndef PARIO_FAKE_FAKE_DEVICE_PRIV_H
#define PARIO_FAKE_FAKE_DEVICE_PRIV_H

#include "fake/fake_device.h"

#define FAKE_CALLS_BYTES 16384
#define FAKE_HELD_MAX (2 * DEVICE_QUEUES_MAX + 2)

struct fake_queue {
	struct device_queue_setup setup;
	uint32_t base;
	bool running;
	bool stopping; /* its acknowledgement is held */
	struct worker *worker;
	struct worker *home;
};

struct fake_held {
	struct join *join;
	int queue; /* -1: of the device */
	bool stops;
	int status;
	int old_fd; /* -1, or the descriptor that a change replaces */
};

struct device {
	const char *name;
	unsigned queue_cnt;
	bool is_net;
	uint64_t acked;
	bool has_acked;
	uint8_t written; /* config byte 32 */
	struct gmem *memory;
	const struct device_front_ops *front_ops;
	void *front;
	struct device_tuning tuning;
	struct worker **workers;
	unsigned worker_cnt;
	void (*changed)(void *arg);
	void *changed_arg;

	bool holding;
	unsigned held_cnt;
	struct fake_held held[FAKE_HELD_MAX];
	int fail_code;
	bool fail_late;

	size_t calls_bytes;
	unsigned misuse;
	char calls[FAKE_CALLS_BYTES];
	struct fake_queue queues[];
};

/* A rule of device.h that the caller broke. */
void fake_device_misused(struct device *device, const char *what);
/* Begins a call in the record, behind those before, and adds to it. */
void fake_device_record_next(struct device *device);
void fake_device_record(struct device *device, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
