/* Stands in for a processor with AVX-IFMA, so that the batch library can be tested on one that has only AVX2.
 *
 * Linked in place of the library's own test of the processor (tests/batch/library.sh), it says yes, and emulates the two
 * instructions that the library's AVX2 code needs beside: vpmadd52luq and vpmadd52huq in their VEX encoding (Intel SDM,
 * volume 2). The first time one is met it is an illegal instruction; it is then replaced by a jump, which is 5 bytes long
 * as the shortest of them, to a piece of code of its own that does the same. Slow, and for tests only. */

#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { SITES = 1 << 16, NONE = -1 };

typedef uint64_t vector[4];

/* Registers, as `enter` below lays them out on the stack. */
struct registers {
  vector ymm[16];
  uint64_t general[16];
};

struct instruction {
  const uint8_t *at, *next;
  int high, wide, sum, factor, other, base, index, scale;
  int64_t displacement;
};

/* Goes round the red zone, calls `enter`, and jumps back. */
struct __attribute__((packed)) detour {
  uint8_t below[5], call;
  int32_t to_enter;
  uint8_t above[8], jump;
  int32_t back;
};

static struct instruction sites[SITES];
static struct detour detours[SITES] __attribute__((aligned(4096)));
static int used;

/* C4 [R X B 00010] [1 vvvv L 01] B4|B5 modrm [sib] [displacement]; register fields are stored inverted. */
static int decode(const uint8_t *at, struct instruction *to) {
  const uint8_t *p = at;
  if (p[0] != 0xc4 || (p[1] & 31) != 2 || (p[2] & 0x83) != 0x81 || (p[3] & 0xfe) != 0xb4) return 0;
  const int r = !(p[1] >> 7) << 3, x = !(p[1] >> 6 & 1) << 3, b = !(p[1] >> 5 & 1) << 3, mode = p[4] >> 6, rm = p[4] & 7;
  *to = (struct instruction){
    .at = at, .high = p[3] & 1, .wide = p[2] >> 2 & 1, .sum = (p[4] >> 3 & 7) | r, .factor = ~(p[2] >> 3) & 15,
    .other = NONE, .base = NONE, .index = NONE,
  };
  p += 5;
  int bytes = mode == 1 ? 1 : mode == 2 ? 4 : 0, relative = 0;
  if (mode == 3) to->other = rm | b;
  else if (rm == 4) {
    const int sib = *p++, index = (sib >> 3 & 7) | x;
    to->scale = sib >> 6;
    if (index != 4) to->index = index;
    if ((sib & 7) == 5 && mode == 0) bytes = 4;
    else to->base = (sib & 7) | b;
  } else if (rm == 5 && mode == 0) bytes = 4, relative = 1;
  else to->base = rm | b;
  int32_t far = 0;
  if (bytes == 1) far = (int8_t)*p;
  if (bytes == 4) memcpy(&far, p, 4);
  to->next = p + bytes;
  to->displacement = far + (relative ? (int64_t)to->next : 0);
  return 1;
}

/* Called in place of the instruction: adds the low or high 52 bits of each product of 52-bit numbers. */
__attribute__((used)) static void madd52(const struct detour *returns_into, struct registers *registers) {
  const size_t offset = (size_t)((const uint8_t *)returns_into - (const uint8_t *)detours);
  const struct instruction *i = &sites[offset / sizeof(struct detour)];
  vector memory = {0};
  const uint64_t *other = memory;
  if (i->other != NONE) other = registers->ymm[i->other];
  else {
    uint64_t address = (uint64_t)i->displacement;
    if (i->base != NONE) address += registers->general[i->base];
    if (i->index != NONE) address += registers->general[i->index] << i->scale;
    memcpy(memory, (const void *)address, i->wide ? 32 : 16);
  }
  uint64_t *sum = registers->ymm[i->sum];
  const uint64_t *factor = registers->ymm[i->factor], mask = (1ull << 52) - 1;
  for (int lane = 0; lane < (i->wide ? 4 : 2); lane++) {
    const unsigned __int128 product = (unsigned __int128)(factor[lane] & mask) * (other[lane] & mask);
    sum[lane] += i->high ? (uint64_t)(product >> 52) : (uint64_t)product & mask;
  }
  if (!i->wide) sum[2] = sum[3] = 0;
}

