/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A front end of the test's own on a socketpair, an endpoint on the other end of it, and a fake
 * device behind that; and the language in which tests write message sequences as tables.
 * Not a driver: no ring has anything in it.
 *
 * The layouts are those of tools/bench (driver/protocol.h), which were written apart from the back
 * end's: a slip in one shows against the other.
 */
#ifndef PARIO_PROTO_RIG_H
#define PARIO_PROTO_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those above first. */
#include <cmocka.h>

#include "base/evloop.h"
#include "driver/protocol.h"
#include "fake/fake_device.h"
#include "vhost_user/vhost_user.h"

#define RIG_REGIONS 12
#define RIG_REGION_BYTES 0x10000u

/* Kinds of descriptors that come with a message. */
enum rig_fd {
	FD_NONE,
	FD_EVENT,
	FD_PIPE_READ,
	FD_PIPE_WRITE,
	FD_SOCKET, /* one end of the back-end channel: rig->channel is the other */
	FD_DATAGRAM,
	FD_INET,
	FD_NULL,
	FD_FILE,  /* on a file system that is not for guest memory */
	FD_SHORT, /* memfd of one page */
	FD_MEM,   /* FD_MEM + i: memfd of region i */
	FD_KIND_MAX_ = FD_MEM + RIG_REGIONS,
};

struct rig {
	struct evloop *loop;
	struct device *device;
	struct vhost_user *vu;
	int front;   /* our end of the connection, -1 once closed */
	int channel; /* our end of FD_SOCKET */
	int fds[FD_KIND_MAX_];
	uint64_t sent;     /* whole messages */
	bool closed_cb;    /* vhost_user_close() has called back */
	const char *where; /* for failures: the table's name */
	unsigned step;
};

/* Fails the running test, naming table and step. */
__attribute__((format(printf, 2, 3), noreturn)) void rig_fail(const struct rig *rig,
							      const char *fmt, ...);

/* The loop, a device of queues queues, descriptors; no endpoint yet. */
void rig_init(struct rig *rig, unsigned queues);
/* An endpoint on a socketpair. */
void rig_connect(struct rig *rig);
/* Closes the endpoint if there is one, then all; checks the fake's manners. */
void rig_fini(struct rig *rig);
/* Closes the endpoint and waits for its callback. */
void rig_close(struct rig *rig);

/* Turns of the loop until done(rig) or the deadline, which fails the test. */
void rig_until(struct rig *rig, bool (*done)(struct rig *rig), const char *what);
/* Lets the loop do all that it can do at once. */
void rig_spin(struct rig *rig);

/* Open descriptors of this process. */
unsigned rig_fd_cnt(void);

/* Sends raw bytes with descriptors. */
void rig_send(struct rig *rig, const void *bytes, size_t size, const enum rig_fd *fds,
	      unsigned fd_cnt);
/* Bytes of a reply: waits for a whole message. False: the connection was closed instead. */
bool rig_receive(struct rig *rig, struct vu_header *header, void *payload, size_t size);
/* Nothing to read, and not closed. */
bool rig_silent(struct rig *rig);

/* Sequences */

struct rig_payload {
	uint32_t size;
	union {
		uint64_t u64;
		uint32_t u32[4];
		struct vu_vring_state state;
		struct vu_vring_addr addr;
		struct vu_mem_table table;
		struct vu_mem_reg reg;
		struct vu_config config;
		uint8_t bytes[512];
	} as;
};

enum rig_action {
	RIG_SEND,
	RIG_END, /* of a table */
	RIG_HOLD,
	RIG_RELEASE,
	RIG_CONFIG_CHANGED,
	RIG_FAIL_START, /* value: errno; late if flags */
	RIG_LOSE,       /* ring 0 */
	RIG_LEAVE,      /* closes the connection */
};

enum rig_answer {
	ANSWER_NONE,   /* nothing comes */
	ANSWER_ACK,    /* u64 0 */
	ANSWER_NACK,   /* u64, not 0 */
	ANSWER_EMPTY,  /* a reply without payload */
	ANSWER_U64,    /* value */
	ANSWER_STATE,  /* ring in the upper half of value, number in the lower */
	ANSWER_CONFIG, /* value bytes in all */
	ANSWER_CLOSED, /* the connection */
};

struct rig_step {
	enum rig_action action;
	uint32_t request;
	uint32_t flags; /* beside the version */
	struct rig_payload payload;
	enum rig_fd fds[10]; /* up to the first FD_NONE */
	enum rig_answer answer;
	uint64_t value;
	const char *calls; /* exactly these of the device; NULL: none */
	bool any_calls;
};

