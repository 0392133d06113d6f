/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device of the test's own behind device/device.h: one thread, no rings served, every call
 * recorded, and acknowledgements given when the test says so.
 * It is not a device model: it checks how it is driven (one change at a time, queues stopped where
 * they have to be), which a real one only relies on.
 */
#ifndef PARIO_FAKE_FAKE_DEVICE_H
#define PARIO_FAKE_FAKE_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "device/device.h"

/* What the fake offers. */
#define FAKE_DEVICE_FEATURES                                                       \
	(UINT64_C(1) << DEVICE_F_VERSION_1 | UINT64_C(1) << DEVICE_F_RING_PACKED | \
	 UINT64_C(1) << DEVICE_F_EVENT_IDX | UINT64_C(1) << DEVICE_F_INDIRECT_DESC | 0x7e)
/* Config space: byte i is i; byte 32 alone may be written. Zeroes from here on, up to 256. */
#define FAKE_DEVICE_CONFIG_BYTES 60
#define FAKE_DEVICE_CONFIG_WRITABLE 32
/* The largest MTU that it takes when it is a net device. */
#define FAKE_DEVICE_MTU 9000
/* What a stopped queue has moved on by. */
#define FAKE_DEVICE_PROGRESS 7

struct device *fake_device_new(const char *name, unsigned queues);
/* Right after that: it serves disabled queues, takes messages, and says pairs of queues. */
void fake_device_be_net(struct device *device);
/* Every queue must be stopped, and no front end there. */
void fake_device_free(struct device *device);

/*
 * The calls since the last look, oldest first, "; " between them:
 *   features 0x1; memory 2 (regions; "memory none"); reset; write 32+1;
 *   start 0 size 128 base 0 [exact] [disabled] [kick] [call] [err]; stop 0; call 0 [none];
 *   err 0 [none]; enable 0; disable 0; mtu 0x5dc; rarp 0x1;
 *   move 0; tune adaptive 50000 off 0 0 (mode, longest window, coalescing)
 */
const char *fake_device_calls(struct device *device);
void fake_device_forget_calls(struct device *device);

/* From here on acknowledgements wait for fake_device_release(), which gives all of them. */
void fake_device_hold(struct device *device);
void fake_device_release(struct device *device);
unsigned fake_device_held(const struct device *device);

/* The next start fails: at once, or in its acknowledgement. */
void fake_device_fail_start(struct device *device, int code, bool late);

/* What the device would say by itself. */
void fake_device_config_changed(struct device *device);
/* A running queue whose acknowledgements are not held stops by itself. */
void fake_device_lose(struct device *device, unsigned idx);
bool fake_device_has_front(const struct device *device);

/* What a running queue was given. -1: none. */
int fake_device_kick_fd(const struct device *device, unsigned idx);
int fake_device_call_fd(const struct device *device, unsigned idx);
int fake_device_err_fd(const struct device *device, unsigned idx);

/* Rules of device.h that the caller broke; 0 in every test. */
unsigned fake_device_misuse(const struct device *device);

#endif