/* Saves all registers and the flags, calls madd52, puts them back. The stack pointer that the instruction saw lies 8 + 128
 * above the return address. */
void enter(void);
__asm__(
  ".text\n.type enter,@function\nenter:\n"
  "pushfq\npush %r15\npush %r14\npush %r13\npush %r12\npush %r11\npush %r10\npush %r9\npush %r8\npush %rdi\npush %rsi\n"
  "push %rbp\nlea 232(%rsp),%rsi\npush %rsi\npush %rbx\npush %rdx\npush %rcx\npush %rax\nsub $512,%rsp\n"
  ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\nvmovdqu %ymm\\n,32*\\n(%rsp)\n.endr\n"
  "mov 648(%rsp),%rdi\nmov %rsp,%rsi\nmov %rsp,%rbx\nand $-64,%rsp\ncld\nvzeroupper\ncall madd52\nmov %rbx,%rsp\n"
  ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\nvmovdqu 32*\\n(%rsp),%ymm\\n\n.endr\n"
  "add $512,%rsp\npop %rax\npop %rcx\npop %rdx\npop %rbx\nlea 8(%rsp),%rsp\npop %rbp\npop %rsi\npop %rdi\n"
  "pop %r8\npop %r9\npop %r10\npop %r11\npop %r12\npop %r13\npop %r14\npop %r15\npopfq\nret\n");

static int32_t distance(const void *from, const void *to) {
  const int64_t far = (const uint8_t *)to - (const uint8_t *)from;
  if (far != (int32_t)far) abort();
  return (int32_t)far;
}

static void make_writable(const void *from, size_t bytes) {
  const uintptr_t page = (uintptr_t)from & ~4095ul;
  if (mprotect((void *)page, (uintptr_t)from + bytes - page, PROT_READ | PROT_WRITE | PROT_EXEC)) abort();
}

/* Another thread that comes by meanwhile meets an illegal instruction, either the old one or 0x06, and waits in `illegal`. */
static void replace(const struct instruction *i) {
  if (used == SITES) abort();
  struct detour *detour = &detours[used];
  sites[used++] = *i;
  *detour = (struct detour){
    .below = {0x48, 0x8d, 0x64, 0x24, 0x80}, .call = 0xe8, .to_enter = distance(detour->above, enter),
    .above = {0x48, 0x8d, 0xa4, 0x24, 0x80, 0, 0, 0}, .jump = 0xe9, .back = distance(detour + 1, i->next),
  };
  uint8_t *at = (uint8_t *)i->at;
  const int32_t to_detour = distance(at + 5, detour);
  make_writable(at, 5);
  __atomic_store_n(at, 0x06, __ATOMIC_SEQ_CST);
  memcpy(at + 1, &to_detour, 4);
  __atomic_store_n(at, 0xe9, __ATOMIC_SEQ_CST);
}

static void illegal(int number, siginfo_t *info, void *context) {
  static char busy;
  (void)number, (void)info;
  while (__atomic_test_and_set(&busy, __ATOMIC_ACQUIRE)) {}
  const uint8_t *at = (const uint8_t *)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
  struct instruction found;
  if (decode(at, &found)) replace(&found);
  else if (at[0] != 0xe9) signal(SIGILL, SIG_DFL);
  __atomic_clear(&busy, __ATOMIC_RELEASE);
}

/* In place of the library's own. */
int mbx_is_crypto_mb_applicable(uint64_t features) {
  const struct sigaction action = {.sa_sigaction = illegal, .sa_flags = SA_SIGINFO};
  (void)features;
  make_writable(detours, sizeof detours);
  return sigaction(SIGILL, &action, NULL) == 0;
}