/* Plays a table that ends with RIG_END. */
void rig_play(struct rig *rig, const char *name, const struct rig_step *steps);
/* One step more of what is being played. */
void rig_play_step(struct rig *rig, const struct rig_step *step);

#define NEED VU_FLAG_NEED_REPLY

#define EMPTY             \
	{                 \
		.size = 0 \
	}
#define U64(v)                           \
	{                                \
		.size = 8, .as.u64 = (v) \
	}
#define STATE(i, v)                                                \
	{                                                          \
		.size = 8, .as.state = {.idx = (i), .value = (v) } \
	}
/* Region r, its ring space from the r-th memfd: uva and gpa differ. */
#define GPA(r) (UINT64_C(0x40000000) + (r)*UINT64_C(0x100000))
#define UVA(r) (UINT64_C(0x7f0000000000) + (r)*UINT64_C(0x100000))
#define REGION(r)                                                                             \
	{                                                                                     \
		.gpa = GPA(r), .bytes = RIG_REGION_BYTES, .uva = UVA(r), .fd_offset_bytes = 0 \
	}
/* Ring i in region r: room for 128 entries, packed or split. */
#define DESC(i, r) (UVA(r) + (i)*UINT64_C(0x2000))
#define RING_IN(i, r)                                     \
	{                                                 \
		.size = 40, .as.addr = {                  \
			.idx = (i),                       \
			.desc_uva = DESC(i, r),           \
			.avail_uva = DESC(i, r) + 0x1000, \
			.used_uva = DESC(i, r) + 0x1800   \
		}                                         \
	}
#define TABLE1(a)                                                                     \
	{                                                                             \
		.size = 8 + 32, .as.table = {.region_cnt = 1, .region = {REGION(a)} } \
	}
#define TABLE2(a, b)                                                                             \
	{                                                                                        \
		.size = 8 + 64, .as.table = {.region_cnt = 2, .region = {REGION(a), REGION(b)} } \
	}
#define REG(r)                                               \
	{                                                    \
		.size = 40, .as.reg = {.region = REGION(r) } \
	}
#define CONFIG(o, n, room)                                                      \
	{                                                                       \
		.size = 12 + (room), .as.config = {.offset = (o), .size = (n) } \
	}

#define MSG(req, pl, ...)                                       \
	{                                                       \
		.request = VU_##req, .payload = pl, __VA_ARGS__ \
	}
#define ASK(req, pl, ...)                                                                \
	{                                                                                \
		.request = VU_##req, .flags = NEED, .payload = pl, .answer = ANSWER_ACK, \
		__VA_ARGS__                                                              \
	}
/* Asks for an ack and gets a refusal. */
#define REFUSED(req, pl, ...)                                                             \
	{                                                                                 \
		.request = VU_##req, .flags = NEED, .payload = pl, .answer = ANSWER_NACK, \
		__VA_ARGS__                                                               \
	}
#define GET(req, pl, v)                                                                \
	{                                                                              \
		.request = VU_##req, .payload = pl, .answer = ANSWER_U64, .value = (v) \
	}
#define FDS(...) .fds = {__VA_ARGS__}
#define CALLS(text) .calls = (text)
#define REPLY(kind, v) .answer = ANSWER_##kind, .value = (v)
#define BASE_IS(i, v) .answer = ANSWER_STATE, .value = (uint64_t)(i) << 32 | (v)
#define ACT(what)                    \
	{                            \
		.action = RIG_##what \
	}

#define BIT(b) (UINT64_C(1) << (b))
#define PF_OFFERED                                                                           \
	(BIT(VU_PF_MQ) | BIT(VU_PF_REPLY_ACK) | BIT(VU_PF_BACKEND_REQ) | BIT(VU_PF_CONFIG) | \
	 BIT(VU_PF_RESET_DEVICE) | BIT(VU_PF_CONFIGURE_MEM_SLOTS) | BIT(VU_PF_STATUS))
#define F_PROTOCOL BIT(VU_F_PROTOCOL_FEATURES)
#define F_V1 BIT(DEVICE_F_VERSION_1)
#define F_PACKED BIT(DEVICE_F_RING_PACKED)

/* Common tables. */
extern const struct rig_step rig_hello[];         /* features with REPLY_ACK, memory of region 0 */
extern const struct rig_step rig_ring0_running[]; /* after rig_hello: ring 0 of 128 entries */

#endif
