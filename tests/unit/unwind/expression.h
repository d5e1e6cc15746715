/* SPDX-License-Identifier: Apache-2.0 */
/* Computes what libdw says of a register, by made-up registers and memory: independent of how rules are kept. */
#ifndef KYMO_TEST_UNWIND_EXPRESSION_H
#define KYMO_TEST_UNWIND_EXPRESSION_H

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdint.h>

#define EXPRESSION_STACK 16

struct machine_state {
	uint64_t registers[32];
	uint64_t pc, cfa;
};

/* A memory in which every address holds its own word, above all registers. */
static inline uint64_t memory_at(uint64_t address)
{
	uint64_t z = address * 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	return (z ^ z >> 27) | 1ULL << 63;
}

static inline int memory_read(void *data, uint64_t address, uint64_t *ret)
{
	(void)data;
	*ret = memory_at(address);
	return 0;
}

struct evaluation {
	uint64_t stack[EXPRESSION_STACK];
	int n;
	bool is_value; /* the register's value itself, not where it is saved */
	bool failed;
};

static inline void push(struct evaluation *e, uint64_t v)
{
	if (e->n == EXPRESSION_STACK)
		e->failed = true;
	else
		e->stack[e->n++] = v;
}

static inline uint64_t pop(struct evaluation *e)
{
	if (e->n)
		return e->stack[--e->n];
	e->failed = true;
	return 0;
}

static inline void evaluate_register(struct evaluation *e, const struct machine_state *m,
				     uint64_t number, uint64_t offset)
{
	if (number < 32)
		push(e, (number == 16 ? m->pc : m->registers[number]) + offset);
	else
		e->failed = true;
}

static inline void evaluate_binary(struct evaluation *e, uint8_t atom)
{
	uint64_t b = pop(e), a = pop(e);

	switch (atom) {
	case DW_OP_plus:
		push(e, a + b);
		break;
	case DW_OP_minus:
		push(e, a - b);
		break;
	case DW_OP_mul:
		push(e, a * b);
		break;
	case DW_OP_and:
		push(e, a & b);
		break;
	case DW_OP_shl:
		push(e, a << (b & 63));
		break;
	case DW_OP_ge:
		push(e, (int64_t)a >= (int64_t)b);
		break;
	default:
		e->failed = true;
	}
}

static inline void evaluate_op(struct evaluation *e, const struct machine_state *m,
			       const Dwarf_Op *op)
{
	if (op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31)
		evaluate_register(e, m, op->atom - DW_OP_breg0, op->number);
	else if (op->atom >= DW_OP_lit0 && op->atom <= DW_OP_lit31)
		push(e, op->atom - DW_OP_lit0);
	else if (op->atom == DW_OP_bregx)
		evaluate_register(e, m, op->number, op->number2);
	else if (op->atom >= DW_OP_const1u && op->atom <= DW_OP_consts)
		push(e, op->number);
	else if (op->atom == DW_OP_call_frame_cfa)
		push(e, m->cfa);
	else if (op->atom == DW_OP_plus_uconst)
		push(e, pop(e) + op->number);
	else if (op->atom == DW_OP_deref)
		push(e, memory_at(pop(e)));
	else if (op->atom == DW_OP_stack_value)
		e->is_value = true;
	else
		evaluate_binary(e, op->atom);
}

/* False where this evaluator does not know an operation. */
static inline bool evaluate(const struct machine_state *m, const Dwarf_Op *ops, size_t n,
			    uint64_t *ret, bool *ret_is_value)
{
	struct evaluation e = { 0 };

	if (n == 1 &&
	    (ops->atom == DW_OP_regx || (ops->atom >= DW_OP_reg0 && ops->atom <= DW_OP_reg31))) {
		evaluate_register(&e, m,
				  ops->atom == DW_OP_regx ? ops->number
							  : (uint64_t)(ops->atom - DW_OP_reg0),
				  0);
		e.is_value = true;
	} else {
		for (size_t i = 0; i < n; i++)
			evaluate_op(&e, m, &ops[i]);
	}
	*ret = pop(&e);
	*ret_is_value = e.is_value;
	return !e.failed;
}

enum register_state { REGISTER_UNKNOWN_OP = -1, REGISTER_LOST = 0, REGISTER_FOUND = 1 };

/* The caller's value of a register, as libdw has it. */
static inline enum register_state evaluate_frame_register(Dwarf_Frame *frame,
							  const struct machine_state *m, int number,
							  uint64_t *ret)
{
	Dwarf_Op memory[3], *ops;
	size_t n;
	bool is_value;

	if (dwarf_frame_register(frame, number, memory, &ops, &n) != 0)
		return REGISTER_UNKNOWN_OP;
	if (n == 0 && ops == memory)
		return REGISTER_LOST;
	if (n == 0) {
		*ret = m->registers[number & 31];
		return REGISTER_FOUND;
	}
	if (!evaluate(m, ops, n, ret, &is_value))
		return REGISTER_UNKNOWN_OP;
	if (!is_value)
		*ret = memory_at(*ret);
	return REGISTER_FOUND;
}

#endif
