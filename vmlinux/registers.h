/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Registers of an interrupted thread on x86-64 (arch/x86/include/uapi/asm/ptrace.h): an ABI, not
 * relocated. One such section per architecture.
 */
#ifndef KYMO_REGISTERS_H
#define KYMO_REGISTERS_H

#if defined(__x86_64__) || defined(__TARGET_ARCH_x86)

struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx;
	unsigned long r11, r10, r9, r8, ax, cx, dx, si, di;
	unsigned long orig_ax;
	unsigned long ip, cs, flags, sp, ss;
};

/*
 * Code segments: the low two bits are 0 in kernel mode; 32-bit programs run in their own segment.
 */
#define KYMO_CS_MODE_MASK     3
#define KYMO_CS_SELECTOR_MASK 0xffff
#define KYMO_CS_USER_32	      0x23

/*
 * Its number (arch/x86/entry/syscalls/syscall_64.tbl); orig_ax holds it while the thread is in the
 * kernel for it.
 */
#define KYMO_SYSCALL_FUTEX 202

#else
#error "registers of this architecture are not described yet"
#endif

#endif
