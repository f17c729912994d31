/* The first and only program of the emulated machine (tests/batch/bochs.sh): says what the processor is and how its time
 * stamp counter counts, runs the unit tests of signing together, and switches the machine off. */

#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <x86intrin.h>

enum { TURNS = 1000000 };

/* What AWS-LC shall not see of the processor: ADX always, because with it each of its signatures comes out wrong in Bochs 2.7
 * and is refused by its own check; AVX-512 IFMA where it shall sign as on older processors. The batch library asks the
 * processor itself. */
static char without_adx[] = "OPENSSL_ia32cap=~0x0:~0x80000";
static char without_adx_and_ifma[] = "OPENSSL_ia32cap=~0x0:~0x280000";

struct run {
  const char *name;
  char *environment[2], *arguments[6];
};

static const struct run runs[] = {
  {"tests", {without_adx, NULL}, {"tests", "custody::batch::tests::real", "custody::engine", NULL}},
  {"counts", {without_adx, NULL},
   {"tests", "--ignored", "--nocapture", "instructions_that_signatures_take", NULL}},
  {"counts where AWS-LC sees no IFMA", {without_adx_and_ifma, NULL},
   {"tests", "--ignored", "--nocapture", "instructions_that_signatures_take", NULL}},
};

static void mounted(const char *type, const char *at) {
  mkdir(at, 0755);
  if (mount(type, at, type, 0, NULL) != 0) perror(at);
}

static void say_processor(void) {
  static char line[1 << 14];
  FILE *info = fopen("/proc/cpuinfo", "r");
  while (info && fgets(line, sizeof line, info))
    if (strncmp(line, "model name", 10) == 0 || strncmp(line, "flags", 5) == 0) fputs(line, stdout);
}

/* The fewest of five times: an interrupt in the midst of one has instructions of its own. */
static unsigned long long counted(void) {
  unsigned long long fewest = ~0ull;
  for (int time = 0; time < 5; time++) {
    const unsigned long long begun = __rdtsc();
    long turns = TURNS;
    __asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(turns) : : "cc");
    const unsigned long long taken = __rdtsc() - begun;
    if (taken < fewest) fewest = taken;
  }
  return fewest;
}

static int succeeds(const struct run *run) {
  printf("== %s\n", run->name);
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    execve("/tests", run->arguments, run->environment);
    perror("/tests");
    _exit(127);
  }
  int status = -1;
  waitpid(child, &status, 0);
  if (status != 0) printf("== %s failed: status %#x\n", run->name, (unsigned)status);
  return status == 0;
}

static void power_off(void) {
  fflush(stdout);
  tcdrain(STDOUT_FILENO);
  ioperm(0x8900, 1, 1);
  for (const char *byte = "Shutdown"; *byte; byte++) outb((unsigned char)*byte, 0x8900);
}

int main(void) {
  mounted("proc", "/proc");
  mounted("tmpfs", "/tmp");
  say_processor();
  fflush(stdout);
  tcdrain(STDOUT_FILENO); /* what the serial port has yet to send interrupts */
  printf("ruler: %d instructions count as %llu\n", 2 * TURNS, counted());
  int good = 1;
  for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) good &= succeeds(&runs[i]);
  if (good) printf("== all runs succeeded\n");
  power_off();
  for (;;) pause();
}
